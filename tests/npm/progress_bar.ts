/** A stand-in for the progress bar this project uses from `@std/cli`. */

/** The options of `ProgressBar` that this project uses. */
export interface ProgressBarOptions {
  max: number;
  barLength: number;
  interval: number;
  clear: boolean;
  formatter: (formatter: { progressBar: string }) => string;
  writable: WritableStream<Uint8Array>;
}

/** A bar that is redrawn in place. */
export class ProgressBar {
  value = 0;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #timer: ReturnType<typeof setInterval>;

  constructor({ max, barLength, interval, formatter, writable }: ProgressBarOptions) {
    this.#writer = writable.getWriter();
    const print = () => {
      const filled = Math.trunc(Math.min(this.value / max, 1) * barLength);
      const progressBar = "#".repeat(filled).padEnd(barLength, "-");
      return this.#print(formatter({ progressBar }));
    };
    this.#timer = setInterval(print, interval);
    print();
  }

  async #print(text: string): Promise<void> {
    await this.#writer.write(new TextEncoder().encode(`\r\u001b[K${text}`)).catch(() => {});
  }

  /** Clears it. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#print("");
  }
}
