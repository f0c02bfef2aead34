/**
 * The accept loop: one for the iterative server and the concurrent one, with its
 * bounds in connections and time, and turns that keep it fair.
 *
 * @module
 */
import type { Reader, Writer } from "./rio.ts";

/** What {@linkcode serve} needs of a listening descriptor: `Deno.Listener` has it. */
export interface Listenfd<C extends Deno.Conn<Deno.Addr>> {
  /** Resolves to the next connection. */
  accept(): Promise<C>;
  /** Ends the listener, and rejects a pending `accept` with `BadResource`. */
  close(): void;
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
   * Milliseconds, and up to a fifth more, after which a connection is closed if no
   * byte has gone either way. For ever unless given.
   */
  idleTimeout?: number;
  /** Milliseconds, and up to a fifth more, that a connection may last. */
  maxTime?: number;
  /**
   * Called with what ended a connection before its time, or what `accept` threw.
   * Neither ends the server. Unless given, it goes to `console.error`.
   */
  onError?: (error: unknown, connfd?: Connfd) => void;
  /** The counters to keep: its own unless given. */
  stats?: ServeStats;
}

/** The counters of {@linkcode serve}. */
export class ServeStats {
  /** Connections accepted. */
  accepted = 0;
  /** Connections being served now. */
  active = 0;
  /** Connections that have ended, by what ended them. */
  readonly closed = {
    /** Their handler, in good order. */
    done: 0,
    /** The client, who reset it or has gone. */
    reset: 0,
    /** `idleTimeout`. */
    idle: 0,
    /** `maxTime`. */
    expired: 0,
    /** The end of the grace. */
    cut: 0,
    /** Anything else that the handler threw. */
    failed: 0,
  };
}

/** Milliseconds to the next try, or less, when accept(2) fails. */
const ACCEPT_PAUSE = 100;

/**
 * Bytes of a write that sets TCP_NODELAY, lest the next small one waits for the client's
 * delayed ACK, 40 ms. Larger ones TCP may put together (a fifth more on loopback).
 */
const SMALL_WRITE = 4096;

/**
 * A connected descriptor, as {@linkcode serve} gives it to its handler: a `Deno.Conn`
 * that takes its turn among many, and whose time can run out.
 */
export class Connfd implements Reader, Writer {
  /** The connection underneath. */
  readonly conn: Deno.Conn<Deno.Addr>;
  /** @internal Sweeps since a byte went either way. */
  quiet = 0;
  /** @internal Sweeps since the connection was accepted. */
  age = 0;
  /** @internal What ended the connection, if the server did. */
  cause: "idle" | "expired" | "cut" | undefined;
  readonly #turns: Turns;
  #noDelay = false;

  /** Wraps a connection; `serve` does it. */
  constructor(conn: Deno.Conn<Deno.Addr>, turns: Turns) {
    this.conn = conn;
    this.#turns = turns;
  }

  /** Reads up to `p.length` bytes; null at EOF. */
  read(p: Uint8Array): Promise<number | null> {
    this.quiet = 0;
    const turn = this.#turns.take();
    return turn === undefined ? this.conn.read(p) : turn.then(() => this.conn.read(p));
  }

  /** Writes up to `p.length` bytes, and says how many. */
  write(p: Uint8Array): Promise<number> {
    this.quiet = 0;
    if (!this.#noDelay && p.length < SMALL_WRITE) this.#setNoDelay();
    return this.conn.write(p);
  }

  #setNoDelay(): void {
    this.#noDelay = true;
    try {
      if (isTcp(this.conn)) this.conn.setNoDelay(true);
    } catch {
      // It is closed: the write will say so.
    }
  }

  /** Sends FIN: shutdown(2) of the writing side. */
  closeWrite(): Promise<void> {
    return this.conn.closeWrite();
  }

  /** Closes the connection; if it is closed, nothing happens. */
  close(): void {
    this.conn[Symbol.dispose]();
  }
}

/**
 * Turns for the reads of many busy connections.
 *
 * Deno polls all pending operations of a thread in one task, which tokio lets do 128
 * of them a poll. Those that were ready and found nothing left are woken for the next
 * poll in the opposite order. So, with more than 128 ready at a time, the ones at
 * both ends of the list are served over and over, and those in the middle starve.
 *
 * Hence reads go in rounds: all that are asked for after a round has begun wait until
 * a poll does less than it could, which says that nobody ready is left; and then they
 * begin together.
 */
class Turns {
  #held: (() => void)[] = [];
  #asked = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Connections that may read. */
  readers = 0;

