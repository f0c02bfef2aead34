/**
 * The echo server of CS:APP: `open_listenfd`, `echo`, and one accept loop that is
 * the iterative server of the lecture with one slot and a concurrent one with more.
 *
 * @module
 */
import {
  count,
  type Flags,
  onSignal,
  PORT,
  reason,
  run,
  type Stdout,
  toInteger,
  toMilliseconds,
} from "./cli.ts";
import { type Reader, Rio, rioWriten, type Writer } from "./rio.ts";

/** Connections that the kernel queues for a listener: `LISTENQ` of csapp.h. */
export const LISTENQ = 1024;

/** Milliseconds to the next try, or less, when accept(2) fails. */
const ACCEPT_PAUSE = 100;

/** What {@linkcode openListenfd} takes. */
export interface ListenOptions {
  /**
   * The address to listen on. Unless given, all of the machine's: `::`, which
   * takes IPv4 too, or `0.0.0.0` where there is no IPv6.
   */
  host?: string;
  /** Connections that the kernel may queue, {@linkcode LISTENQ} unless given. */
  backlog?: number;
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
  { host, backlog = LISTENQ }: ListenOptions = {},
): Deno.TcpListener {
  if (!Number.isSafeInteger(port) || port < 0 || port > 65535) {
    throw new RangeError(
      `Cannot listen: port must be an integer from 0 to 65535, current value is ${port}`,
    );
  }
  const listen = (hostname: string) => {
    try {
      return Deno.listen({ hostname, port, tcpBacklog: backlog });
    } catch (error) {
      if (error instanceof Error) {
        error.message = `listen on ${
          address(hostname, port)
        }: ${error.message}`;
      }
      throw error;
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

/** What {@linkcode echo} takes. */
export interface EchoOptions {
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
  { onLines }: EchoOptions = {},
): Promise<void> {
  const rio = new Rio(connfd);
  const lengths: number[] = [];
  while (await rio.ready()) {
    const lines = rio.takeLines(lengths);
    if (onLines !== undefined) await onLines(lengths);
    await rioWriten(connfd, lines);
  }
}

/** What {@linkcode serve} takes. */
export interface ServeOptions {
  /**
   * Connections served at once, 1 unless given: the iterative server. All others
   * wait in the kernel's queue.
   */
  concurrency?: number;
  /** Ends the server: nobody more is accepted, and the listener is closed. */
  signal?: AbortSignal;
  /**
   * Milliseconds that those who are connected when the signal aborts may still
   * take; then their connections are closed. For ever unless given.
   */
  grace?: number;
  /**
   * Called with what a handler or `accept` threw, the former with its connection.
   * Neither ends the server. Unless given, it goes to `console.error`.
   */
  onError?: (error: unknown, connfd?: Deno.TcpConn) => void;
}

/** What {@linkcode serve} has done. */
export interface ServeResult {
  /** Connections accepted. */
  connections: number;
  /** Those among them that were closed because the grace ran out. */
  cut: number;
}

/**
 * Accepts connections and gives each to `handler`, and closes it when the handler
 * has ended. The loop takes a slot before it accepts: those who find none wait in
 * the kernel's queue.
 *
 * @param listenfd A listening descriptor. `serve` closes it when it ends.
 * @param handler Serves one connection.
 * @param options How many at once, and how it ends.
 * @returns When the signal has aborted, or the listener was closed, and the last
 * handler has ended.
 * @throws {RangeError} If `concurrency` is not an integer of 1 or more.
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
  listenfd: Deno.TcpListener,
  handler: (connfd: Deno.TcpConn) => Promise<void>,
  { concurrency = 1, signal, grace, onError = console.error }: ServeOptions =
    {},
): Promise<ServeResult> {
  if (!Number.isSafeInteger(concurrency) || concurrency < 1) {
    throw new RangeError(
      `Cannot serve: concurrency must be an integer of at least 1, current value is ${concurrency}`,
    );
  }
  const result = { connections: 0, cut: 0 };
  const active = new Map<Deno.TcpConn, Promise<void>>();
  let change = Promise.withResolvers<void>();
  const wake = () => {
    change.resolve();
    change = Promise.withResolvers<void>();
  };

  const cut = () => {
    for (const connfd of active.keys()) {
      result.cut++;
      connfd.close();
    }
  };
  let graceTimer: ReturnType<typeof setTimeout> | undefined;
  const stop = () => {
    listenfd.close();
    wake();
    if (grace !== undefined) graceTimer = setTimeout(cut, grace);
  };
  if (signal?.aborted) stop();
  signal?.addEventListener("abort", stop);

  const serveOne = async (connfd: Deno.TcpConn) => {
    try {
      await handler(connfd);
    } catch (error) {
      if (result.cut === 0) onError(error, connfd);
    } finally {
      active.delete(connfd);
      try {
        connfd.close();
      } catch {
        // The handler has closed it, or the grace ran out.
      }
      wake();
    }
  };

  let lastError: string | undefined;
  while (!signal?.aborted) {
    if (active.size >= concurrency) {
      await change.promise;
      continue;
    }
    try {
      const connfd = await listenfd.accept();
      lastError = undefined;
      result.connections++;
      active.set(connfd, serveOne(connfd));
    } catch (error) {
      if (error instanceof Deno.errors.BadResource) break; // it was closed
      // The client has reset its connection while it waited in the queue.
      if (error instanceof Deno.errors.NotConnected) continue;
      // Out of descriptors, say: accept would throw at once, again and again.
      if (String(error) !== lastError) onError(error);
      lastError = String(error);
      const timer = setTimeout(wake, ACCEPT_PAUSE);
      await change.promise;
      clearTimeout(timer);
    }
  }
  await Promise.all(active.values());
  clearTimeout(graceTimer);
  signal?.removeEventListener("abort", stop);
  return result;
}

/** An address as it stands in a URL. */
function address(hostname: string, port: number): string {
  return hostname.includes(":")
    ? `[${hostname}]:${port}`
    : `${hostname}:${port}`;
}

/** The host and the port of a client: getnameinfo(3). */
async function nameinfo(
  { hostname, port }: Deno.NetAddr,
  names: boolean,
): Promise<[host: string, port: string]> {
  const host = hostname.replace(/^::ffff:(?=\d+\.)/, "");
  if (names) {
    try {
      const { lookupService } = await import("node:dns/promises");
      const { hostname, service } = await lookupService(host, port);
      return [hostname, service];
    } catch {
      // No name: the numbers, as getnameinfo does.
    }
  }
  return [host, String(port)];
}

const USAGE =
  "usage: server.ts [port] [--host=ADDR] [--backlog=N] [--concurrency=N] [--grace=SEC] [--names] [--quiet] [--help] [--version]";
const HELP =
  `The echo server of CS:APP: prints who connects and how many bytes each line has,
and writes the line back.

  port             the port to listen on, 0 for any free one (default ${PORT})
  --host=ADDR      the address to listen on (default: all, IPv6 and IPv4)
  --backlog=N      connections that the kernel may queue (default ${LISTENQ})
  --concurrency=N  clients served at once; the others wait in the kernel's queue
                   (default 1: the iterative server)
  --grace=SEC      time for those still connected after SIGINT or SIGTERM (default 5)
  --names          print the names of hosts and services, not their numbers
  --quiet          print nothing on standard output
  -h, --help       print this
  --version        print the version

Exit codes: 0 done, 1 the network failed, 2 usage.
`;

async function main(
  { positionals: [port = String(PORT)], values, set }: Flags,
  stdout: Stdout,
): Promise<number> {
  const portNumber = toInteger("port", port, 0, 65535);
  const backlog = toInteger(
    "--backlog",
    values.backlog ?? String(LISTENQ),
    1,
    65535,
  );
  const concurrency = toInteger(
    "--concurrency",
    values.concurrency ?? "1",
    1,
    1_000_000,
  );
  const grace = toMilliseconds("--grace", values.grace ?? "5", 0);
  const { host } = values;

  const listenfd = openListenfd(portNumber, { host, backlog });
  const start = performance.now();
  let active = 0, lines = 0, bytes = 0;
  const stop = new AbortController();
  onSignal((signal) => {
    console.error(
      `server: ${signal}: ${count(active, "connection")} left, ${
        grace / 1000
      } s of grace`,
    );
    stop.abort();
  });
  console.error(
    `listening on ${
      address(listenfd.addr.hostname, listenfd.addr.port)
    } (concurrency ${concurrency}, backlog ${backlog})`,
  );

  const encoder = new TextEncoder();
  let quiet = set.has("quiet");
  const print = async (text: string) => {
    if (quiet) return;
    try {
      await stdout.write(encoder.encode(text));
    } catch (error) {
      if (!quiet) console.error(`server: standard output: ${reason(error)}`);
      quiet = true;
    }
  };
  const { connections, cut } = await serve(listenfd, async (connfd) => {
    active++;
    try {
      const [host, port] = await nameinfo(connfd.remoteAddr, set.has("names"));
      await print(`Connected to (${host}, ${port})\n`);
      await echo(connfd, {
        onLines(lengths) {
          let report = "";
          for (const length of lengths) {
            lines++;
            bytes += length;
            if (!quiet) report += `server received ${length} bytes\n`;
          }
          return print(report);
        },
      });
    } finally {
      active--;
    }
  }, {
    concurrency,
    grace,
    signal: stop.signal,
    onError(error, connfd) {
      const peer = connfd &&
        address(connfd.remoteAddr.hostname, connfd.remoteAddr.port);
      console.error(`server: ${peer ?? "accept"}: ${reason(error)}`);
    },
  });
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.error(
    `server: ${count(connections, "connection")}, ${count(lines, "line")}, ${
      count(bytes, "byte")
    } in ${seconds} s${cut > 0 ? `, ${count(cut, "connection")} cut` : ""}`,
  );
  return 0;
}

if (import.meta.main) {
  await run("server", {
    usage: USAGE,
    help: HELP,
    string: ["host", "backlog", "concurrency", "grace"],
    boolean: ["names", "quiet"],
    positionals: 1,
  }, main);
}
