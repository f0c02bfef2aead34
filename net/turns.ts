/** Fairness among busy connections. */
import type { Reader } from "../rio.ts";
import { sleep } from "./time.ts";

/** With fewer connections than this, none starves: tokio completes 128 operations in a poll. */
const FEW = 120;
/** Bytes that a connection may write before it pauses for the others, and for so many ms. */
export const SHARE = 1_572_864;
const PAUSE = 1;
/** What a read counts, as bytes. */
const READ = 1024;
/** A write of so many bytes is one of many, for who sends a lot at a time. */
const BULK = 4096;

/** Reads started per turn of the event loop: with a write each they fit tokio's budget of 128. */
const CHUNK = 60;
/** Turns of the event loop in which tokio polls the kernel at least once: it does every 61. */
const QUIET = 64;

/** What a connection has left of its share. */
export class Share {
  /** Bytes between two pauses. */
  readonly size: number;
  left: number;
  /** The round of its last turn. */
  round = 0;
  /** Whether its last write was a large one. */
  bulk = false;

  constructor(size: number) {
    this.size = size;
    this.left = size;
  }

  /** Counts a write. */
  wrote(bytes: number): void {
    this.left -= bytes;
    this.bulk = bytes >= BULK;
  }
}

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
 * once, and keeps the thread to himself. So a connection that has had its share of bytes pauses, by
 * a timer: the thread then asks the kernel who else is ready, which it does every 61 turns only
 * while it has anything to do.
 */
export class Turns {
  /** The number of open connections. */
  readers = 0;
  #round = 0;
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

  /** Reads from a connection in its turn, and not beyond its share. */
  read(conn: Reader, p: Uint8Array, share: Share): Promise<number | null> {
    if (this.readers < 2) return conn.read(p);
    share.left -= READ;
    if (share.left < 0) {
      share.left = share.size;
      return sleep(PAUSE).then(() => this.read(conn, p, share));
    }
    if (share.bulk && share.round === this.#round) return conn.read(p);
    share.round = this.#round + 1;
    return this.inTurn(conn, p);
  }

  /** Reads from a connection in its turn. */
  inTurn(conn: Reader, p: Uint8Array): Promise<number | null> {
    if (this.readers < FEW) return conn.read(p);
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
    if (this.#left === 0 && this.#isOver()) {
      this.#left = this.#held.length;
      this.#round++;
    }
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
