/** Runs cases, one after the other. */
import { within } from "../../net/time.ts";
import { type Case, Failure, seconds, Skip, WAITS } from "./case.ts";

/** The result of a case. */
export interface Result {
  name: string;
  verdict: "passed" | "failed" | "skipped" | "not tried";
  /** What was seen when it failed, why it was skipped or not run, or a finding. */
  saw?: string;
  /** What the failure means, if not what the case says. */
  means?: string;
  ms: number;
}

/** What the runner needs of the server or client under test. */
export interface Subject extends AsyncDisposable {
  timeout: number;
  /** Begins a case. */
  begin(): void;
  /** Ends a case: closes what it left open. */
  end(): Promise<void>;
  /** How the server ended; undefined if it runs, or if that can't be known. */
  ended?(): Promise<string | undefined>;
  /** Makes the server or client ready again after a failure; false if that is impossible. */
  recover(): Promise<boolean>;
}

/** Runs the cases, and yields each result as soon as it is known. */
export async function* tryAll<T extends Subject>(t: T, cases: Case<T>[]): AsyncGenerator<Result> {
  let gone: string | undefined;
  for (const { name, run, fatal } of cases) {
    if (gone !== undefined) {
      yield { name, verdict: "not tried", saw: gone, ms: 0 };
      continue;
    }
    const start = performance.now();
    t.begin();
    const result: Omit<Result, "name" | "ms"> = await tryOne(t, run);
    const ended = result.verdict === "failed" ? await t.ended?.() : undefined;
    if (ended !== undefined) {
      result.saw = `${ended} (${result.saw})`;
      if (!fatal) result.means = "the server ended, in this case or after the one before";
    }
    await t.end();
    yield { name, ...result, ms: Math.round(performance.now() - start) };
    if (result.verdict === "failed" && !(await t.recover())) {
      gone = `nobody has been answered since "${name}"`;
    }
  }
}

async function tryOne<T extends Subject>(
  t: T,
  run: Case<T>["run"],
): Promise<Pick<Result, "verdict" | "saw">> {
  const running = run(t).then((saw) => ({ saw }));
  try {
    const done = await within(WAITS * t.timeout, running);
    if (done !== undefined) return { verdict: "passed", saw: done.saw || undefined };
    await t.end();
    await running.catch(() => {}); // ends, because each of its waits is bounded
    return { verdict: "failed", saw: `not over after ${seconds(WAITS * t.timeout)}` };
  } catch (error) {
    if (error instanceof Failure) return { verdict: "failed", saw: error.message };
    if (error instanceof Skip) return { verdict: "skipped", saw: error.message };
    throw error;
  }
}
