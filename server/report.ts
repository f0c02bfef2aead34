/** What the echo server prints, tells and counts. */
import { count } from "../cli/flags.ts";
import type { Stdout } from "../cli/stdout.ts";
import { reason } from "../net/errors.ts";
import { nameinfo, numbers, peername } from "./nameinfo.ts";
import type { Endpoints } from "./proxy.ts";

/** Faults that are told a second; those of a flood beyond are counted. */
const FAULTS = 10;

/** Standard output, or what hands it on. */
export type Printer = Pick<Stdout, "print">;

/** What is printed of a connection. */
export interface ReportOptions {
  /** Whether clients are shown with their names. */
  names: boolean;
  /** Whether nothing is printed. */
  quiet: boolean;
}

const encoder = new TextEncoder();

/** What the echo server prints on standard output, and tells on standard error. */
export class Report {
  readonly #options: ReportOptions;
  readonly #stdout: Printer;
  readonly #log: (line: string) => void;
  /** What is printed of a line, by its length. */
  readonly #lines: Uint8Array[] = [];
  #faults = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: ReportOptions, stdout: Printer, log: (line: string) => void) {
    this.#options = options;
    this.#stdout = stdout;
    this.#log = log;
  }

  /** Prints who has connected. */
  async connected(ends: Endpoints): Promise<void> {
    if (this.#options.quiet) return;
    const [host, port] = this.#options.names ? await nameinfo(ends) : numbers(ends);
    await this.#stdout.print(encoder.encode(`Connected to (${host}, ${port})\n`));
  }

  /** Prints how many bytes each line has; a promise if standard output is full. */
  received(lengths: readonly number[], from: number = 0): Promise<void> | undefined {
    if (this.#options.quiet) return;
    for (let i = from; i < lengths.length;) {
      const length = lengths[i];
      const first = i;
      while (i < lengths.length && lengths[i] === length) i++;
      const line = this.#lines[length] ??= encoder.encode(`server received ${length} bytes\n`);
      const wait = this.#stdout.print(line, i - first);
      if (wait !== undefined) return wait.then(() => this.received(lengths, i));
    }
  }

  /** Tells of a fault, in one line; in a flood of them, how many there were. */
  fault(error: unknown, addr?: Deno.Addr): void {
    this.#timer ??= setTimeout(() => this.end(), 1000);
    if (++this.#faults > FAULTS) return;
    const who = addr === undefined ? "accept" : peername(addr);
    this.#log(`server: ${who}: ${reason(error)}`);
  }

  /** Tells how many faults more there were. */
  end(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const more = this.#faults - FAULTS;
    if (more > 0) this.#log(`server: and ${count(more, "more fault")}`);
    this.#faults = 0;
  }
}
