/** What the echo server prints on standard output and standard error. */
import type { Stdout } from "../cli/stdout.ts";
import { clientOf } from "../net/address.ts";
import { reason } from "../net/errors.ts";
import { plural } from "../net/text.ts";
import { nameinfo, numbers, peername } from "./nameinfo.ts";
import type { Connfd } from "./connfd.ts";
import { EchoStats } from "./stats.ts";

/** Lines in a second about faults, and about ends: of one client, and of all. */
const LINES_OF_ONE = 10;
const LINES = 100;

/** Standard output, or something that forwards to it. */
export type Printer = Pick<Stdout, "print">;

/** What to print about connections. */
export interface ReportOptions {
  /** Whether to print names of hosts and services instead of numbers. */
  names: boolean;
  /** Whether to report the ends of connections. */
  log: boolean;
  /** Whether to print nothing on standard output. */
  quiet: boolean;
}

const encoder = new TextEncoder();

/** Prints connections and lines on standard output, faults and ends on standard error. */
export class Report {
  readonly #options: ReportOptions;
  readonly #stdout: Printer;
  readonly #faults: Bounded;
  readonly #ends: Bounded;
  /** The text printed for a line, by the line's length. */
  readonly #lines: Uint8Array[] = [];

  constructor(options: ReportOptions, stdout: Printer, log: (line: string) => void) {
    this.#options = options;
    this.#stdout = stdout;
    this.#faults = new Bounded("fault", log);
    this.#ends = new Bounded("end", log);
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

  /** Reports a fault. */
  fault(error: unknown, addr?: Deno.Addr): void {
    this.#faults.tell(reason(error), addr);
  }

  /** Reports the end of a connection, with `--log`. */
  closed(addr: Deno.Addr, cause: string, ms = 0, stats = new EchoStats()): void {
    if (!this.#options.log) return;
    const { lines, bytesIn, bytesOut } = stats;
    const counts = `${plural(lines, "line")}, ${plural(bytesIn, "byte")} in, ${bytesOut} out`;
    this.#ends.tell(`closed: ${cause}, ${counts}, ${(ms / 1000).toFixed(1)} s`, addr);
  }

  /** Reports how many faults and ends were only counted. */
  end(): void {
    this.#faults.end();
    this.#ends.end();
  }
}

/** Lines about clients, so many in a second; more are only counted. */
class Bounded {
  readonly #thing: string;
  readonly #log: (line: string) => void;
  /** Lines in this second, by client; and those only counted. */
  readonly #told = new Map<string, number>();
  #lines = 0;
  #more = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(thing: string, log: (line: string) => void) {
    this.#thing = thing;
    this.#log = log;
  }

  /** Tells it in one line, or only counts it if there are too many. */
  tell(what: string, addr: Deno.Addr | undefined): void {
    this.#timer ??= setTimeout(() => this.end(), 1000);
    const who = addr !== undefined && "hostname" in addr ? clientOf(addr.hostname) : "";
    const told = this.#told.get(who) ?? 0;
    if (told === LINES_OF_ONE || this.#lines === LINES) {
      this.#more++;
      return;
    }
    this.#told.set(who, told + 1);
    this.#lines++;
    this.#log(`server: ${addr === undefined ? "accept" : peername(addr)}: ${what}`);
  }

  /** Tells how many were only counted. */
  end(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#more > 0) this.#log(`server: and ${plural(this.#more, `more ${this.#thing}`)}`);
    this.#more = this.#lines = 0;
    this.#told.clear();
  }
}
