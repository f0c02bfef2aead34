/** When lines are due: as soon as there is room for them, or at a fixed rate. */

/** The lines of all connections in turn, at so many a second. */
export class Schedule {
  #start = 0;
  readonly #rate: number;
  readonly #connections: number;

  /** For a rate in lines a second, and the connections of all threads. */
  constructor(rate: number, connections: number) {
    this.#rate = rate / 1000;
    this.#connections = connections;
  }

  /** Starts now. */
  begin(): void {
    this.#start = performance.now();
  }

  /** When a line of a connection is due, on the clock of `performance.now()`. */
  due(connection: number, line: number): number {
    return this.#start + (line * this.#connections + connection) / this.#rate;
  }

  /** How many lines of a connection are due at a time. */
  count(connection: number, now: number): number {
    const all = (now - this.#start) * this.#rate - connection;
    return Math.max(0, Math.floor(all / this.#connections) + 1);
  }
}

/** Milliseconds before a line is due in which the thread polls instead of sleeping. */
const WATCHFUL = 2;

/**
 * Calls `send` when a line is due, connection after connection, until the function returned is
 * called. Timers are late by up to a millisecond, which would be measured with each line:
 * hence the polling.
 */
export function keepTime(
  schedule: Schedule,
  connections: { number: number; send(now: number): void }[],
): () => void {
  let line = 0;
  let next = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let poll: ReturnType<typeof setImmediate> | undefined;
  const tick = () => {
    const now = performance.now();
    let due;
    while ((due = schedule.due(connections[next].number, line)) <= now) {
      connections[next].send(now);
      if (++next === connections.length) [next, line] = [0, line + 1];
    }
    if (due - now > WATCHFUL) timer = setTimeout(tick, due - now - WATCHFUL);
    else poll = setImmediate(tick);
  };
  tick();
  return () => {
    clearTimeout(timer);
    clearImmediate(poll);
  };
}
