/** What a case is, and how it ends. */

/** How often as long as one wait a case may take. */
export const WAITS = 6;

/** A case has failed: the message says what was seen. */
export class Failure extends Error {}
/** A case can't be tried: the message says why. */
export class Skip extends Error {}

/** A promise that a server or a client, `T`, keeps or breaks. */
export interface Case<T> {
  /** The promise. */
  name: string;
  /** What judge does. */
  did: string;
  /** What it means if the promise is broken. */
  means: string;
  /** Where to read on. */
  read: string;
  /**
   * Tries it: throws a {@linkcode Failure} or a {@linkcode Skip}. What it returns is a finding,
   * which is no fault.
   */
  run(t: T): Promise<string | void>;
}

/** Milliseconds, as seconds. */
export function seconds(ms: number): string {
  return `${Number((ms / 1000).toFixed(2))} s`;
}
