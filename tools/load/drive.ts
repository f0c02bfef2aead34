/** Runs a load: warm-up, the measured seconds, and then the lines still in flight. */
import process from "node:process";
import { within } from "../../net/time.ts";
import { Fault } from "./fault.ts";
import type { Thread } from "./generator.ts";
import { Histogram } from "./histogram.ts";

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
  histogram: Histogram;
}

/** The measurements of a load. */
export interface LoadResult {
  /** Milliseconds measured. */
  time: number;
  /** Lines that came back in that time. */
  lines: number;
  /** Round trips of those lines, and of the lines still in flight at the end. */
  histogram: Histogram;
  /** Lines that were due but couldn't be sent, because the peer owed `depth` lines. */
  unsent: number;
  /** Connections in that time: those open when it began, and those opened since. */
  opened: number;
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
  const histogram = new Histogram();
  const result: LoadResult = {
    time: 0,
    lines: 0,
    histogram,
    unsent: 0,
    opened: 0,
    busy: 0,
    fault: undefined,
  };
  const stopped = Promise.withResolvers<boolean>();
  const stop = () => stopped.resolve(true);
  if (signal?.aborted) stop();
  signal?.addEventListener("abort", stop);

  /** When the warm-up ended, and milliseconds from then to the end of the last second. */
  let begin: number | undefined;
  let last = 0;
  let cpu: ReturnType<typeof process.cpuUsage>;
  /** Connections that were replaced in the warm-up. */
  let replaced = 0;
  const each = (act: (thread: Thread) => number | Promise<number>) =>
    Promise.all(threads.map(act)).then((ns) => ns.reduce((sum, n) => sum + n, 0));
  const opened = () => each((thread) => thread.opened());
  const take = async () => {
    const second = new Histogram();
    for (const counts of await Promise.all(threads.map((thread) => thread.take()))) {
      second.add(counts);
    }
    return second;
  };
  const endSecond = async () => {
    const second = await take();
    if (begin === undefined) return;
    const end = performance.now() - begin;
    histogram.add(second);
    result.lines += second.count;
    result.time = end;
    const { user, system } = process.cpuUsage(cpu);
    result.busy = (user + system) / 1000 / end / threads.length;
    if (end > last) await onSecond?.({ end, time: end - last, histogram: second });
    last = end;
  };

  try {
    const open = Promise.all(threads.map((thread) => thread.open())).then(() => false);
    if (!(await Promise.race([open, stopped.promise]))) {
      const atOnce = await opened();
      const ended = Promise.all(threads.map((thread) => thread.begin())).then(() => true);
      const over = Promise.race([ended, stopped.promise]);
      over.catch(() => {}); // `ended` is awaited below
      if (!(await within(warmup, over))) {
        [replaced] = await Promise.all([opened(), take()]);
        replaced -= atOnce;
        begin = performance.now();
        cpu = process.cpuUsage();
        for (let next = 0, stop; !stop && next < time;) {
          next = Math.min(next + 1000, time);
          stop = await within(Math.max(0, begin + next - performance.now()), over);
          await endSecond();
        }
      }
      result.unsent = await each((thread) => thread.stop());
      await ended;
      if (begin !== undefined) histogram.add(await take());
    }
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    result.fault = error;
    await endSecond();
  } finally {
    signal?.removeEventListener("abort", stop);
    result.opened = await opened() - replaced;
    for (const thread of threads) thread.close();
  }
  return result;
}
