/** A server's standard output. */
import type { Giver, Stdout } from "../cli/stdout.ts";
import { reason } from "../net/errors.ts";
import { within } from "../net/time.ts";
import type { Printer } from "./report.ts";

/** Standard output that may fail: the server reports it once and goes on without it. */
export class Output implements Printer {
  readonly #stdout: Stdout;
  readonly #log: (line: string) => void;
  readonly #waiting = new Set<Promise<void>>();
  #fault: unknown;

  /** Prints to `stdout` and reports its first error to `log`. */
  constructor(stdout: Stdout, log: (line: string) => void) {
    this.#stdout = stdout;
    this.#log = log;
  }

  /** Like {@linkcode Stdout.print}, but an error of standard output is only reported. */
  print(p: Uint8Array, times?: number, giver?: Giver): Promise<void> | undefined {
    if (this.#fault !== undefined) return;
    try {
      const wait = this.#stdout.print(p, times, giver);
      if (wait === undefined) return;
      const printed = wait.catch((error) => {
        if (error !== this.#stdout.error) throw error; // given up
        this.#fail(error);
      }).finally(() => this.#waiting.delete(printed));
      this.#waiting.add(printed);
      return printed;
    } catch (error) {
      this.#fail(error);
    }
  }

  /**
   * Writes what is left, within `ms` milliseconds. Returns false if output was lost. A reader that
   * closed the pipe, as `head` does, loses nothing.
   */
  async end(ms: number): Promise<boolean> {
    const all = (async () => {
      while (this.#waiting.size > 0) await Promise.allSettled(this.#waiting);
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
