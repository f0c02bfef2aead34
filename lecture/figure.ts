/** What the lecture's figure holds: three columns, and time going down. */

/** The columns, from left to right. */
export const LANES = ["client 1", "server", "client 2"] as const;
/** A column. */
export type Lane = 0 | 1 | 2;

/** What one does at a time: nothing yet or any more, its own things, waiting, serving. */
export type State = "off" | "on" | "waits" | "serves";

/** One event, in its column. */
export interface Row {
  /** Seconds since the act began. */
  time: number;
  lane: Lane;
  text: string;
  /** What each column does from now on. */
  states: [State, State, State];
  /** The event that this one comes of, and what went from there to here. */
  from?: { row: Row; label: string };
  /** What went from here to the kernel, where it waits for the server. */
  queued?: string;
}

/** One scene. */
export interface Act {
  title: string;
  rows: Row[];
  /** What is to be learned of it. */
  moral: string;
}

/** Whether something went from column to column to come to an event, or from the kernel. */
export function arrow({ lane, from }: Row): { from: Lane | "kernel"; label: string } | undefined {
  if (from === undefined) return undefined;
  const kernel = from.row.queued !== undefined;
  return kernel || from.row.lane !== lane
    ? { from: kernel ? "kernel" : from.row.lane, label: from.label }
    : undefined;
}
