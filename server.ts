/**
 * The echo server of CS:APP: `open_listenfd`, `echo`, and one accept loop that is
 * the iterative server of the lecture with one slot and a concurrent one with more.
 *
 * @module
 */
import {
  count,
  type Flags,
  label,
  onSignal,
  PORT,
  reason,
  run,
  type Stdout,
  toInteger,
  toMilliseconds,
  UsageError,
} from "./cli.ts";
import { type Reader, Rio, rioWriten, type Writer } from "./rio.ts";
import { type Listenfd, serve, ServeStats } from "./serve.ts";

export {
  Connfd,
  type Listenfd,
  serve,
  type ServeOptions,
  ServeStats,
} from "./serve.ts";

/** Connections that the kernel queues for a listener: `LISTENQ` of csapp.h. */
export const LISTENQ = 1024;

/** What {@linkcode openListenfd} takes. */
export interface ListenOptions {
  /**
   * The address to listen on. Unless given, all of the machine's: `::`, which
   * takes IPv4 too, or `0.0.0.0` where there is no IPv6.
   */
  host?: string;
  /** Connections that the kernel may queue, {@linkcode LISTENQ} unless given. */
  backlog?: number;
  /**
   * Lets several listeners have the port, among whom the kernel spreads the clients:
   * SO_REUSEPORT. Linux only, and with `--unstable-net`.
   */
  reusePort?: boolean;
}

/**
 * Opens a listening descriptor: `open_listenfd` of csapp.c.
 *
 * @param port The port, 0 to 65535; 0 takes any free one.
 * @param options The address and the length of the queue.
 * @returns The listening descriptor.
 * @throws {RangeError} If the port is not an integer from 0 to 65535.
 * @throws {Error} Of the class that `Deno.listen` throws, if the address can't be
 * listened on; its message names the address, the port and the cause.
 *
 * @example
 * ```ts
 * import { openListenfd } from "@netp/rio/server";
 *
 * using listenfd = openListenfd(0, { host: "127.0.0.1" });
 * console.log(`listening on port ${listenfd.addr.port}`);
 * ```
 */
export function openListenfd(
  port: number,
  { host, backlog = LISTENQ, reusePort }: ListenOptions = {},
): Deno.TcpListener {
  return listenOn(
    port,
    host,
    (hostname) =>
      Deno.listen({
        hostname,
        port,
        tcpBacklog: backlog,
        ...reusePort && { reusePort },
      }),
  );
}

/** Listens on a host, or on all addresses, and names the address in its errors. */
function listenOn<L>(
  port: number,
  host: string | undefined,
  open: (hostname: string) => L,
): L {
  if (!Number.isSafeInteger(port) || port < 0 || port > 65535) {
    throw new RangeError(
      `Cannot listen: port must be an integer from 0 to 65535, current value is ${port}`,
    );
  }
  const listen = (hostname: string) => {
    try {
      return open(hostname);
    } catch (error) {
      throw label(`listen on ${address(hostname, port)}`, error);
    }
  };
  if (host !== undefined) return listen(host);
  try {
    return listen("::");
  } catch (error) {
    const { code } = error as { code?: string };
    if (code !== "EAFNOSUPPORT" && code !== "EADDRNOTAVAIL") throw error;
    return listen("0.0.0.0");
  }
}

/** What {@linkcode openTlsListenfd} takes. */
export interface TlsListenOptions extends ListenOptions {
  /** The certificate chain, in PEM. */
  cert: string;
  /** The private key of the certificate, in PEM. */
  key: string;
  /** Called with a handshake that failed, and who it was with. */
  onError?: (error: unknown, addr: Deno.NetAddr) => void;
}

/** TLS handshakes under way at a time; further clients wait in the queue. */
const MAX_HANDSHAKES = 64;
/** Milliseconds that a handshake may take. */
const HANDSHAKE_TIMEOUT = 10_000;

/**
 * Opens a listening descriptor that speaks TLS. Its `accept` gives only clients who
 * have shaken hands, each within ten seconds, so that none who doesn't holds up
 * the others.
 *
 * @param port The port, 0 to 65535; 0 takes any free one.
 * @param options The certificate and its key, the address, the queue.
 * @returns The listening descriptor.
 * @throws {Error} As {@linkcode openListenfd} does, and of class `InvalidData` if the
 * certificate or the key is none.
 *
 * @example
 * ```ts
 * import { openTlsListenfd } from "@netp/rio/server";
 *
 * const listenfd = openTlsListenfd(0, {
 *   cert: await Deno.readTextFile("tests/tls/cert.pem"),
 *   key: await Deno.readTextFile("tests/tls/key.pem"),
 * });
 * listenfd.close();
 * ```
 */
