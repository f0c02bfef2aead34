/** When lines are due, at a fixed rate. */

/** Spreads a rate over all connections, in turn. */
export class Schedule {
  #start = 0;
  readonly #rate: number;
  readonly #connections: number;

  /** `rate` is in lines per second; `connections` counts those of all threads. */
  constructor(rate: number, connections: number) {
    this.#rate = rate / 1000;
    this.#connections = connections;
  }

  /** Starts the clock now. */
  begin(): void {
    this.#start = performance.now();
  }

  /** When a line of a connection is due, on the clock of `performance.now()`. */
  due(connection: number, line: number): number {
    return this.#start + (line * this.#connections + connection) / this.#rate;
  }

  /** How many lines of a connection are due by the time `now`. */
  count(connection: number, now: number): number {
    const all = (now - this.#start) * this.#rate - connection;
    return Math.max(0, Math.floor(all / this.#connections) + 1);
  }
}

/** How long before a line is due the thread stops sleeping and polls, in milliseconds. */
const WATCHFUL = 2;

/**
 * Calls `send` whenever a line is due, for each connection in turn. It polls, because timers are
 * up to 1 ms late, which would add to every round trip. Returns a function that stops it.
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
