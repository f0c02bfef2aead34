/** The data of the lecture's figure: three columns, with time running down. */

/** A column, from left to right: client 1, the server, client 2. */
export type Lane = 0 | 1 | 2;

/** What a program is doing: not running, running, waiting, or serving. */
export type State = "off" | "on" | "waits" | "serves";

/** One event, in its column. */
export interface Row {
  /** Seconds since the act began. */
  time: number;
  lane: Lane;
  text: string;
  /** The state of each column from now on. */
  states: [State, State, State];
  /** The event that caused this one, and what was sent from there to here. */
  from?: { row: Row; label: string };
  /** What was sent from here to the kernel's queue, where it waits for the server. */
  queued?: string;
}

/** One scene. */
export interface Act {
  title: string;
  rows: Row[];
  /** The lesson. */
  moral: string;
}

/** The arrow that leads to an event, from another column or the kernel, if there is one. */
export function arrow({ lane, from }: Row): { from: Lane | "kernel"; label: string } | undefined {
  if (from === undefined) return undefined;
  const kernel = from.row.queued !== undefined;
  return kernel || from.row.lane !== lane
    ? { from: kernel ? "kernel" : from.row.lane, label: from.label }
    : undefined;
}
