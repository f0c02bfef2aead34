/** The connections of a server: how many at once, for how long, and what ended each. */
import { isReset } from "../net/errors.ts";
import { checkTime } from "../net/time.ts";
import { checkRange } from "../rio.ts";
import { activity, type Conn, Connfd, isTcp } from "./connfd.ts";
import { Refused } from "./gate.ts";
import { Turns } from "./turns.ts";

/** What bounds the connections of a server. */
export interface ConnectionOptions {
  /**
   * Connections served at once, 1 unless given: the iterative server. All others wait in
   * the kernel's queue.
   */
  concurrency?: number;
  /**
   * Milliseconds, and up to a fifth more, after which a connection is ended if no byte has
   * gone either way; for ever unless given. One whose client takes its bytes slowly has 20
   * seconds more: the kernel tells only when a third of its buffer has left.
   */
  idleTimeout?: number;
  /** Milliseconds, and up to a fifth more, that a connection may last; for ever unless given. */
  maxTime?: number;
  /**
   * Called with what ended a connection before its time, or what `accept` threw. Neither
   * ends the server. Unless given, it goes to `console.error`.
   */
  onError?: (error: unknown, connfd?: Connfd) => void;
  /** The counters to keep: its own unless given. */
  stats?: ServeStats;
}

/**
 * The counters of `serve`.
 *
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
  /** Connections accepted after the signal to end, that wait for a slot. */
  waiting = 0;
  /** Connections that have ended, by what ended them. */
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
 * What ended a connection: its handler in good order, the client who reset it or has gone,
 * `idleTimeout`, `maxTime`, the end of the grace, the program's `--allow` and the like, or anything else that
 * the handler threw.
 */
export type Cause = "done" | "reset" | "idle" | "expired" | "cut" | "refused" | "failed";

/** Milliseconds more for a client that takes its bytes slowly. */
const SLOW_READER = 20_000;
/** Milliseconds between two looks at the time, at most. */
const MAX_SWEEP = 10_000;

/** A connection that is being served. */
interface Connection {
  connfd: Connfd;
  /** When it was accepted, and when it was last seen to move. */
  since: number;
  moved: number;
  /** Reads and writes when it was last looked at. */
  calls: number;
  /** What the server ended it for. */
  cause?: "idle" | "expired" | "cut";
  /** Resolves when the server has ended it. */
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
  readonly #active = new Set<Connection>();
  readonly #waiting: Conn[] = [];
  readonly #turns = new Turns();
  #sweeper: ReturnType<typeof setInterval> | undefined;
  /** Resolves when there is something new to see. */
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
    this.#onError = options.onError ?? complain;
    this.stats = options.stats ?? new ServeStats();
    const sweep = Math.min(idleTimeout, maxTime) / 5;
    if (sweep < Infinity) {
      this.#sweeper = setInterval(() => this.#sweep(), Math.min(sweep, MAX_SWEEP));
    }
  }

  /** Resolves when another connection can be served, or the signal has aborted. */
  async slot(signal: AbortSignal | undefined): Promise<void> {
    while (this.#active.size >= this.#concurrency && !signal?.aborted) {
      await this.#change.promise;
    }
  }

  /** Serves a connection as soon as there is a slot. */
  add(conn: Conn): void {
    this.stats.accepted++;
    this.#waiting.push(conn);
    this.#serveWaiting();
  }

  /** Tells of what `accept` threw. */
  fault(error: unknown): void {
    this.#onError(error);
  }

  /** Resolves when a connection has begun or ended. */
  change(): Promise<void> {
    return this.#change.promise;
  }

  /** Has `slot` look again. */
  wake(): void {
    this.#change.resolve();
    this.#change = Promise.withResolvers();
  }

  /** Ends all connections, those that wait for a slot, and counts others that were ended. */
  cut(others: number): void {
    this.stats.accepted += others;
    this.stats.closed.cut += others;
    for (const connection of this.#active) this.#end(connection, "cut");
    for (const conn of this.#waiting.splice(0)) {
      conn[Symbol.dispose]();
      this.stats.closed.cut++;
    }
    this.#count();
  }

  /** Resolves when none is left. */
  async done(): Promise<void> {
    while (this.#active.size + this.#waiting.length > 0) await this.#change.promise;
    clearInterval(this.#sweeper);
  }

  #serveWaiting(): void {
    while (this.#active.size < this.#concurrency && this.#waiting.length > 0) {
      this.#serve(this.#waiting.shift()!);
    }
    this.#count();
  }

  #count(): void {
    this.stats.active = this.#turns.readers = this.#active.size;
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
      // What was written last leaves first: close(2) alone would end TLS without its close.
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
  }

  /** Ends a connection, whatever its handler waits for. */
  #end(connection: Connection, cause: Connection["cause"]): void {
    connection.cause ??= cause;
    connection.connfd.close();
    connection.ended.resolve();
  }

  #sweep(): void {
    const now = performance.now();
    for (const connection of this.#active) {
      const { calls, writing } = activity(connection.connfd);
      if (calls !== connection.calls) connection.moved = now;
      connection.calls = calls;
      const quiet = now - connection.moved - (writing ? SLOW_READER : 0);
      if (quiet >= this.#idleTimeout) this.#end(connection, "idle");
      if (now - connection.since >= this.#maxTime) this.#end(connection, "expired");
    }
  }
}

/** `console.error`, where that doesn't throw: standard error may be full, or gone. */
function complain(error: unknown): void {
  try {
    console.error(error);
  } catch {
    // There is nowhere to say it.
  }
}
