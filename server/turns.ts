/** Fairness among many busy connections. */
import { FEW, isFair } from "../net/fairness.ts";
import type { Reader } from "../rio.ts";

/** Reads started per turn of the event loop: with a write each they fit tokio's budget of 128. */
const CHUNK = 60;
/** Turns of the event loop in which tokio polls the kernel at least once: it does every 61. */
const QUIET = 64;

/**
 * Makes the reads of many busy connections take turns.
 *
 * Deno polls all pending operations of a thread in one task, and tokio lets a task complete 128
 * operations per poll. Ready operations beyond that are polled again after everything that has
 * arrived since, in reverse order. With more than 128 ready sockets, some are served over and
 * over, and the others starve.
 *
 * So reads go in rounds: a read requested during a round belongs to the next one. A round starts
 * one chunk of its reads per turn of the event loop, so that no poll exceeds its budget. The
 * round is over when every read that was ready has completed.
 */
export class Turns {
  /** The number of open connections. */
  readers = 0;
  readonly #fair = isFair();
  /** Reads not started yet; the first `#left` belong to this round. */
  #held: (() => Promise<void>)[] = [];
  #left = 0;
  /** Reads under way. */
  #reading = 0;
  /** Reads completed since the last check. */
  #ended = 0;
  /** Checks since the round's last read started, and how many in a row saw no read complete. */
  #looks = 0;
  #quiet = 0;
  #running = false;

  /** Reads from a connection, in its turn. */
  read(conn: Reader, p: Uint8Array): Promise<number | null> {
    if (this.readers < FEW || this.#fair) return conn.read(p);
    return new Promise((resolve, reject) => {
      this.#held.push(async () => {
        this.#reading++;
        try {
          resolve(await conn.read(p));
        } catch (error) {
          reject(error);
        }
        this.#reading--;
        this.#ended++;
      });
      if (!this.#running) setImmediate(this.#turn);
      this.#running = true;
    });
  }

  readonly #turn = (): void => {
    if (this.#left === 0 && this.#isOver()) this.#left = this.#held.length;
    if (this.#left > 0) {
      const chunk = this.#held.splice(0, Math.min(this.#left, CHUNK));
      this.#left -= chunk.length;
      this.#looks = 0;
      for (const begin of chunk) begin();
    }
    this.#running = this.#held.length > 0;
    if (this.#running) setImmediate(this.#turn);
  };

  /** Whether every ready read of the round has completed. */
  #isOver(): boolean {
    const ended = this.#ended;
    this.#ended = 0;
    if (this.#reading === 0) return true;
    // Reads that complete as soon as they start say nothing about the others.
    if (this.#looks++ === 0) {
      this.#quiet = 0;
      return false;
    }
    this.#quiet = ended > 0 ? 0 : this.#quiet + 1;
    // A poll that completed fewer than a chunk didn't use up its budget: no ready read is left.
    return ended > 0 && ended < CHUNK || this.#quiet === QUIET;
  }
}
