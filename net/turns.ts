/** Fairness among busy connections. */
import type { Reader } from "../rio.ts";

/** With fewer connections than this, none starves: tokio completes 128 operations in a poll. */
const FEW = 120;
/** Reads started per turn of the event loop: with a write each they fit tokio's budget of 128. */
export const CHUNK = 60;
/** Turns of the event loop in which tokio asks the kernel who is ready: it does every 61. */
const ASKED = 64;

/**
 * Makes the reads of many busy connections take turns.
 *
 * Deno polls all pending operations of a thread in one task, and tokio lets a task complete 128
 * operations per poll. Ready operations beyond that are polled again after everything that has
 * arrived since, in reverse order. With more than 128 ready sockets, some are served over and
 * over, and the others starve.
 *
 * So with many connections reads go in rounds: a read requested during a round belongs to the next
 * one. A round starts one chunk of its reads per turn of the event loop, so that no poll exceeds
 * its budget. The round is over when every read that was ready has completed.
 *
 * And who sends without pause, a large window of long lines say, finds each read and write ready at
 * once, and keeps the thread to himself. Since the thread always has something to do, tokio asks
 * the kernel who else is ready only every 61 turns. `asked` waits for it.
 */
export class Turns {
  /** The number of open connections. */
  connections = 0;
  /** And of them, those whose last write was a large one. */
  bulk = 0;
  /** Reads and writes called so far. */
  calls = 0;
  /** And of them, those that were taken into account. */
  #seen = 0;
  /** Reads not begun yet. */
  #held: (() => void)[] = [];
  #running = false;
  #asking: Promise<void> | undefined;

  /** Reads from a connection in its turn. */
  read(conn: Reader, p: Uint8Array): Promise<number | null> {
    this.calls++;
    if (this.connections < FEW) return conn.read(p);
    return new Promise((resolve, reject) => {
      this.#held.push(() => {
        try {
          conn.read(p).then(resolve, reject);
        } catch (error) {
          reject(error);
        }
      });
      if (!this.#running) this.#run();
    });
  }

  /** Begins reads, round after round, as long as some are held. */
  async #run(): Promise<void> {
    this.#running = true;
    while (this.#held.length > 0) {
      await this.#over();
      const round = this.#held;
      this.#held = [];
      for (let i = 0; i < round.length; i += CHUNK) {
        for (const begin of round.slice(i, i + CHUNK)) begin();
        await turn();
      }
      this.#seen = this.calls; // reads that completed at once say nothing about the others
    }
    this.#running = false;
  }

  /** Resolves when every ready read of the last round has completed. */
  async #over(): Promise<void> {
    for (let quiet = 0; quiet < ASKED && this.#held.length < this.connections; quiet++) {
      await turn();
      const completed = this.calls - this.#seen; // each has led to a call
      this.#seen = this.calls;
      // A poll that completed fewer than tokio lets it left no ready read.
      if (completed > 0 && completed < FEW) return;
      if (completed > 0) quiet = 0;
    }
  }

  /** Resolves when tokio has asked the kernel who is ready. */
  asked(): Promise<void> {
    return this.#asking ??= this.#ask();
  }

  async #ask(): Promise<void> {
    for (let turns = 0; turns < ASKED; turns++) await turn();
    this.#asking = undefined;
  }
}

/** Resolves in the next turn of the event loop. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
