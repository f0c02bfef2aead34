/** A server's connections: how many at once, for how long, and why each ended. */
import { isReset } from "../net/errors.ts";
import { checkTime, sleep } from "../net/time.ts";
import { Turns } from "../net/turns.ts";
import { checkRange, rioWriten } from "../rio.ts";
import { type Conn, Connfd, isTcp } from "./connfd.ts";

/** The limits on a server's connections. */
export interface ConnectionOptions {
  /**
   * Connections served at once. Others wait in the kernel's queue. Default: 1, the iterative
   * server.
   */
  concurrency?: number;
  /**
   * Milliseconds without a byte in either direction after which a connection is closed; it may
   * take up to a fifth longer. A connection in a write gets 20 seconds more, because the kernel
   * reports progress only when a third of its buffer is free. Default: no limit.
   */
  idleTimeout?: number;
  /**
   * Milliseconds after which a connection is closed; it may take up to a fifth longer. Default:
   * no limit.
   */
  maxTime?: number;
  /**
   * Called with the error that ended a connection early, or that `accept` threw (then without
   * `connfd`). Default: it is written to standard error. The server goes on in any case: so is what
   * `onError` or `onClose` throws.
   */
  onError?: (error: unknown, connfd?: Connfd) => void;
  /** Called when a connection has ended, with the cause and the milliseconds that it was served. */
  onClose?: (connfd: Connfd, cause: Cause, ms: number) => void;
  /** Counters to update. Default: new ones. */
  stats?: ServeStats;
}

/**
 * The counters of `serve`.
 * @example
 * ```ts
 * import { echo, openListenfd, serve, ServeStats } from "@netp/rio/server";
 *
 * const stats = new ServeStats();
 * const listenfd = openListenfd(0, { host: "127.0.0.1" });
 * const served = serve(listenfd, (connfd) => echo(connfd), { stats });
 * listenfd.close();
 * await served;
 * console.log(stats.accepted); // 0
 * ```
 */
export class ServeStats {
  /** Connections accepted. */
  accepted = 0;
  /** Connections being served now. */
  active = 0;
  /** Connections accepted after the signal to stop that wait for a slot. */
  waiting = 0;
  /** How often `accept` has failed, for want of descriptors, say. */
  acceptErrors = 0;
  /** Connections that have ended, by cause. */
  readonly closed: Record<Cause, number> = {
    done: 0,
    reset: 0,
    idle: 0,
    expired: 0,
    cut: 0,
    refused: 0,
    failed: 0,
  };
}

/**
 * What ended a connection:
 *
 * - `done`: its handler returned.
 * - `reset`: the client reset it or vanished.
 * - `idle`: `idleTimeout`.
 * - `expired`: `maxTime`.
 * - `cut`: the grace ran out.
 * - `refused`: an access rule of the program, such as `--allow`.
 * - `failed`: any other error that the handler threw.
 */
export type Cause = "done" | "reset" | "idle" | "expired" | "cut" | "refused" | "failed";

/**
 * What a handler throws to refuse a connection, which is then counted as `refused`.
 * @example
 * ```ts
 * import { Refused } from "@netp/rio/server";
 *
 * console.log(new Refused("not today").message); // refused: not today
 * ```
 */
export class Refused extends Error {
  /** The message is `refused: ` and `why`. */
  constructor(why: string) {
    super(`refused: ${why}`);
  }
}

/** Milliseconds before the next try when accept(2) fails; less if a connection ends. */
const ACCEPT_PAUSE = 100;
/** Extra milliseconds for a connection in a write. */
const SLOW_READER = 20_000;
/** The most milliseconds between two checks for connections out of time. */
const MAX_SWEEP = 10_000;

/** A connection being served. */
interface Connection {
  connfd: Connfd;
  /** When its service began, and when a new call was last seen. */
  since: number;
  moved: number;
  /** Reads and writes at the last check. */
  calls: number;
  /** Why the server closed it, if it did. */
  cause?: "idle" | "expired" | "cut";
  /** Resolves when the server closes it early. */
  ended: PromiseWithResolvers<void>;
}

/** The connections of a server. */
export class Connections {
  readonly stats: ServeStats;
  readonly #handler: (connfd: Connfd) => Promise<void>;
  readonly #concurrency: number;
  readonly #idleTimeout: number;
  readonly #maxTime: number;
  readonly #onError: NonNullable<ConnectionOptions["onError"]>;
  readonly #onClose: NonNullable<ConnectionOptions["onClose"]>;
  readonly #active = new Set<Connection>();
  readonly #waiting: Conn[] = [];
  readonly #turns = new Turns();
  #sweeper: ReturnType<typeof setInterval> | undefined;
  /** Whether connections are only accepted to be closed. */
  refusing = false;
  #lastError: string | undefined;
  /** Resolves at the next change in number, or at `wake`. */
  #change = Promise.withResolvers<void>();

  constructor(handler: (connfd: Connfd) => Promise<void>, options: ConnectionOptions) {
    const { concurrency = 1, idleTimeout = Infinity, maxTime = Infinity } = options;
    checkRange("serve: concurrency", concurrency, 1, Number.MAX_SAFE_INTEGER);
    checkTime("serve: idleTimeout", idleTimeout);
    checkTime("serve: maxTime", maxTime);
    this.#handler = handler;
    this.#concurrency = concurrency;
    this.#idleTimeout = idleTimeout;
    this.#maxTime = maxTime;
    this.#onError = safely(options.onError ?? complain);
    this.#onClose = safely(options.onClose ?? (() => {}));
    this.stats = options.stats ?? new ServeStats();
  }

