/** Runs a load: warm-up, the measured seconds, and then the lines still in flight. */
import process from "node:process";
import { within } from "../../net/time.ts";
import { Fault, type FaultKind } from "./fault.ts";
import type { Thread } from "./generator.ts";
import type { Histogram } from "./histogram.ts";
import { Tally } from "./tally.ts";

/** How long a load runs, and a callback for each second. */
export interface DriveOptions {
  /** Milliseconds to measure, and milliseconds of warm-up before. */
  time: number;
  warmup: number;
  signal?: AbortSignal;
  /** Called after each second; the last may be shorter. */
  onSecond?: (second: Second) => unknown;
}

/** The measurements of one second. */
export interface Second {
  /** Its end and its length, in milliseconds of measured time. */
  end: number;
  time: number;
  tally: Tally;
}

/** The measurements of a load. */
export interface LoadResult {
  /** Milliseconds measured. */
  time: number;
  /** Lines that came back in that time. */
  lines: number;
  /** Round trips of those lines, and the ages of lines lost, and of those owed or due at the end. */
  histogram: Histogram;
  /** Lines that were due and not sent: the peer owed `depth` or was away, or this thread was late. */
  unsent: number;
  /** Connections in that time: those open when it began, and those opened since. */
  opened: number;
  /** Connections that had sent a line, and those that had an answer, before sending stopped. */
  asked: number;
  /** See `asked`. */
  answered: number;
  /** With `onFault: "count"` the number of faults of each kind. */
  faults: Partial<Record<FaultKind, number>>;
  /** Lines that were in flight at these faults. */
  lost: number;
  /** The most milliseconds from a fault, or from the last byte before a timeout, to the next line. */
  outage: number;
  /**
   * CPU use per thread of this program, 0 to 1. Near 1 this program is the bottleneck,
   * unless it sends at a rate: then most of it is the polling of the clock.
   */
  busy: number;
  /** The fault that ended the load early, if any. */
  fault: Fault | undefined;
}

/** Runs a load. */
export async function drive(threads: Thread[], options: DriveOptions): Promise<LoadResult> {
  const { time, warmup, signal, onSecond } = options;
  const total = new Tally();
  let [lines, busy] = [0, 0];
  let fault: Fault | undefined;
  const aborted = Promise.withResolvers<boolean>();
  const abort = () => aborted.resolve(true);
  if (signal?.aborted) abort();
  signal?.addEventListener("abort", abort);

  /** When the warm-up ended, and milliseconds from then to the end of the last second. */
  let begin: number | undefined;
  let last = 0;
  let cpu: ReturnType<typeof process.cpuUsage>;
  let stopped = false;
  const take = async (call: "take" | "end") => {
    const tally = new Tally();
    for (const taken of await Promise.all(threads.map((thread) => thread[call]()))) {
      tally.add(taken);
    }
    return tally;
  };
  const endSecond = async () => {
    const tally = await take("take");
    const end = performance.now() - begin!;
    lines += tally.lines;
    const { user, system } = process.cpuUsage(cpu);
    busy = (user + system) / 1000 / end / threads.length;
    const second = { end, time: end - last, tally };
    last = end;
    if (second.time > 0) await onSecond?.(second);
    total.add(tally.take());
  };

  try {
    const open = Promise.all(threads.map((thread) => thread.open())).then(() => false);
    if (!(await Promise.race([open, aborted.promise]))) {
      total.opened = (await take("take")).opened;
      const ended = Promise.all(threads.map((thread) => thread.begin())).then(() => true);
      const over = Promise.race([ended, aborted.promise]);
      over.catch(() => {}); // awaited below
      if (warmup === 0 || !(await within(warmup, over))) {
        if (warmup > 0) {
          const { asked, answered } = await take("take");
          Object.assign(total, { asked, answered });
        }
        begin = performance.now();
        cpu = process.cpuUsage();
        let stop: boolean | undefined;
        for (let next = 0; !stop && next < time;) {
          next = Math.min(next + 1000, time);
          stop = await within(Math.max(0, begin + next - performance.now()), over);
          await endSecond();
        }
        // All lines are back; the peer's FIN may have taken longer.
        if (stop && !signal?.aborted && total.lastLine > 0) {
          const end = total.lastLine - performance.timeOrigin - begin;
          busy = Math.min(1, busy * last / end);
          last = end;
        }
      }
      if (!signal?.aborted) {
        stopped = true;
        await Promise.all(threads.map((thread) => thread.stop()));
        await over;
      }
    }
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    fault = error;
    if (begin !== undefined && !stopped) await endSecond();
  } finally {
    signal?.removeEventListener("abort", abort);
    const rest = await take("end");
    if (stopped) rest.asked = rest.answered = 0;
    if (begin === undefined) rest.histogram.take();
    total.add(rest.take());
  }
  const { lastLine: _, ...counted } = total;
  return { ...counted, time: last, lines, busy, fault };
}
