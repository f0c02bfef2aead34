/** The progress bar of `@std/cli`, on a terminal, if JSR is reachable. */
import type { ProgressBar } from "jsr:@std/cli@1.0.32/unstable-progress-bar";
import type { Second } from "./drive.ts";

/** In a constant, so that Deno doesn't fetch it unless there is a terminal. */
const SPECIFIER = "jsr:@std/cli@1.0.32/unstable-progress-bar";
const WIDTH = 40;

/** A progress bar, shown once its module has loaded. */
export interface Progress {
  /** Shows the measurements of a second. */
  second(second: Second): void;
  /** Clears it. */
  end(): Promise<void>;
}

/** Shows the progress of `time` milliseconds, if it ends and standard error is a terminal. */
export function showProgress(time: number): Progress | undefined {
  if (time === Infinity || !Deno.stderr.isTerminal()) return undefined;
  const start = performance.now();
  let speed = "warm-up";
  let bar: ProgressBar | undefined;
  let ended = false;
  const writable = new WritableStream<Uint8Array>({
    write: async (bytes) => {
      await Deno.stderr.write(bytes);
    },
  });
  const formatter = ({ progressBar }: { progressBar: string }) => {
    const seconds = (performance.now() - start) / 1000;
    return `[${progressBar}] ${Math.min(seconds, time / 1000).toFixed(0)} of ${
      time / 1000
    } s, ${speed}`;
  };
  import(SPECIFIER).then((module) => {
    if (ended) return;
    const options = {
      max: time,
      barLength: WIDTH,
      clear: true,
      interval: 200,
      formatter,
      writable,
    };
    bar = new module.ProgressBar(options) as ProgressBar;
    ticker = setInterval(() => bar!.value = performance.now() - start, 200);
  }, () => {}); // can't be loaded: no bar
  let ticker: ReturnType<typeof setInterval> | undefined;
  return {
    second({ time, tally: { lines } }) {
      speed = `${Math.round(lines / time * 1000).toLocaleString("en")} lines/s`;
    },
    async end() {
      ended = true;
      clearInterval(ticker);
      await bar?.stop();
    },
  };
}
