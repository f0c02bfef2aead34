/** The load generator of one thread, with its share of the connections. */
import { checkRange } from "../../rio.ts";
import { Connection, type LoadConn } from "./connection.ts";
import { type Counts, Histogram } from "./histogram.ts";
import { MAX_CONNECTIONS, MIN_LENGTH } from "./lines.ts";
import { keepTime, Schedule } from "./schedule.ts";

/** The shape of a load; can be posted to a worker. */
export interface Shape {
  /** The number of connections, over all threads. */
  connections: number;
  /** Lines in flight on each. */
  depth: number;
  /** Bytes per line, newline included. */
  length: number;
  /** Lines per second, over all connections; undefined: send one when one comes back. */
  rate: number | undefined;
  /** Lines after which a connection is replaced by a new one; `Infinity` for never. */
  churn: number;
  /** Milliseconds to wait for the next byte that the server owes. */
  timeout: number;
}

/** A generator, in this thread or in another. */
export interface Thread {
  /** Opens all connections. Rejects with a {@linkcode Fault} if one can't be opened. */
  open(): Promise<void>;
  /**
   * Sends until `stop` is called and everything has come back. Rejects with the first
   * {@linkcode Fault}, after closing all connections.
   */
  begin(): Promise<void>;
  /** The round trips since the last call. */
  take(): Counts | Promise<Counts>;
  /**
   * Stops sending. Returns how many lines were due but couldn't be sent; their waiting times so
   * far are recorded.
   */
  stop(): number | Promise<number>;
  /** How many connections have been opened. */
  opened(): number | Promise<number>;
  /** Closes all connections at once. */
  close(): void;
}

/** The most bytes in flight, over all connections. */
export const MAX_IN_FLIGHT = 2 ** 29;
/** The most bytes per line. */
export const MAX_LENGTH = 2 ** 20;
/** The most connections opened at the same time: the server's queue may be short. */
const OPENING = 16;
/** Checks per timeout, and the most milliseconds between two checks. */
const LOOKS = 5;
const MAX_LOOK = 250;

/** Throws a RangeError if a load exceeds the bounds. */
export function checkShape({ connections, depth, length }: Shape): void {
  checkRange("load: connections", connections, 1, MAX_CONNECTIONS);
  checkRange("load: length", length, MIN_LENGTH, MAX_LENGTH);
  checkRange("load: depth", depth, 1, Math.floor(MAX_IN_FLIGHT / connections / length));
}

/** Drives the connections numbered `from` up to but excluding `to`. */
export class Generator implements Thread {
  readonly #connections: Connection[] = [];
  readonly #histogram = new Histogram();
  readonly #timeout: number;
  readonly #schedule: Schedule | undefined;
  #endTime = () => {};
  #sweeper: ReturnType<typeof setInterval> | undefined;

  constructor(connect: () => Promise<LoadConn>, shape: Shape, from: number, to: number) {
    checkShape(shape);
    const { rate, connections } = shape;
    this.#timeout = shape.timeout;
    this.#schedule = rate === undefined ? undefined : new Schedule(rate, connections);
    const options = {
      ...shape,
      connect,
      schedule: this.#schedule,
      histogram: this.#histogram,
      // How far the connections of other threads are isn't known here.
      maybeSent: (connection: number, line: number) =>
        connection < connections &&
        line < (this.#connections[connection - from]?.issued ?? Infinity),
    };
    for (let i = from; i < to; i++) this.#connections.push(new Connection(i, options));
  }

  async open(): Promise<void> {
    const rest = this.#connections.values();
    const some = async () => {
      for (const connection of rest) await connection.open();
    };
    await Promise.all(Array.from({ length: OPENING }, some));
  }

  async begin(): Promise<void> {
    this.#schedule?.begin();
    const late = Promise.withResolvers<never>();
    const look = Math.min(this.#timeout / LOOKS, MAX_LOOK);
    this.#sweeper = setInterval(() => {
      const now = performance.now();
      try {
        for (const connection of this.#connections) connection.checkTime(now);
      } catch (fault) {
        late.reject(fault);
      }
    }, look);
    const runs = this.#connections.map((connection) => connection.run());
    if (this.#schedule) this.#endTime = keepTime(this.#schedule, this.#connections);
    try {
      await Promise.race([Promise.all(runs), late.promise]);
    } finally {
      this.close();
      await Promise.allSettled(runs);
    }
  }

  take(): Counts {
    return this.#histogram.take();
  }

  stop(): number {
    this.#endTime();
    const now = performance.now();
    let unsent = 0;
    for (const connection of this.#connections) {
      connection.send(now); // lines due since the last tick
      unsent += connection.stop(now);
    }
    return unsent;
  }

  opened(): number {
    return this.#connections.reduce((sum, { opened }) => sum + opened, 0);
  }

  close(): void {
    this.#endTime();
    clearInterval(this.#sweeper);
    for (const connection of this.#connections) connection.close();
  }
}
