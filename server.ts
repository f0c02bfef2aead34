/**
 * The echo server of CS:APP: `open_listenfd`, the accept loop, and `echo`. With one slot the
 * loop is the lecture's iterative server, with more a concurrent one. Import the module to use
 * these functions, or run it as a program.
 *
 * The lecture's calls are here, in order: `openListenfd` is getaddrinfo, socket, bind and
 * listen; `serve` is accept and close; `echo` runs in between. Everything beyond the lecture is
 * in `server/`, and the program in `server/program.ts`. `docs/echoserveri.ts` is the book's
 * `main`, in 24 lines.
 *
 * @module
 */
import { address, checkPort } from "./net/address.ts";
import { label } from "./net/errors.ts";
import { checkRange, type Reader, Rio, rioWriten, type Writer } from "./rio.ts";
import { type Conn, type Connfd, ECHO_BUFSIZE } from "./server/connfd.ts";
import { type ConnectionOptions, Connections, type ServeStats } from "./server/connections.ts";
import { Drain, type DrainOptions } from "./server/drain.ts";
import { EchoStats } from "./server/stats.ts";
import { TlsListenfd, type TlsOptions } from "./server/tls.ts";

export {
  /** What `serve` needs of a connection. */
  type Conn,
  /** The connected descriptor that a handler receives. */
  Connfd,
} from "./server/connfd.ts";
export {
  /** What ended a connection. */
  type Cause,
  /** The limits on a server's connections. */
  type ConnectionOptions,
  /** What a handler throws to refuse a connection. */
  Refused,
  /** The counters of `serve`. */
  ServeStats,
} from "./server/connections.ts";
export {
  /** How to stop. */
  type DrainOptions,
} from "./server/drain.ts";
export {
  /** The addresses of both ends of a connection. */
  type Endpoints,
  /** Reads a PROXY header, version 1 or 2. */
  readProxyHeader,
} from "./server/proxy.ts";
export {
  /** The counters of `echo`. */
  EchoStats,
} from "./server/stats.ts";
export {
  /** A certificate chain and its key. */
  type Pair,
  /** The server's side of a TLS connection. */
  TlsConnfd,
  /** A listening descriptor that accepts connections once their TLS handshake is done. */
  TlsListenfd,
  /** The certificate and its key. */
  type TlsOptions,
} from "./server/tls.ts";
export {
  /** Opens a listening descriptor on a Unix socket. */
  openUnixListenfd,
  /** A listening descriptor on a Unix socket. */
  UnixListenfd,
  /** The mode of a Unix socket's file. */
  type UnixListenOptions,
} from "./server/unix.ts";

/** The default backlog, in connections: `LISTENQ` of csapp.h. */
export const LISTENQ = 1024;

/** Options of {@linkcode openListenfd}. */
export interface ListenOptions {
  /**
   * The address to listen on. Default: all of the machine's addresses, as `::`, which accepts
   * IPv4 too (not on Windows), or as `0.0.0.0` where there is no IPv6.
   */
  host?: string;
  /** How many connections the kernel may queue: listen(2). Default: {@linkcode LISTENQ}. */
  backlog?: number;
  /**
   * Whether other threads of this process may open the same host and port, to share the socket
   * and its queue. Default: false.
   */
  shared?: boolean;
}

/**
 * Opens a listening descriptor: `open_listenfd` of csapp.c. `Deno.listen` does getaddrinfo,
 * socket, setsockopt (SO_REUSEADDR, not on Windows), bind and listen. Port 0 picks a free one.
 * @throws {RangeError} If the port is not an integer from 0 to 65535, or `backlog` not one of at
 * least 0.
 * @throws {Error} If `Deno.listen` fails: the error it throws, such as
 * `Deno.errors.AddrInUse`, with the address, the port and the cause in its message.
 * @example
 * ```ts
 * import { openListenfd } from "@netp/rio/server";
 *
 * using listenfd = openListenfd(0, { host: "127.0.0.1" });
 * console.log(`listening on port ${listenfd.addr.port}`);
 * ```
 */
