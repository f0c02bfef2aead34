/** Cases and how they end. */
import { sleep } from "../../net/time.ts";

/** The most time a case may take, as a multiple of the timeout of one wait. */
export const WAITS = 6;

/** Clock ticks, of 10 ms, that a program may take while it waits. */
const SOME_TICKS = 1;
/** How often to look whether a program that isn't asleep falls asleep. */
const WINDOWS = 5;

/** A case failed: the message says what was seen. */
export class Failure extends Error {}
/** A case can't run: the message says why. */
export class Skip extends Error {}

/** A test of one promise that `T`, a server or a client, should keep. */
export interface Case<T> {
  /** The promise. */
  name: string;
  /** What judge did. */
  did: string;
  /** What a failure means. */
  means: string;
  /** Whether `means` explains why the server ends. */
  fatal?: true;
  /** Where to read more. */
  read: string;
  /**
   * Runs the case. Returns a finding to report, if there is one that is not a failure.
   * @throws {Failure} If the promise is broken.
   * @throws {Skip} If the case can't run.
   */
  run(t: T): Promise<string | void>;
}

/** Formats milliseconds as seconds. */
export function seconds(ms: number): string {
  return `${Number((ms / 1000).toFixed(2))} s`;
}

/** What a program takes of CPU time in `ms` milliseconds, though it should sleep; else undefined. */
export async function busy(ticks: () => number, ms: number): Promise<string | undefined> {
  let took = 0;
  for (let n = 0; n < WINDOWS; n++) {
    const before = ticks();
    await sleep(ms);
    took = ticks() - before;
    if (took <= SOME_TICKS) return undefined;
  }
  return `it took ${took * 10} ms of CPU time in ${ms} ms`;
}
