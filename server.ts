/**
 * The echo server of CS:APP: `open_listenfd`, one accept loop, which is the lecture's
 * iterative server with one slot and a concurrent one with more, and `echo`. Imported, the
 * module is these; run, it is the program.
 *
 * The lecture's way is here from top to bottom: `openListenfd` is getaddrinfo, socket, bind
 * and listen; `serve` is accept and close; `echo` is between them. What goes beyond it lies in
 * `server/`, the program in `server/program.ts`. `docs/echoserveri.ts` is the lecture's `main`
 * as the book writes it, in 24 lines.
 *
 * @module
 */
import { address, checkPort } from "./net/address.ts";
import { label } from "./net/errors.ts";
import { checkTime, inTime, sleep } from "./net/time.ts";
import { type Reader, Rio, rioWriten, type Writer } from "./rio.ts";
import type { Conn, Connfd } from "./server/connfd.ts";
import { type ConnectionOptions, Connections, type ServeStats } from "./server/connections.ts";
import { whenEmpty } from "./server/queue.ts";
import { EchoStats } from "./server/stats.ts";
import { TlsListenfd, type TlsOptions } from "./server/tls.ts";

export {
  /** What a connection must have to be served. */
  type Conn,
  /** The connected descriptor that a handler gets. */
  Connfd,
} from "./server/connfd.ts";
export {
  /** What ended a connection. */
  type Cause,
  /** What bounds the connections of a server. */
  type ConnectionOptions,
  /** The counters of `serve`. */
  ServeStats,
} from "./server/connections.ts";
export {
  /** Both ends of a connection, as a PROXY header names them. */
  type Endpoints,
  /** Reads a PROXY header, version 1 or 2. */
  readProxyHeader,
} from "./server/proxy.ts";
export {
  /** The counters of `echo`. */
  EchoStats,
} from "./server/stats.ts";
export {
  /** The server's side of a TLS connection. */
  TlsConnfd,
  /** A listening descriptor that gives clients who have shaken hands. */
  TlsListenfd,
  /** A certificate and its key. */
  type TlsOptions,
} from "./server/tls.ts";
export {
  /** Opens a listening descriptor on a Unix socket. */
  openUnixListenfd,
  /** A listening descriptor on a Unix socket. */
  UnixListenfd,
} from "./server/unix.ts";

/** Connections that the kernel queues for a listener: `LISTENQ` of csapp.h. */
export const LISTENQ = 1024;

/** What {@linkcode openListenfd} takes. */
export interface ListenOptions {
  /**
   * The address to listen on. Unless given, all of the machine's: `::`, which takes IPv4
   * too, or `0.0.0.0` where there is no IPv6.
   */
  host?: string;
  /** Connections that the kernel may queue, {@linkcode LISTENQ} unless given. */
  backlog?: number;
  /**
   * Whether other threads of this process may listen on the same socket, by opening the
   * same host and port: they share its queue.
   */
  shared?: boolean;
}

/**
 * Opens a listening descriptor: `open_listenfd` of csapp.c. `Deno.listen` is getaddrinfo,
 * socket, setsockopt (SO_REUSEADDR), bind and listen.
 *
 * @param port The port, 0 to 65535; 0 takes any free one.
 * @param options The address and the length of the queue.
 * @returns The listening descriptor.
 * @throws {RangeError} If the port is not an integer from 0 to 65535.
 * @throws {Error} Of the class that `Deno.listen` throws, if the address can't be listened
 * on; its message names the address, the port and the cause.
 *
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
  const listen = (hostname: string) => {
    // `loadBalanced` isn't in Deno's types; a test holds what it does.
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
 * Opens a listening descriptor that speaks TLS.
 *
 * @param port The port, 0 to 65535; 0 takes any free one.
 * @param options The certificate and its key, the address, the queue.
 * @returns The listening descriptor.
 * @throws {Error} As {@linkcode openListenfd} does, and if the certificate or its key is
 * none.
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
  /** Ends the listener, and rejects a pending `accept` with `BadResource`. */
  close(): void;
  /** Clients who have connected, and whom `accept` doesn't give yet. */
  readonly shaking?: number;
}

/** What {@linkcode serve} takes. */
export interface ServeOptions extends ConnectionOptions {
  /**
   * Ends the server. Who is connected by then, or waits in the kernel's queue, is served
   * within the grace; then the listener is closed.
   */
  signal?: AbortSignal;
  /**
   * Milliseconds that open connections may go on after the signal; then they are closed.
   * For ever unless given.
   */
  grace?: number;
  /** Clients that are taken out of the queue after the signal, {@linkcode LISTENQ} at most. */
  backlog?: number;
}

