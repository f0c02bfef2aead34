/** Runs cases, one after the other. */
import { within } from "../../net/time.ts";
import { type Case, Failure, seconds, Skip, WAITS } from "./case.ts";
import { MARKS } from "./marks.ts";
import { byChance, meaning, meaningOfEnd, mistake } from "./seen.ts";

/** What is said of a case for which the server is too slow, and how long the next may take. */
const SLOW = "too slow to tell";
const SLOW_WAITS = 2;

/** The result of a case. */
export interface Result {
  name: string;
  verdict: "passed" | "failed" | "skipped" | "not tried";
  /** What was seen when it failed, why it was skipped or not run, or a finding. */
  saw?: string;
  /** What the failure means, if not what the case says. */
  means?: string;
  /** The failure from which this one follows. */
  follows?: string;
  /** Whether it is the same mistake as the one that it follows, and costs no points again. */
  same?: true;
  ms: number;
}

/** What the runner needs of the server or client under test. */
export interface Subject extends AsyncDisposable {
  timeout: number;
  /** Begins a case, which may take `most` milliseconds. */
  begin(most: number): void;
  /** Ends a case: closes what it left open. */
  end(): Promise<void>;
  /** How the server ended; undefined if it runs, or if that can't be known. */
  ended?(): Promise<string | undefined>;
  /** How many bytes have come back in the case. */
  progress?(): number;
  /** Makes the server or client ready again after a failure; false if that is impossible. */
  recover(): Promise<boolean>;
}

/** Runs the cases, for at most `total` milliseconds, and yields each result as soon as it is known. */
export async function* tryAll<T extends Subject>(
  t: T,
  cases: Case<T>[],
  total = Infinity,
): AsyncGenerator<Result> {
  const end = performance.now() + total;
  const failures: Failed[] = [];
  let [gone, since]: (string | undefined)[] = [];
  let waits = WAITS;
  for (const { name, run, fatal } of cases) {
    if (gone === undefined && performance.now() >= end) {
      gone = `the trial's ${seconds(total)} are over`;
    }
    if (gone !== undefined) {
      yield { name, verdict: "not tried", saw: gone, follows: since, ms: 0 };
      continue;
    }
    const start = performance.now();
    const most = Math.min(waits * t.timeout, end - start);
    t.begin(most);
    const tried: Omit<Result, "name" | "ms"> = await tryOne(t, run, most);
    if (tried.verdict === "failed" && performance.now() >= end) {
      await t.end();
      gone = `the trial's ${seconds(total)} are over`;
      yield { name, verdict: "not tried", saw: gone, ms: Math.round(performance.now() - start) };
      continue;
    }
    const ended = tried.verdict === "failed" ? await t.ended?.() : undefined;
    if (ended !== undefined) {
      if (!tried.saw?.startsWith(ended)) tried.saw = `${ended} (${tried.saw})`;
      if (!fatal) tried.means = meaningOfEnd(ended);
    }
    const what = mistake(ended ?? tried.saw ?? "");
    if (tried.verdict === "failed") tried.means ??= meaning(ended ?? tried.saw!);
    if (tried.verdict === "skipped" && tried.saw?.startsWith(SLOW)) waits = SLOW_WAITS;
    await t.end();
    const result = { name, ...tried, ms: Math.round(performance.now() - start) };
    if (result.verdict === "failed") {
      Object.assign(result, first(name, what, ended !== undefined, failures));
      const chance = byChance(ended ?? result.saw!, result.follows !== undefined);
      failures.push({ ...result, what: chance ? undefined : what });
    }
    yield result;
    if (result.verdict === "failed" && !(await t.recover())) {
      gone = `nobody has been answered since "${name}"`;
      since = result.follows ?? name;
    }
  }
}

/** A failure, and what mistake it is, if that can be told. */
type Failed = Pick<Result, "name" | "follows"> & { what?: string };

/** From which failure before it one follows, if from any. */
function first(
  name: string,
  what: string | undefined,
  ended: boolean,
  before: Failed[],
): Pick<Result, "follows" | "same"> {
  const same = before.find((failure) => what !== undefined && failure.what === what);
  const needed = before.find((failure) => MARKS.get(name)?.needs.includes(failure.name));
  const from = same ?? needed;
  if (from === undefined) return {};
  const follows = from.follows ?? from.name;
  // A server that ends for each of its clients makes one mistake, but has shown nothing else.
  const shown = !ended || needed === undefined;
  return same !== undefined && shown ? { follows, same: true } : { follows };
}

async function tryOne<T extends Subject>(
  t: T,
  run: Case<T>["run"],
  most: number,
): Promise<Pick<Result, "verdict" | "saw">> {
  const running = run(t).then((saw) => ({ saw }));
  try {
    const done = await within(most, running);
    if (done !== undefined) return { verdict: "passed", saw: done.saw || undefined };
    await t.end();
    await running.catch(() => {}); // ends, because each of its waits is bounded
    const came = t.progress?.() ?? 0;
    // Nothing was awaited in vain, so a server that answers is only slow.
    return came > 0
      ? { verdict: "skipped", saw: `${SLOW}: ${came} bytes came back in ${seconds(most)}` }
      : { verdict: "failed", saw: `not over after ${seconds(most)}` };
  } catch (error) {
    if (error instanceof Failure) return { verdict: "failed", saw: error.message };
    if (error instanceof Skip) return { verdict: "skipped", saw: error.message };
    throw error;
  }
}
