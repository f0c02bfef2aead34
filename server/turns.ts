/** Fairness among many busy connections. */
import { FEW, isFair } from "../net/fairness.ts";
import type { Reader } from "../rio.ts";

/** Reads that begin in one turn of the event loop: with a write each they fit tokio's budget. */
const CHUNK = 60;
/** Turns of the event loop in which tokio asks the kernel at least once: it does every 61. */
const QUIET = 64;

/**
 * Turns for the reads of many busy connections.
 *
 * Deno polls all pending operations of a thread in one task, and tokio lets a task do 128 of
 * them a poll. Those that were ready and got none are polled again behind whatever has
 * arrived since, in the opposite order. So with more than 128 sockets ready at a time, some
 * are served over and over, and the others starve.
 *
 * Hence reads go in rounds: what is asked for during a round belongs to the next one. A round
 * begins a chunk of its reads each turn of the event loop, so that no poll runs out of its
 * budget. It is over when nobody is left who was ready.
 */
export class Turns {
  /** Connections that may read. */
  readers = 0;
  readonly #fair = isFair();
  /** Reads that have not begun; the first `#left` of them belong to this round. */
  #held: (() => void)[] = [];
  #left = 0;
  /** Reads under way. */
  #reading = 0;
  /** Reads that have ended since the last look. */
  #ended = 0;
  /** Looks since the round's last read began, and those in a row that saw none end. */
  #looks = 0;
  #quiet = 0;
  #running = false;

  /** Reads from a connection, when it is its turn. */
  read(conn: Reader, p: Uint8Array): Promise<number | null> {
    if (this.readers < FEW || this.#fair) return conn.read(p);
    return new Promise((resolve, reject) => {
      this.#held.push(() => {
        this.#reading++;
        conn.read(p).then((n) => {
          this.#end();
          resolve(n);
        }, (error) => {
          this.#end();
          reject(error);
        });
      });
      if (!this.#running) setImmediate(this.#turn);
      this.#running = true;
    });
  }

  #end(): void {
    this.#reading--;
    this.#ended++;
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

  /** Whether nobody is left who was ready. */
  #isOver(): boolean {
    const ended = this.#ended;
    this.#ended = 0;
    if (this.#reading === 0) return true;
    // Those that ended as soon as they began say nothing of the others.
    if (this.#looks++ === 0) {
      this.#quiet = 0;
      return false;
    }
    this.#quiet = ended > 0 ? 0 : this.#quiet + 1;
    // A poll that ended fewer had some of its budget left.
    return ended > 0 && ended < CHUNK || this.#quiet === QUIET;
  }
}