export function openTlsListenfd(
  port: number,
  { host, backlog = LISTENQ, reusePort, cert, key, onError }: TlsListenOptions,
): TlsListenfd {
  return listenOn(port, host, (hostname) =>
    new TlsListenfd(
      Deno.listenTls({
        hostname,
        port,
        cert,
        key,
        tcpBacklog: backlog,
        ...reusePort && { reusePort },
      }),
      onError,
    ));
}

/** A TLS listener that shakes hands with many clients at a time. */
export class TlsListenfd implements Listenfd<Deno.TlsConn> {
  readonly #listener: Deno.TlsListener;
  readonly #onError: TlsListenOptions["onError"];
  readonly #shaking = new Set<Deno.TlsConn>();
  readonly #ready: Deno.TlsConn[] = [];
  #waiting: PromiseWithResolvers<Deno.TlsConn> | undefined;
  #accepting = false;

  /** Wraps a listener; {@linkcode openTlsListenfd} does it. */
  constructor(
    listener: Deno.TlsListener,
    onError?: TlsListenOptions["onError"],
  ) {
    this.#listener = listener;
    this.#onError = onError;
  }

  /** Where it listens. */
  get addr(): Deno.NetAddr {
    return this.#listener.addr;
  }

  /** Resolves to the next connection that has shaken hands. */
  async accept(): Promise<Deno.TlsConn> {
    const conn = this.#ready.shift();
    if (conn !== undefined) return conn;
    this.#waiting = Promise.withResolvers();
    this.#acceptMore();
    return await this.#waiting.promise;
  }

  /** Ends the listener, and the handshakes under way. */
  close(): void {
    this.#listener.close();
    this.#waiting?.reject(
      new Deno.errors.BadResource("Listener has been closed"),
    );
    this.#waiting = undefined;
    for (const conn of [...this.#shaking, ...this.#ready]) conn.close();
  }

  async #acceptMore(): Promise<void> {
    if (this.#accepting) return;
    this.#accepting = true;
    try {
      while (
        this.#waiting !== undefined && this.#shaking.size < MAX_HANDSHAKES
      ) {
        this.#shakeHands(await this.#listener.accept());
      }
    } catch (error) {
      this.#waiting?.reject(error);
      this.#waiting = undefined;
    } finally {
      this.#accepting = false;
    }
  }

  async #shakeHands(conn: Deno.TlsConn): Promise<void> {
    this.#shaking.add(conn);
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      conn.close();
    }, HANDSHAKE_TIMEOUT);
    try {
      await conn.handshake();
      if (this.#waiting === undefined) this.#ready.push(conn);
      this.#waiting?.resolve(conn);
      this.#waiting = undefined;
    } catch (error) {
      conn[Symbol.dispose]();
      const cause = late
        ? new Deno.errors.TimedOut(
          `no answer for ${HANDSHAKE_TIMEOUT / 1000} s`,
        )
        : error;
      this.#onError?.(label("TLS handshake", cause), conn.remoteAddr);
    } finally {
      clearTimeout(timer);
      this.#shaking.delete(conn);
      if (this.#waiting !== undefined) this.#acceptMore();
    }
  }
}

/**
 * Opens a listening descriptor on a Unix socket. The file of a server that has died is
 * replaced, that of a living one never; it is gone when the descriptor is closed.
 *
 * @param path The path of the socket.
 * @returns The listening descriptor.
 * @throws {Error} Of the class that `Deno.listen` throws, if the path can't be
 * listened on; its message names the path and the cause.
 *
 * @example
 * ```ts
 * import { openUnixListenfd } from "@netp/rio/server";
 *
 * const path = `${await Deno.makeTempDir()}/echo.sock`;
 * using listenfd = await openUnixListenfd(path);
 * ```
 */