  /** Resolves when a slot is free or the signal has aborted. */
  async slot(signal: AbortSignal | undefined): Promise<void> {
    while (this.#active.size >= this.#concurrency && !signal?.aborted) {
      await this.#change.promise;
    }
  }

  /** Serves a connection as soon as there is a slot. */
  add(conn: Conn): void {
    this.#lastError = undefined;
    this.stats.accepted++;
    if (this.refusing) this.#cutWaiting(conn);
    else this.#waiting.push(conn);
    const sweep = Math.min(this.#idleTimeout, this.#maxTime) / 5;
    if (sweep < Infinity) {
      this.#sweeper ??= setInterval(() => this.#sweep(), Math.min(sweep, MAX_SWEEP));
    }
    this.#serveWaiting();
  }

  /** Reports an error of `accept`, unless it is the last one again; resolves when to try again. */
  async failed(error: unknown): Promise<void> {
    // The client reset its connection in the queue.
    if (error instanceof Deno.errors.NotConnected) return;
    // Out of descriptors, for example: accept would fail again at once.
    this.stats.acceptErrors++;
    if (String(error) !== this.#lastError) this.#onError(error);
    this.#lastError = String(error);
    await Promise.race([sleep(ACCEPT_PAUSE), this.#change.promise]);
  }

  /** Makes `slot` and `done` check again. */
  wake(): void {
    this.#change.resolve();
    this.#change = Promise.withResolvers();
  }

  /** Counts connections that the listener closes itself. */
  countCut(others: number): void {
    this.stats.accepted += others;
    this.stats.closed.cut += others;
  }

  /** Closes all connections, waiting ones included. */
  cut(): void {
    for (const connection of this.#active) this.#end(connection, "cut");
    for (const conn of this.#waiting.splice(0)) this.#cutWaiting(conn);
    this.#update();
  }

  #cutWaiting(conn: Conn): void {
    conn[Symbol.dispose]();
    this.stats.closed.cut++;
    this.#onClose(new Connfd(conn, this.#turns), "cut", 0);
  }

  /** Resolves when no connection is left. */
  async done(): Promise<void> {
    while (this.#active.size + this.#waiting.length > 0) await this.#change.promise;
    clearInterval(this.#sweeper);
  }

  #serveWaiting(): void {
    while (this.#active.size < this.#concurrency && this.#waiting.length > 0) {
      this.#serve(this.#waiting.shift()!);
    }
    this.#update();
  }

  #update(): void {
    this.stats.active = this.#turns.connections = this.#active.size;
    this.stats.waiting = this.#waiting.length;
    this.wake();
  }

  async #serve(conn: Conn): Promise<void> {
    const now = performance.now();
    const connfd = new Connfd(conn, this.#turns);
    const ended = Promise.withResolvers<void>();
    const connection: Connection = { connfd, since: now, moved: now, calls: 0, ended };
    this.#active.add(connection);
    let cause: Cause = "done";
    let error: unknown;
    try {
      if (isTcp(conn)) conn.setKeepAlive(true);
      await Promise.race([this.#handler(connfd), ended.promise]);
      // close(2) alone would drop TLS data still being written, and TLS's close_notify.
      const closed = connfd.closeWrite().catch(() => {});
      await Promise.race([closed, ended.promise]);
    } catch (thrown) {
      cause = thrown instanceof Refused ? "refused" : isReset(thrown) ? "reset" : "failed";
      error = thrown;
    }
    if (connection.cause !== undefined) {
      cause = connection.cause;
      error = {
        idle: new Deno.errors.TimedOut(`idle for ${this.#idleTimeout / 1000} s`),
        expired: new Deno.errors.TimedOut(`connected for ${this.#maxTime / 1000} s`),
        cut: undefined,
      }[cause];
    }
    connfd.close();
    this.#active.delete(connection);
    this.stats.closed[cause]++;
    this.#serveWaiting();
    if (error !== undefined) this.#onError(error, connfd);
    this.#onClose(connfd, cause, performance.now() - now);
  }

  /** Closes a connection, whatever its handler is doing. */
  #end(connection: Connection, cause: Connection["cause"]): void {
    connection.cause ??= cause;
    connection.connfd.close();
    connection.ended.resolve();
  }

  #sweep(): void {
    const now = performance.now();
    for (const connection of this.#active) {
      const { calls, writing } = connection.connfd;
      if (calls !== connection.calls) connection.moved = now;
      connection.calls = calls;
      const quiet = now - connection.moved - (writing ? SLOW_READER : 0);
      if (quiet >= this.#idleTimeout) this.#end(connection, "idle");
      if (now - connection.since >= this.#maxTime) this.#end(connection, "expired");
    }
  }
}

/** A callback that throws nothing: what it would throw or reject with goes to standard error. */
export function safely<A extends unknown[]>(callback: (...args: A) => unknown) {
  return async (...args: A): Promise<void> => {
    try {
      await callback(...args);
    } catch (error) {
      complain(error);
    }
  };
}

let complaining = false;

/** Writes the error to standard error; while nobody reads that, others are dropped. */
async function complain(error: unknown): Promise<void> {
  if (complaining) return;
  complaining = true;
  const text = new TextEncoder().encode(`${Deno.inspect(error)}\n`);
  await rioWriten(Deno.stderr, text).catch(() => {}); // nowhere left to report it
  complaining = false;
}
