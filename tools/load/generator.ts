/** The load generator of one thread, with its share of the connections. */
import { Turns } from "../../net/turns.ts";
import { checkRange } from "../../rio.ts";
import type { LoadOptions } from "../load.ts";
import { Connection, type LoadConn } from "./connection.ts";
import { MAX_CONNECTIONS, MAX_LINES, MIN_LENGTH } from "./lines.ts";
import { keepTime, Schedule } from "./schedule.ts";
import { type Taken, Tally } from "./tally.ts";

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
  /** Lines to send, over all connections; `Infinity` for no bound. */
  lines: number;
  /** Lines after which a connection is replaced by a new one; `Infinity` for never. */
  churn: number;
  /** Milliseconds to wait for the next byte that the server owes. */
  timeout: number;
  /** Whether a fault ends the load, or is counted and the connection replaced by a new one. */
  onFault: "stop" | "count";
}

/** A generator, in this thread or in another. */
export interface Thread {
  /** Opens all connections. Rejects with a {@linkcode Fault} if one can't be opened. */
  open(): Promise<void>;
  /**
   * Sends until `stop` is called or all lines are sent, and everything has come back. Rejects with
   * the first {@linkcode Fault}, unless faults are counted, after closing all connections.
   */
  begin(): Promise<void>;
  /** What was counted since the last call. */
  take(): Taken | Promise<Taken>;
  /** Stops sending. Lines that were due and not sent count with their time so far. */
  stop(): void | Promise<void>;
  /** Closes all connections at once, and takes. Lines owed or due count with their time so far. */
  end(): Taken | Promise<Taken>;
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
export function checkShape({ connections, depth, length, lines }: Shape): void {
  checkRange("load: connections", connections, 1, MAX_CONNECTIONS);
  checkRange("load: length", length, MIN_LENGTH, MAX_LENGTH);
  if (lines !== Infinity) checkRange("load: lines", lines, 1, MAX_LINES);
  checkRange("load: depth", depth, 1, Math.floor(MAX_IN_FLIGHT / connections / length));
}

/** A load with what isn't given filled in. */
export function planOf(options: LoadOptions): { shape: Shape; time: number; warmup: number } {
  const { connections = 50, depth = 1, length = 64, rate, lines = Infinity } = options;
  const { churn = Infinity, timeout = 10_000, onFault = "stop" } = options;
  const bounded = lines < Infinity;
  const { time = bounded ? Infinity : 5000 } = options;
  const { warmup = bounded ? 0 : Math.min(1000, time / 5) } = options;
  const shape = { connections, depth, length, rate, lines, churn, timeout, onFault };
  return { shape, time, warmup };
}

/** Drives the connections numbered `from` up to but excluding `to`. */
export class Generator implements Thread {
  readonly #connections: Connection[] = [];
  readonly #tally = new Tally();
  readonly #timeout: number;
  readonly #schedule: Schedule | undefined;
  #endTime = () => {};
  #sweeper: ReturnType<typeof setInterval> | undefined;

  constructor(
    connect: (connection: number) => Promise<LoadConn>,
    shape: Shape,
    from: number,
    to: number,
  ) {
    checkShape(shape);
    const { rate, connections } = shape;
    this.#timeout = shape.timeout;
    this.#schedule = rate === undefined ? undefined : new Schedule(rate, connections);
    const turns = new Turns();
    turns.connections = to - from;
    const options = {
      ...shape,
      turns,
      connect,
      schedule: this.#schedule,
      tally: this.#tally,
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
    this.#sweeper = setInterval(() => {
      const now = performance.now();
      for (const connection of this.#connections) connection.checkTime(now);
    }, Math.min(this.#timeout / LOOKS, MAX_LOOK));
    const runs = this.#connections.map((connection) => connection.run());
    if (this.#schedule) this.#endTime = keepTime(this.#schedule, this.#connections);
    try {
      await Promise.all(runs);
    } finally {
      this.#close();
      await Promise.allSettled(runs);
    }
  }

  take(): Taken {
    return this.#tally.take();
  }

  stop(): void {
    this.#endTime();
    const now = performance.now();
    for (const connection of this.#connections) {
      connection.send(now); // lines due since the last tick
      connection.stop(now);
    }
  }

  end(): Taken {
    this.#close();
    const now = performance.now();
    for (const connection of this.#connections) connection.end(now);
    return this.#tally.take();
  }

  #close(): void {
    this.#endTime();
    clearInterval(this.#sweeper);
    for (const connection of this.#connections) connection.close();
  }
}
