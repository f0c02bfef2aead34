/**
 * The echo service: `echo` of CS:APP, and the server that calls it for each client,
 * prints, and counts.
 *
 * @module
 */
import { count, reason, type Stdout } from "./cli.ts";
import { address } from "./listen.ts";
import { type Reader, Rio, rioWriten, type Writer } from "./rio.ts";
import { type Listenfd, serve, ServeStats } from "./serve.ts";

/**
 * Bytes of a burst. A larger one goes back later: while it is read, the client waits
 * (measured: 8000-byte lines, eight under way, with 64 KiB at two thirds the speed).
 */
const ECHO_BUFSIZE = 16_384;

/** The counters of {@linkcode echo}. */
export class EchoStats {
  /** Lines, and pieces of lines, that were read. */
  lines = 0;
  /** Bytes of the lines. */
  bytesIn = 0;
  /** Bytes written back. */
  bytesOut = 0;
}

/** What {@linkcode echo} takes. */
export interface EchoOptions {
  /** The counters to keep. */
  stats?: EchoStats;
  /**
   * Called with the bytes of each line, or piece of one, of a burst, before they go
   * back. If it returns a promise, they wait for it.
   */
  onLines?: (lengths: readonly number[]) => unknown;
}

/**
 * Reads lines and writes them back until EOF: `echo` of the book's echo server.
 * Lines that come together go back together, in one write. It doesn't close the
 * descriptor. A line of `MAXLINE` bytes or more comes and goes in pieces.
 *
 * @param connfd A connected descriptor, or anything with `read` and `write`.
 * @param options What to call for the lines.
 * @throws {Error} What reading, writing and `onLines` throw.
 *
 * @example
 * ```ts
 * import { echo } from "@netp/rio/server";
 * import { assertEquals } from "@std/assert";
 *
 * const input = [new TextEncoder().encode("hello\n"), null];
 * let output = "";
 * await echo({
 *   read: (p) => {
 *     const bytes = input.shift() ?? null;
 *     if (bytes !== null) p.set(bytes);
 *     return Promise.resolve(bytes && bytes.length);
 *   },
 *   write: (p) => {
 *     output += new TextDecoder().decode(p);
 *     return Promise.resolve(p.length);
 *   },
 * });
 * assertEquals(output, "hello\n");
 * ```
 */
export async function echo(
  connfd: Reader & Writer,
  { stats = new EchoStats(), onLines }: EchoOptions = {},
): Promise<void> {
  const rio = new Rio(connfd, { bufsize: ECHO_BUFSIZE });
  const usrbuf = new Uint8Array(ECHO_BUFSIZE);
  const lengths: number[] = [];
  while (await rio.ready()) {
    const n = rio.takeLines(usrbuf, lengths);
    stats.lines += lengths.length;
    stats.bytesIn += n;
    const printed = onLines?.(lengths);
    if (printed !== undefined) await printed;
    await rioWriten(connfd, usrbuf.subarray(0, n));
    stats.bytesOut += n;
  }
}

/** Who is at the other end, as a diagnostic names it. */
function peername(addr: Deno.Addr): string {
  return "hostname" in addr ? address(unmapped(addr.hostname), addr.port) : "a client";
}

/** An IPv4 address without the IPv6 around it. */
function unmapped(hostname: string): string {
  return hostname.replace(/^::ffff:(?=\d+\.)/, "");
}

/** The host and the port of a client: getnameinfo(3). */
async function nameinfo(
  { remoteAddr, localAddr }: Deno.Conn<Deno.Addr>,
  names: boolean,
): Promise<[host: string, port: string]> {
  if (!("hostname" in remoteAddr)) {
    // A client of a Unix socket has no name.
    return ["localhost", (localAddr as Deno.UnixAddr).path];
  }
  const host = unmapped(remoteAddr.hostname);
  if (names) {
    try {
      const { lookupService } = await import("node:dns/promises");
      const { hostname, service } = await lookupService(host, remoteAddr.port);
      return [hostname, service];
    } catch {
      // No name: the numbers, as getnameinfo does.
    }
  }
  return [host, String(remoteAddr.port)];
}

/** What the echo server has done; it can be sent from thread to thread. */
export type Stats =
  & Pick<ServeStats, "accepted" | "active" | "closed">
  & Pick<EchoStats, "lines" | "bytesIn" | "bytesOut">;

