/** What the echo server prints on standard output and standard error. */
import type { Stdout } from "../cli/stdout.ts";
import { reason } from "../net/errors.ts";
import { plural } from "../net/text.ts";
import { nameinfo, numbers, peername } from "./nameinfo.ts";
import type { Connfd } from "./connfd.ts";

/** Faults told in a second, of one client and of all; more are only counted. */
const FAULTS_OF_ONE = 10;
const FAULTS = 100;

/** Standard output, or something that forwards to it. */
export type Printer = Pick<Stdout, "print">;

/** What to print about connections. */
export interface ReportOptions {
  /** Whether to print names of hosts and services instead of numbers. */
  names: boolean;
  /** Whether to print nothing on standard output. */
  quiet: boolean;
}

const encoder = new TextEncoder();

/** Prints connections and lines on standard output, and faults on standard error. */
export class Report {
  readonly #options: ReportOptions;
  readonly #stdout: Printer;
  readonly #log: (line: string) => void;
  /** The text printed for a line, by the line's length. */
  readonly #lines: Uint8Array[] = [];
  /** Faults told in this second, by client; and those only counted. */
  readonly #told = new Map<string, number>();
  #faults = 0;
  #more = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: ReportOptions, stdout: Printer, log: (line: string) => void) {
    this.#options = options;
    this.#stdout = stdout;
    this.#log = log;
  }

  /** Prints the client of a new connection. */
  async connected(connfd: Connfd): Promise<void> {
    if (this.#options.quiet) return;
    const [host, port] = this.#options.names ? await nameinfo(connfd) : numbers(connfd);
    await this.#stdout.print(encoder.encode(`Connected to (${host}, ${port})\n`), 1, connfd);
  }

  /** Prints the length of each line; returns a promise if standard output is full. */
  received(lengths: readonly number[], connfd: Connfd, from = 0): Promise<void> | undefined {
    if (this.#options.quiet) return;
    for (let i = from; i < lengths.length;) {
      const length = lengths[i];
      const first = i;
      while (i < lengths.length && lengths[i] === length) i++;
      const line = this.#lines[length] ??= encoder.encode(`server received ${length} bytes\n`);
      const wait = this.#stdout.print(line, i - first, connfd);
      if (wait !== undefined) return wait.then(() => this.received(lengths, connfd, i));
    }
  }

  /** Reports a fault in one line, or only counts it if there are too many. */
  fault(error: unknown, addr?: Deno.Addr): void {
    this.#timer ??= setTimeout(() => this.end(), 1000);
    const who = addr !== undefined && "hostname" in addr ? addr.hostname : "";
    const told = this.#told.get(who) ?? 0;
    if (told === FAULTS_OF_ONE || this.#faults === FAULTS) {
      this.#more++;
      return;
    }
    this.#told.set(who, told + 1);
    this.#faults++;
    this.#log(`server: ${addr === undefined ? "accept" : peername(addr)}: ${reason(error)}`);
  }

  /** Reports how many faults were only counted. */
  end(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#more > 0) this.#log(`server: and ${plural(this.#more, "more fault")}`);
    this.#more = this.#faults = 0;
    this.#told.clear();
  }
}
