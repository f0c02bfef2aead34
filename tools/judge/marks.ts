/** What each case is worth, from which level on it is tried, and what it builds on. */

import { type Flags, UsageError } from "../../cli/flags.ts";
import { reason } from "../../net/errors.ts";
import type { Case } from "./case.ts";

/** The levels: what the lecture asks, what a network does, and several clients at a time. */
export const LEVELS = ["basic", "robust", "concurrent"] as const;
export type Level = typeof LEVELS[number];

export interface Mark {
  level: Level;
  points: number;
  /** The cases without which this one shows nothing of its own. */
  needs: string[];
}

const LINE = "a line comes back";
const NEXT = "the next client is served";
const MORE = "line after line comes back";
const EMPTY = "an empty line comes back";
const MANY = "a thousand lines in one write come back";
const BYTES = "a line that comes a byte at a time comes back";
const HALVES = "a line in two halves, a second apart, comes back";
const LONG = "lines of MAXLINE - 2 to MAXLINE + 1 bytes come back";
const FIN = "FIN at once is answered by FIN";
const THEN_FIN = "lines, then FIN: all come back, then FIN";
const LATE = "a client that reads late gets every byte";
const OWN = "each client gets its own bytes";
const AT_ONCE = "clients that come at once are all served";
const CROWD = "hundreds of clients, one after the other, are served";

/** The cases of a server, in the order they run; all need the first two. */
const SERVER: [name: string, level: Level, points: number, ...needs: string[]][] = [
  [LINE, "basic", 5],
  [NEXT, "basic", 3],
  [MORE, "basic", 3],
  [EMPTY, "basic", 1, MORE],
  [MANY, "basic", 2, MORE],
  [BYTES, "basic", 2],
  [HALVES, "basic", 1, BYTES],
  [LONG, "basic", 2, MORE, EMPTY],
  ["a line of 100 KB comes back", "robust", 1, LONG],
  ["every byte value comes back", "basic", 1],
  ["NUL comes back", "basic", 1],
  ["\\r\\n comes back as it was", "basic", 1, MORE],
  ["no line is a command", "basic", 1, MORE],
  [FIN, "basic", 2],
  [THEN_FIN, "basic", 2, MANY, FIN],
  ["nothing comes back but what was sent, in order", "basic", 2, MANY, FIN, THEN_FIN],
  ["a last line without a newline comes back", "basic", 2, FIN],
  [LATE, "robust", 2, MANY, FIN, HALVES],
  [OWN, "concurrent", 3, MANY, LONG, LATE],
  ["a client that has to wait is served in the end", "basic", 1, OWN],
  [AT_ONCE, "basic", 2, OWN],
  ["half a line holds up nobody else", "concurrent", 2, OWN, AT_ONCE],
  ["four clients may wait to be accepted", "basic", 1],
  ["each address that it listens on is served", "robust", 1],
  ["after 200 that connect and close the next client is served", "basic", 1, OWN],
  ["after one that said nothing the next client is served", "basic", 1, OWN],
  ["a client that thinks for two seconds is served on", "basic", 1, MORE, HALVES],
  [CROWD, "basic", 2, OWN, FIN, AT_ONCE],
  ["after RST in the middle of a line the next client is served", "robust", 3, OWN],
  ["after RST before accept the next client is served", "robust", 2, OWN],
  ["after a close with unread bytes the next client is served", "robust", 2, OWN],
  ["the next client is served after one vanishes mid-write", "robust", 3, OWN],
  ["no descriptor is left open", "basic", 2, CROWD, FIN, OWN],
  ["no process is left unwaited for", "basic", 2, CROWD, MORE, OWN],
  ["no memory is left taken", "robust", 2, CROWD, MORE, OWN],
  ["more than a thousand clients at once are served", "concurrent", 2, OWN],
  ["it sleeps while nobody says anything", "basic", 1, OWN],
  ["it prints how many bytes each line has", "basic", 1, CROWD, MORE, OWN],
  ["it ends on SIGTERM", "basic", 1],
  ["it listens again on the same port at once", "basic", 2],
];

