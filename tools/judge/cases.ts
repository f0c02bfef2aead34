/** All cases, in the order they run. Add a new case to one of these lists. */
import { ENDS, FINS, RESETS } from "./ends.ts";
import { LINES } from "./lines.ts";
import { SEVERAL } from "./several.ts";
import { STARTED } from "./started.ts";
import type { Case } from "./case.ts";
import type { Trial } from "./trial.ts";

/** The cases for a server. */
export const CASES: Case<Trial>[] = [...LINES, ...FINS, ...SEVERAL, ...ENDS, ...RESETS, ...STARTED];
