/** The standard output of a server. */
import type { Stdout } from "../cli/stdout.ts";
import { reason } from "../net/errors.ts";
import { within } from "../net/time.ts";
import type { Printer } from "./report.ts";

/** Standard output that is given up when it fails: the server serves on, and says so once. */
export class Output implements Printer {
  readonly #stdout: Stdout;
  readonly #log: (line: string) => void;
  readonly #waiting = new Set<Promise<void>>();
  #fault: unknown;

  /** Prints to `stdout`, and tells its fault to `log`. */
  constructor(stdout: Stdout, log: (line: string) => void) {
    this.#stdout = stdout;
    this.#log = log;
  }

  /** As `print` of `Stdout`, but never throws. */
  print(p: Uint8Array, times?: number): Promise<void> | undefined {
    if (this.#fault !== undefined) return;
    try {
      const wait = this.#stdout.print(p, times);
      if (wait === undefined) return;
      const printed = wait.catch((error) => this.#fail(error)).finally(() => {
        this.#waiting.delete(printed);
      });
      this.#waiting.add(printed);
      return printed;
    } catch (error) {
      this.#fail(error);
    }
  }

  /**
   * Writes what is left, within so many milliseconds.
   *
   * @returns Whether nothing was lost. What nobody wants any more, as behind `head`, is not.
   */
  async end(ms: number): Promise<boolean> {
    const all = (async () => {
      while (this.#waiting.size > 0) await Promise.all(this.#waiting);
      await this.#stdout.flush();
      return true;
    })();
    try {
      if (!await within(ms, all)) throw new Error("standard output: nobody reads it");
    } catch (error) {
      this.#fail(error);
    }
    return this.#fault === undefined || this.#fault instanceof Deno.errors.BrokenPipe;
  }

  #fail(error: unknown): void {
    if (this.#fault === undefined) this.#log(`server: ${reason(error)}`);
    this.#fault ??= error;
  }
}