const ONCE = "each line comes out once";
/** The cases of a client; all but the first need the first. */
const CLIENT: typeof SERVER = [
  [ONCE, "basic", 5],
  ["an empty line comes out", "basic", 1],
  ["text comes out as it was", "basic", 2],
  ["NUL comes out", "robust", 1],
  ["a line that comes back a byte at a time comes out whole", "basic", 2],
  ["a line longer than MAXLINE comes out whole", "basic", 2],
  ["a last line without a newline comes out", "robust", 2],
  ["when the server closes after a line the client ends, and prints nothing stale", "robust", 2],
  [
    "when the server closes in the middle of a line the client ends, and prints no more of it",
    "robust",
    2,
  ],
  ["when the server resets the client ends, and prints nothing stale", "robust", 2],
  ["when the server says more than it was sent the client ends", "basic", 1],
  [
    "when the server closes without an answer the client ends, and prints nothing stale",
    "robust",
    2,
  ],
  ["it sleeps while it waits for an answer", "basic", 1],
  ["a reset is told by the exit code", "robust", 1],
];

/** The case of --require, which only --except leaves out. */
export const REQUIRED = "as many clients are served at a time as required";

/** The marks of a table's cases, of which all need those that `first` names. */
function marks(table: typeof SERVER, ...first: string[]): [string, Mark][] {
  return table.map(([name, level, points, ...needs], i) => [
    name,
    { level, points, needs: [...first.slice(0, i), ...needs] },
  ]);
}

/** The marks of all cases, by name. */
export const MARKS: ReadonlyMap<string, Mark> = new Map([
  ...marks(SERVER, LINE, NEXT),
  ...marks(CLIENT, ONCE),
  ...marks([[REQUIRED, "concurrent", 5]]),
]);

/**
 * The cases asked for.
 * @throws {UsageError} If a name is that of none, or none is left.
 */
export function chosen<T>(all: Case<T>[], { only, except, level = "concurrent" }: Flags["values"]) {
  const most = LEVELS.findIndex((name) => name === level);
  if (most < 0) throw new UsageError(`--level must be ${LEVELS.join(", ")}, not ${level}`);
  const named = (part: string | undefined) => {
    if (part === undefined) return [];
    const cases = all.filter(({ name }) => name.toLowerCase().includes(part.toLowerCase()));
    if (cases.length === 0) throw new UsageError(`no case has ${part} in its name: see --list`);
    return cases;
  };
  const not = named(except);
  const wanted = only === undefined ? all : named(only);
  const cases = all.filter((c) =>
    !not.includes(c) &&
    (c.name === REQUIRED ||
      wanted.includes(c) && LEVELS.indexOf(MARKS.get(c.name)!.level) <= most)
  );
  if (cases.length === 0) throw new UsageError("no case is left: see --list");
  return cases;
}

/**
 * The points of a file, by name.
 * @throws {UsageError} If they aren't a JSON object with a number for names of cases.
 */
export async function pointsOf(file: string | undefined): Promise<Record<string, number>> {
  if (file === undefined) return {};
  let all: unknown;
  try {
    all = JSON.parse(await Deno.readTextFile(file));
  } catch (error) {
    throw new UsageError(`--points: ${reason(error)}`);
  }
  if (all === null || typeof all !== "object" || Array.isArray(all)) {
    throw new UsageError(`--points: ${file} must be an object with a number for each name`);
  }
  for (const [name, points] of Object.entries(all)) {
    if (!MARKS.has(name)) throw new UsageError(`--points: no case is called ${name}`);
    if (typeof points === "number" && points >= 0 && points < Infinity) continue;
    throw new UsageError(
      `--points: ${name} must be a number, 0 or more, not ${JSON.stringify(points)}`,
    );
  }
  return all as Record<string, number>;
}
