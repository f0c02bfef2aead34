/** What the tests of judge share: trials, a few at once, and what came of them. */
import { assert } from "@std/assert";
import type { Case } from "../../tools/judge/case.ts";
import { CASES } from "../../tools/judge/cases.ts";
import { Started } from "../../tools/judge/process.ts";
import { type Result, tryAll } from "../../tools/judge/run.ts";
import { Trial } from "../../tools/judge/trial.ts";
import { ROOT } from "../helpers.ts";

/**
 * Milliseconds that a wait of a trial may take here. Only what fails waits so long, so it is far
 * more than a good server needs on a busy machine.
 */
export const TIMEOUT = 5000;
/**
 * Whether each wrong program is tried with all the cases, which shows that it fails no other, and
 * each program of the lecture: `deno task judge:thorough`.
 */
export const THOROUGH = Deno.args.includes("--thorough");
/** Trials that run at once. */
const AT_ONCE = 6;

/** The names of the cases that came to a verdict. */
export function named(results: Result[], ...verdicts: Result["verdict"][]): string[] {
  return results.filter(({ verdict }) => verdicts.includes(verdict)).map(({ name }) => name);
}

/** Does some work for each, a few at once. */
export async function atOnce<T, R>(all: T[], work: (one: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const worker = async () => {
    for (let i; (i = next++) < all.length;) results[i] = await work(all[i]);
  };
  // If one fails, the others end first: what they have open isn't the next test's.
  const done = await Promise.allSettled(Array.from({ length: AT_ONCE }, worker));
  for (const worker of done) if (worker.status === "rejected") throw worker.reason;
  return results;
}

/**
 * The cases that failed and shouldn't have, and do so again when each is tried alone: on a busy
 * machine a good server may be too late once.
 */
export async function unexpected<T>(
  failed: string[],
  expected: string[],
  retry: (cases: Case<T>[]) => Promise<Result[]>,
  all: Case<T>[],
): Promise<string[]> {
  const steady = [];
  for (const name of failed.filter((name) => !expected.includes(name))) {
    const cases = all.filter((c) => c.name === name);
    let fails = true;
    for (let times = 0; fails && times < 2; times++) {
      fails = named(await retry(cases), "failed", "not tried").length > 0;
    }
    if (fails) steady.push(name);
  }
  return steady;
}

/** Compiles one of the lecture's programs. */
export async function compile(program: string, bin: string): Promise<void> {
  const sources = [program, "csapp"].map((name) => `${ROOT}/tests/c/${name}.c`);
  const args = ["-O2", "-Wall", "-Wextra", "-Werror", "-o", `${bin}/${program}`, ...sources];
  const { success } = await new Deno.Command("gcc", { args: [...args, "-lpthread"] }).output();
  assert(success, program);
}

/** Tries a server that judge starts: all the cases, unless some are given. */
export async function judgeStarted(command: string, cases = CASES): Promise<Result[]> {
  const started = new Started(command, TIMEOUT);
  await using trial = new Trial("localhost", await started.start(), TIMEOUT, started);
  return await Array.fromAsync(tryAll(trial, cases));
}