export function openListenfd(port: number, options: ListenOptions = {}): Deno.TcpListener {
  checkPort("listen", port, 0);
  const { host, backlog = LISTENQ, shared = false } = options;
  checkRange("listen: backlog", backlog, 0, 2 ** 31 - 1);
  const listen = (hostname: string) => {
    // `loadBalanced` isn't in Deno's types; a test checks what it does.
    const listenOptions = { hostname, port, tcpBacklog: backlog, loadBalanced: shared };
    try {
      return Deno.listen(listenOptions);
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

/**
 * Opens a listening descriptor that speaks TLS. Port 0 picks a free one.
 * @throws {Deno.errors.InvalidData} If the certificate or the key can't be parsed, or they don't
 * match.
 * @throws {Error} As {@linkcode openListenfd} does.
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
  options: ListenOptions & TlsOptions,
): TlsListenfd {
  const listenfd = openListenfd(port, options);
  try {
    return new TlsListenfd(listenfd, options);
  } catch (error) {
    listenfd.close();
    throw error;
  }
}

/** What {@linkcode serve} needs of a listening descriptor: `Deno.Listener` has it. */
export interface Listenfd {
  /** Resolves to the next connection. */
  accept(): Promise<Conn>;
  /** Closes the listener, and rejects a pending `accept` with `Deno.errors.BadResource`. */
  close(): void;
  /** Connections already made that `accept` hasn't returned yet, such as TLS handshakes. */
  readonly handshaking?: number;
  /**
   * Closes the listener once nobody has come for 50 ms, or, if `hurried`, as soon as the kernel's
   * queue is empty. Resolves then. `accept` goes on to return who has connected by then, and rejects
   * behind the last of them. Default: the same with `accept` and `close`.
   */
  stop?(hurried: boolean): Promise<void>;
}

/** Options of {@linkcode serve}: how many connections at once, for how long, and how to stop. */
export type ServeOptions = ConnectionOptions & DrainOptions;

/**
 * Accepts connections, passes each to `handler`, and closes it when the handler returns. The
 * loop waits for a free slot before it accepts, so further clients wait in the kernel's queue.
 * `serve` stops waiting for a handler once it has closed its connection: idle for too long, open
 * for too long, or out of grace.
 *
 * Returns the counters once the signal has aborted or `listenfd` was closed, and the last
 * connection has ended. `listenfd` is closed then, too.
 * @throws {RangeError} If `concurrency` is not an integer of at least 1, `backlog` not one of at
 * least 0, or a time not a number of at least 0.
 * @example
 * ```ts
 * import { openClientfd } from "@netp/rio/client";
 * import { echo, openListenfd, serve } from "@netp/rio/server";
 *
 * const listenfd = openListenfd(0, { host: "127.0.0.1" });
 * const stop = new AbortController();
 * const served = serve(listenfd, (connfd) => echo(connfd), {
 *   concurrency: 100,
 *   signal: stop.signal,
 * });
 *
 * const clientfd = await openClientfd("127.0.0.1", listenfd.addr.port);
 * clientfd.close();
 * stop.abort();
 * await served;
 * ```
 */
export async function serve(
  listenfd: Listenfd,
  handler: (connfd: Connfd) => Promise<void>,
  options: ServeOptions = {},
): Promise<ServeStats> {
  const connections = new Connections(handler, options);
  const { backlog = LISTENQ } = options;
  using drain = new Drain(listenfd, connections, { ...options, backlog });
  while (drain.open) {
    await connections.slot(options.signal);
    try {
      connections.add(await drain.accept());
    } catch (error) {
      if (drain.open) await connections.failed(error);
    }
  }
  await connections.done();
  return connections.stats;
}

/** Bytes of the buffer that lines are written from: as many as are read at once. */
const USRBUF = 65_536;

/** Buffers not in use. */
const spare: Uint8Array[] = [];
/** As many as one poll of Deno's can need: tokio completes 128 operations in it. */
const MAX_SPARE = 128;

/** Options of {@linkcode echo}. */
export interface EchoOptions {
  /** The `Rio` to read lines from, with a `maxline` up to 65,536. Default: a new one. */
  rio?: Rio;
  /** Counters to update. */
  stats?: EchoStats;
  /**
   * Called for each batch of lines before it is written back, with the length in bytes of each
   * line, or piece of a line. If it returns a promise, `echo` waits for it.
   */
  onLines?: (lengths: readonly number[]) => unknown;
}

/**
 * Reads lines and writes them back until EOF: `echo` of the book's echo server. Lines that
 * arrive together are written back together, in one write. A line of `MAXLINE` bytes or more is
 * read and written in pieces. `connfd`, or whatever else has `read` and `write`, stays open.
 * @throws {Error} Whatever `read`, `write` or `onLines` throws.
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
  options: EchoOptions = {},
): Promise<void> {
  const { rio = new Rio(connfd, { bufsize: ECHO_BUFSIZE }), onLines } = options;
  const { stats = new EchoStats() } = options;
  const lengths: number[] = [];
  while (await rio.ready()) {
    const usrbuf = spare.pop() ?? new Uint8Array(USRBUF);
    const n = rio.takeLines(usrbuf, lengths);
    stats.lines += lengths.length;
    stats.bytesIn += n;
    const printed = onLines?.(lengths);
    if (printed !== undefined) await printed;
    const bytes = usrbuf.subarray(0, n);
    const written = await connfd.write(bytes); // mostly all
    if (written !== n) await rioWriten(connfd, bytes.subarray(written));
    stats.bytesOut += n;
    if (spare.length < MAX_SPARE) spare.push(usrbuf);
  }
}

// Not awaited: the program imports this module.
if (import.meta.main) import("./server/program.ts").then(({ program }) => program());