/** What the echo server is told; it can be sent from thread to thread. */
export interface EchoServerOptions {
  /** As for {@linkcode serve}. */
  concurrency: number;
  /** As for {@linkcode serve}. */
  grace: number;
  /** As for {@linkcode serve}. */
  idleTimeout: number | undefined;
  /** As for {@linkcode serve}. */
  maxTime: number | undefined;
  /** Whether clients are shown with their names. */
  names: boolean;
  /** Whether nothing is printed. */
  quiet: boolean;
}

const encoder = new TextEncoder();
const encode = (text: string) => encoder.encode(text);
/** Faults that are told a second; those of a flood are counted. */
const FAULTS = 10;

/** Standard output, or what hands it on. */
export type Printer = Pick<Stdout, "print">;

/** The echo server: `serve`, `echo`, and what is printed about them. */
export class EchoServer {
  readonly #options: EchoServerOptions;
  readonly #stdout: Printer;
  readonly #log: (line: string) => void;
  /** What is printed of a line, by its length. */
  readonly #reports: Uint8Array[] = [];
  readonly #stop = new AbortController();
  readonly #serveStats = new ServeStats();
  readonly #echoStats = new EchoStats();
  #faults = 0;
  #faultTimer: ReturnType<typeof setTimeout> | undefined;

  /** A server that prints to `stdout`, and tells its faults to `log`. */
  constructor(
    options: EchoServerOptions,
    stdout: Printer,
    log: (line: string) => void,
  ) {
    this.#options = options;
    this.#stdout = stdout;
    this.#log = log;
  }

  /** What it has done so far. */
  get stats(): Stats {
    const { accepted, active, closed } = this.#serveStats;
    return { accepted, active, closed, ...this.#echoStats };
  }

  /** Accepts no more, and ends when all are served or the grace has run out. */
  stop(): void {
    this.#stop.abort();
  }

  /** Serves until it is told to stop. */
  async run<C extends Deno.Conn<Deno.Addr>>(
    listenfd: Listenfd<C>,
  ): Promise<void> {
    const { quiet, ...options } = this.#options;
    await serve(listenfd, async (connfd) => {
      if (!quiet) {
        const [host, port] = await nameinfo(connfd.conn, options.names);
        await this.#stdout.print(
          encode(`Connected to (${host}, ${port})\n`),
        );
      }
      await echo(connfd, {
        stats: this.#echoStats,
        onLines: quiet ? undefined : (lengths) => this.#report(lengths),
      });
    }, {
      ...options,
      signal: this.#stop.signal,
      stats: this.#serveStats,
      onError: (error, connfd) => this.fault(error, connfd?.conn.remoteAddr),
    });
    this.#endFaults();
  }

  #report(
    lengths: readonly number[],
    from = 0,
  ): Promise<void> | undefined {
    for (let i = from; i < lengths.length;) {
      const length = lengths[i];
      const first = i;
      while (i < lengths.length && lengths[i] === length) i++;
      const wait = this.#stdout.print(
        this.#reports[length] ??= encode(`server received ${length} bytes\n`),
        i - first,
      );
      if (wait !== undefined) {
        return wait.then(() => this.#report(lengths, i));
      }
    }
  }

  /** Tells of a fault, in one line; in a flood of them, how many there were. */
  fault(error: unknown, addr?: Deno.Addr): void {
    this.#faultTimer ??= setTimeout(() => this.#endFaults(), 1000);
    if (++this.#faults > FAULTS) return;
    const who = addr === undefined ? "accept" : peername(addr);
    this.#log(`server: ${who}: ${reason(error)}`);
  }

  #endFaults(): void {
    clearTimeout(this.#faultTimer);
    this.#faultTimer = undefined;
    const more = this.#faults - FAULTS;
    if (more > 0) this.#log(`server: and ${count(more, "more fault")}`);
    this.#faults = 0;
  }
}

/** The sum of what all threads have done. */
export function total(stats: Stats[]): Stats {
  const sum = { ...new ServeStats(), ...new EchoStats() };
  for (const { closed, ...counts } of stats) {
    for (const [name, n] of Object.entries(counts)) {
      sum[name as keyof typeof counts] += n;
    }
    for (const [name, n] of Object.entries(closed)) {
      sum.closed[name as keyof typeof closed] += n;
    }
  }
  return sum;
}

/** The counters as a line of JSON. */
export function json(stats: Stats[]): string {
  return JSON.stringify({
    ...total(stats),
    ...stats.length > 1 && { workers: stats },
  });
}