export async function openUnixListenfd(
  path: string,
): Promise<Deno.UnixListener> {
  const listen = () => Deno.listen({ transport: "unix", path });
  try {
    try {
      return listen();
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse) || !(await isStale(path))) {
        throw error;
      }
      await Deno.remove(path);
      return listen();
    }
  } catch (error) {
    throw label(`listen on ${path}`, error);
  }
}

/** Whether a path is a socket that nobody listens on. */
async function isStale(path: string): Promise<boolean> {
  if (!(await Deno.lstat(path)).isSocket) return false;
  try {
    (await Deno.connect({ transport: "unix", path })).close();
    return false;
  } catch (error) {
    return error instanceof Deno.errors.ConnectionRefused;
  }
}

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
  const rio = new Rio(connfd, ECHO_BUFSIZE);
  const lengths: number[] = [];
  while (await rio.ready()) {
    const lines = rio.takeLines(lengths);
    stats.lines += lengths.length;
    stats.bytesIn += lines.length;
    const printed = onLines?.(lengths);
    if (printed !== undefined) await printed;
    await rioWriten(connfd, lines);
    stats.bytesOut += lines.length;
  }
}

/** An address as it stands in a URL, or the path of a Unix socket. */
function address(hostname: string, port: number): string {
  return hostname.includes(":")
    ? `[${hostname}]:${port}`
    : `${hostname}:${port}`;
}