  /** A turn to wait for, unless so few may read that none can starve. */
  take(): Promise<void> | undefined {
    if (this.readers < FEW_READERS) return undefined;
    if (this.#asked++ === 0) setImmediate(() => this.#endPoll());
    return new Promise((resolve) => this.#held.push(resolve));
  }

  #endPoll(): void {
    const asked = this.#asked;
    this.#asked = 0;
    clearTimeout(this.#timer);
    if (asked < FULL_POLL) this.release();
    else this.#timer = setTimeout(() => this.release(), LAST_POLL);
  }

  /** Begins the next round. */
  release(): void {
    clearTimeout(this.#timer);
    const held = this.#held;
    this.#held = [];
    for (const go of held) go();
  }
}

/** Connections among whom nobody starves. */
const FEW_READERS = 100;
/** Reads of a poll that may have left others: it counts writes and reads, 128 in all. */
const FULL_POLL = 64;
/** Milliseconds without a poll that say that the last one was full by chance. */
const LAST_POLL = 2;

/**
 * Accepts connections and gives each to `handler`, and closes it when the handler
 * has ended. The loop takes a slot before it accepts: those who find none wait in
 * the kernel's queue.
 *
 * @param listenfd A listening descriptor. `serve` closes it when it ends.
 * @param handler Serves one connection.
 * @param options How many at once, for how long, and how it ends.
 * @returns The counters, when the signal has aborted, or the listener was closed,
 * and the last handler has ended.
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
export async function serve<C extends Deno.Conn<Deno.Addr>>(
  listenfd: Listenfd<C>,
  handler: (connfd: Connfd) => Promise<void>,
  {
    concurrency = 1,
    signal,
    grace,
    idleTimeout = Infinity,
    maxTime = Infinity,
    onError = console.error,
    stats = new ServeStats(),
  }: ServeOptions = {},
): Promise<ServeStats> {
  if (!Number.isSafeInteger(concurrency) || concurrency < 1) {
    throw new RangeError(
      `Cannot serve: concurrency must be an integer of at least 1, current value is ${concurrency}`,
    );
  }
  const active = new Map<Connfd, Promise<void>>();
  const turns = new Turns();
  /** Resolves when a slot is free, or it is time to look again. */
  let change = Promise.withResolvers<void>();
  const wake = () => {
    change.resolve();
    change = Promise.withResolvers<void>();
  };
  const end = (connfd: Connfd, cause: Connfd["cause"]) => {
    connfd.cause ??= cause;
    connfd.close();
  };

  const sweep = Math.min(idleTimeout, maxTime) / 5;
  const sweeper = sweep === Infinity ? undefined : setInterval(() => {
    for (const connfd of active.keys()) {
      if (++connfd.quiet * sweep > idleTimeout) end(connfd, "idle");
      if (++connfd.age * sweep > maxTime) end(connfd, "expired");
    }
  }, sweep);

  let graceTimer: ReturnType<typeof setTimeout> | undefined;
  const stop = () => {
    try {
      listenfd.close();
    } catch {
      // Its owner has closed it.
    }
    wake();
    if (grace === undefined) return;
    graceTimer = setTimeout(() => {
      for (const connfd of active.keys()) end(connfd, "cut");
    }, grace);
  };
  if (signal?.aborted) stop();
  signal?.addEventListener("abort", stop);

  const serveOne = async (connfd: Connfd) => {
    let cause: keyof ServeStats["closed"] = "done";
    let error: unknown;
    try {
      if (isTcp(connfd.conn)) connfd.conn.setKeepAlive(true);
      await handler(connfd);
    } catch (thrown) {
      cause = isReset(thrown) ? "reset" : "failed";
      error = thrown;
    }
    if (connfd.cause !== undefined) {
      cause = connfd.cause;
      error = {
        idle: new Deno.errors.TimedOut(`idle for ${idleTimeout / 1000} s`),
        expired: new Deno.errors.TimedOut(`connected for ${maxTime / 1000} s`),
        cut: undefined,
      }[cause];
    }
    connfd.close();
    active.delete(connfd);
    stats.closed[cause]++;
    stats.active = turns.readers = active.size;
    wake();
    if (error !== undefined) onError(error, connfd);
  };

  let lastError: string | undefined;
  while (!signal?.aborted) {
    if (active.size >= concurrency) {
      await change.promise;
      continue;
    }
    try {
      const conn = await listenfd.accept();
      lastError = undefined;
      stats.accepted++;
      const connfd = new Connfd(conn, turns);
      active.set(connfd, serveOne(connfd));
      stats.active = turns.readers = active.size;
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
  turns.release();
  clearTimeout(graceTimer);
  clearInterval(sweeper);
  signal?.removeEventListener("abort", stop);
  return stats;
}

function isTcp(conn: object): conn is Deno.TcpConn {
  return "setKeepAlive" in conn;
}

/** Whether the client has ended the connection, and not in good order. */
function isReset(error: unknown): boolean {
  return error instanceof Deno.errors.ConnectionReset ||
    error instanceof Deno.errors.ConnectionAborted ||
    error instanceof Deno.errors.BrokenPipe ||
    error instanceof Deno.errors.UnexpectedEof;
}