/** Milliseconds to the next try, or less, when accept(2) fails. */
const ACCEPT_PAUSE = 100;

/**
 * Accepts connections and gives each to `handler`, and closes it when the handler has ended.
 * The loop takes a slot before it accepts: those who find none wait in the kernel's queue.
 *
 * @param listenfd A listening descriptor. `serve` closes it when it ends.
 * @param handler Serves one connection. It is no longer waited for when its connection has
 * been idle for too long, has lasted too long, or the grace has run out.
 * @param options How many at once, for how long, and how it ends.
 * @returns The counters, when the signal has aborted, or the listener was closed, and the
 * last connection has ended.
 * @throws {RangeError} If `concurrency` is not an integer of 1 or more, or a time not a
 * number of 0 or more.
 *
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
  const { signal, grace = Infinity, backlog = LISTENQ } = options;
  checkTime("serve: grace", grace);
  const connections = new Connections(handler, options);
  const accepting = { waiting: false, calls: 0 };
  const close = () => {
    try {
      listenfd.close();
    } catch {
      // Its owner has closed it.
    }
  };
  const cancels: (() => void)[] = [];
  const stop = () => {
    connections.wake();
    cancels.push(
      whenEmpty(accepting, listenfd, close),
      inTime(grace, () => {
        const { shaking = 0 } = listenfd;
        close();
        connections.cut(shaking);
      }),
    );
  };
  if (signal?.aborted) stop();
  signal?.addEventListener("abort", stop);

  let lastError: string | undefined;
  for (let late = 0; late <= backlog;) {
    await connections.slot(signal);
    accepting.waiting = true;
    accepting.calls++;
    try {
      const conn = await listenfd.accept();
      accepting.waiting = false;
      lastError = undefined;
      if (signal?.aborted) late++;
      connections.add(conn);
    } catch (error) {
      accepting.waiting = false;
      if (error instanceof Deno.errors.BadResource) break; // it was closed
      // The client has reset its connection while it waited in the queue.
      if (error instanceof Deno.errors.NotConnected) continue;
      // Out of descriptors, say: accept would throw at once, again and again.
      if (String(error) !== lastError) connections.fault(error);
      lastError = String(error);
      await Promise.race([sleep(ACCEPT_PAUSE), connections.change()]);
    }
  }
  close();
  await connections.done();
  for (const cancel of cancels) cancel();
  signal?.removeEventListener("abort", stop);
  return connections.stats;
}

/**
 * Bytes of a burst. A larger one goes back later: while it is read, the client waits
 * (measured: 8000-byte lines, eight under way, with 64 KiB at two thirds the speed).
 *
 * @internal
 */
export const ECHO_BUFSIZE = 16_384;

/** Buffers of bursts that have gone back: one serves all who don't stand still. */
const spare: Uint8Array[] = [];

/** What {@linkcode echo} takes. */
export interface EchoOptions {
  /** What the lines are read from; a new one on `connfd` unless given. */
  rio?: Rio;
  /** The counters to keep. */
  stats?: EchoStats;
  /**
   * Called with the bytes of each line, or piece of one, of a burst, before they go back.
   * If it returns a promise, they wait for it.
   */
  onLines?: (lengths: readonly number[]) => unknown;
}

/**
 * Reads lines and writes them back until EOF: `echo` of the book's echo server. Lines that
 * come together go back together, in one write. It doesn't close the descriptor. A line of
 * `MAXLINE` bytes or more comes and goes in pieces.
 *
 * @param connfd A connected descriptor, or anything with `read` and `write`.
 * @param options What to call for the lines, and what counts them.
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
  options: EchoOptions = {},
): Promise<void> {
  const { rio = new Rio(connfd, { bufsize: ECHO_BUFSIZE }), onLines } = options;
  const { stats = new EchoStats() } = options;
  const lengths: number[] = [];
  while (await rio.ready()) {
    const usrbuf = spare.pop() ?? new Uint8Array(ECHO_BUFSIZE);
    const n = rio.takeLines(usrbuf, lengths);
    stats.lines += lengths.length;
    stats.bytesIn += n;
    const printed = onLines?.(lengths);
    if (printed !== undefined) await printed;
    await rioWriten(connfd, usrbuf.subarray(0, n));
    stats.bytesOut += n;
    spare.push(usrbuf);
  }
}

// Not awaited: the program imports this module.
if (import.meta.main) import("./server/program.ts").then(({ program }) => program());