/** Who is at the other end, as a diagnostic names it. */
function peername(addr: Deno.Addr): string {
  return "hostname" in addr
    ? address(unmapped(addr.hostname), addr.port)
    : "a client";
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
    for (let i = from; i < lengths.length; i++) {
      const length = lengths[i];
      const wait = this.#stdout.print(
        this.#reports[length] ??= encode(`server received ${length} bytes\n`),
      );
      if (wait !== undefined) {
        return wait.then(() => this.#report(lengths, i + 1));
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

/** A server that runs, in this thread or in others. */
interface Running {
  /** Resolves when it has ended. */
  ended: Promise<void>;
  /** Accepts no more. */
  stop(): void;
  /** What each thread has done. */
  stats(): Promise<Stats[]>;
}

/** The sum of what all threads have done. */
function total(stats: Stats[]): Stats {
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
function json(stats: Stats[]): string {
  return JSON.stringify({
    ...total(stats),
    ...stats.length > 1 && { workers: stats },
  });
}

/** Standard output that is given up when it fails: a server serves on. */
function fallible(stdout: Stdout): Printer {
  let failed = false;
  const fail = (error: unknown) => {
    if (!failed) console.error(`server: ${reason(error)}`);
    failed = true;
  };
  return {
    print(p) {
      if (failed) return;
      try {
        return stdout.print(p)?.catch(fail);
      } catch (error) {
        fail(error);
      }
    },
  };
}

const USAGE =
  "usage: server.ts [port] [--host=ADDR] [--unix=PATH] [--cert=FILE --key=FILE] [--backlog=N] [--concurrency=N] [--workers=N] [--idle-timeout=SEC] [--max-seconds=SEC] [--grace=SEC] [--names] [--quiet] [--stats] [--help] [--version]";
const HELP =
  `The echo server of CS:APP: prints who connects and how many bytes each line has,
and writes the line back.

  port                the port to listen on, 0 for any free one (default ${PORT})
  --host=ADDR         the address to listen on (default: all, IPv6 and IPv4)
  --unix=PATH         listen on a Unix socket instead
  --cert=FILE         speak TLS, with this certificate chain (PEM)
  --key=FILE          and its private key
  --backlog=N         connections that the kernel may queue (default ${LISTENQ})
  --concurrency=N     clients served at once; the others wait in the kernel's queue
                      (default 1: the iterative server)
  --workers=N         threads, each of which serves that many (default: one)
  --idle-timeout=SEC  end a connection when no byte has gone for so long
  --max-seconds=SEC   end a connection that lasts longer
  --grace=SEC         time for those still connected after SIGINT or SIGTERM (default 5)
  --names             print the names of hosts and services, not their numbers
  --quiet             print nothing on standard output
  --stats             print the counters as JSON at the end; SIGUSR1 prints them now
  -h, --help          print this
  --version           print the version

Exit codes: 0 done, 1 the network failed or a connection was cut, 2 usage.
`;

async function main(
  { positionals: [portGiven], values, set }: Flags,
  stdout: Stdout,
): Promise<number> {
  const port = portGiven ?? String(PORT);
  const integer = (name: string, fallback: number, max: number) =>
    toInteger(`--${name}`, values[name] ?? String(fallback), 1, max);
  const time = (name: string) => {
    const value = values[name];
    return value === undefined
      ? undefined
      : toMilliseconds(`--${name}`, value, 0.001);
  };
  const portNumber = toInteger("port", port, 0, 65535);
  const { host, unix, cert, key } = values;
  const backlog = integer("backlog", LISTENQ, 65535);
  const workers = integer("workers", 1, 1024);
  const grace = toMilliseconds("--grace", values.grace ?? "5", 0);
  const options = {
    concurrency: integer("concurrency", 1, 1_000_000),
    grace,
    idleTimeout: time("idle-timeout"),
    maxTime: time("max-seconds"),
    names: set.has("names"),
    quiet: set.has("quiet"),
  };
  if ((cert === undefined) !== (key === undefined)) {
    throw new UsageError("--cert and --key go together");
  }
  if (unix !== undefined && portGiven !== undefined) {
    throw new UsageError(`port ${port} doesn't go with --unix=${unix}`);
  }
  for (const name of ["host", "backlog", "cert", "workers"]) {
    if (unix !== undefined && values[name] !== undefined) {
      throw new UsageError(`--${name} doesn't go with --unix=${unix}`);
    }
  }
  if (values.workers !== undefined && cert !== undefined) {
    throw new UsageError(`--cert doesn't go with --workers=${workers}`);
  }

  const start = performance.now();
  const out = fallible(stdout);
  let running: Running;
  let where: string;
  let bounds = `concurrency ${options.concurrency}`;
  if (values.workers !== undefined) {
    const { startWorkers } = await import("./workers.ts");
    const listenOptions = { host, backlog, reusePort: true };
    const team = await startWorkers(
      workers,
      portNumber,
      listenOptions,
      options,
      out,
    );
    running = team;
    where = address(team.addr.hostname, team.addr.port);
    bounds = `workers ${workers}, ${bounds}, backlog ${backlog}`;
  } else {
    const server = new EchoServer(options, out, console.error);
    let listenfd: Listenfd<Deno.Conn<Deno.Addr>>;
    if (unix !== undefined) {
      listenfd = await openUnixListenfd(unix);
      where = unix;
    } else {
      const listener = cert === undefined || key === undefined
        ? openListenfd(portNumber, { host, backlog })
        : openTlsListenfd(portNumber, {
          host,
          backlog,
          cert: await Deno.readTextFile(cert),
          key: await Deno.readTextFile(key),
          onError: (error, addr) => server.fault(error, addr),
        });
      listenfd = listener;
      where = address(listener.addr.hostname, listener.addr.port);
      bounds += `, backlog ${backlog}`;
    }
    running = {
      ended: server.run(listenfd),
      stop: () => server.stop(),
      stats: () => Promise.resolve([server.stats]),
    };
  }

  onSignal(async (signal) => {
    running.stop();
    const { active } = total(await running.stats());
    console.error(
      `server: ${signal}: ${count(active, "connection")} left, ${
        grace / 1000
      } s of grace`,
    );
  });
  if (Deno.build.os !== "windows") {
    Deno.addSignalListener("SIGUSR1", async () => {
      console.error(json(await running.stats()));
    });
  }
  console.error(`listening on ${where} (${bounds})`);
  await running.ended;

  const stats = await running.stats();
  if (set.has("stats")) console.error(json(stats));
  const { accepted, lines, bytesIn, closed: { cut } } = total(stats);
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.error(
    `server: ${count(accepted, "connection")}, ${count(lines, "line")}, ${
      count(bytesIn, "byte")
    } in ${seconds} s${cut > 0 ? `, ${count(cut, "connection")} cut` : ""}`,
  );
  return cut > 0 ? 1 : 0;
}

if (import.meta.main) {
  // Not awaited: workers.ts, which main may load, waits for this module.
  run("server", {
    usage: USAGE,
    help: HELP,
    string: [
      "host",
      "unix",
      "cert",
      "key",
      "backlog",
      "concurrency",
      "workers",
      "idle-timeout",
      "max-seconds",
      "grace",
    ],
    boolean: ["names", "quiet", "stats"],
    positionals: 1,
  }, main);
}
