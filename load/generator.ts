/** The load of one thread: its share of the connections. */
import { checkRange } from "../rio.ts";
import { Connection, type LoadConn } from "./connection.ts";
import { type Counts, Histogram } from "./histogram.ts";
import { MAX_CONNECTIONS, MIN_LENGTH } from "./lines.ts";
import { keepTime, Schedule } from "./schedule.ts";

/** What is sent, and how; it can be sent from thread to thread. */
export interface Shape {
  /** Connections, of all threads. */
  connections: number;
  /** Lines in flight on each. */
  depth: number;
  /** Bytes of a line, its newline included. */
  length: number;
  /** Lines a second, of all connections; as many as come back if it is undefined. */
  rate: number | undefined;
  /** Lines after which a connection is replaced by a new one; `Infinity` for never. */
  churn: number;
  /** Milliseconds to wait for the next byte that is owed. */
  timeout: number;
}

/** What a thread does; the methods are those of {@linkcode Generator}. */
export interface Thread {
  open(): Promise<void>;
  begin(): Promise<void>;
  take(): Promise<Counts>;
  stop(): Promise<number>;
  opened(): Promise<number>;
  close(): void;
}

/** Bytes in flight, of all connections. */
export const MAX_IN_FLIGHT = 2 ** 29;
/** Bytes of a line. */
export const MAX_LENGTH = 2 ** 20;
/** Connections that are being opened at once: a queue may be short. */
const OPENING = 16;
/** Looks at the time in a timeout, and milliseconds between them at most. */
const LOOKS = 5;
const MAX_LOOK = 250;

/** Throws a RangeError unless a load is bounded. */
export function checkShape({ connections, depth, length }: Shape): void {
  checkRange("load: connections", connections, 1, MAX_CONNECTIONS);
  checkRange("load: length", length, MIN_LENGTH, MAX_LENGTH);
  checkRange("load: depth", depth, 1, Math.floor(MAX_IN_FLIGHT / connections / length));
}

/** Connections of a load, `from` one number to below another. */
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
    const options = { ...shape, connect, schedule: this.#schedule, histogram: this.#histogram };
    for (let i = from; i < to; i++) this.#connections.push(new Connection(i, options));
  }

  /** Opens all connections. Rejects with the fault of one that can't be. */
  async open(): Promise<void> {
    const rest = this.#connections.values();
    const some = async () => {
      for (const connection of rest) await connection.open();
    };
    await Promise.all(Array.from({ length: OPENING }, some));
  }

  /**
   * Sends, until it is stopped and all has come back. Rejects with the first fault; all
   * connections are closed then.
   */
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

  /** Takes the round trips since the last call. */
  take(): Promise<Counts> {
    return Promise.resolve(this.#histogram.take());
  }

  /**
   * Sends no more. Resolves to the number of lines that were due and couldn't be sent; the
   * time they have waited is recorded.
   */
  stop(): Promise<number> {
    this.#endTime();
    const now = performance.now();
    let unsent = 0;
    for (const connection of this.#connections) {
      connection.send(now); // what the timer hasn't seen yet
      unsent += connection.stop(now);
    }
    return Promise.resolve(unsent);
  }

  /** Resolves to the number of connections that were opened. */
  opened(): Promise<number> {
    return Promise.resolve(this.#connections.reduce((sum, { opened }) => sum + opened, 0));
  }

  /** Ends all at once. */
  close(): void {
    this.#endTime();
    clearInterval(this.#sweeper);
    for (const connection of this.#connections) connection.close();
  }
}
