/** All the cases, in the order in which they are tried. A new one is added to one of these lists. */
import { CLIENTS } from "./clients.ts";
import { ENDS, RESETS } from "./ends.ts";
import { LINES } from "./lines.ts";
import { STARTED } from "./started.ts";
import type { Case } from "./case.ts";
import type { Trial } from "./trial.ts";

/** The cases that a server is tried by. */
export const CASES: Case<Trial>[] = [...LINES, ...ENDS, ...CLIENTS, ...RESETS, ...STARTED];
