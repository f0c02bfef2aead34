/** Fairness among many busy connections. */

/**
 * Turns for the reads of many busy connections.
 *
 * Deno polls all pending operations of a thread in one task, which tokio lets do 128
 * of them a poll. Those that were ready and found nothing left are woken for the next
 * poll in the opposite order. So, with more than 128 ready at a time, the ones at
 * both ends of the list are served over and over, and those in the middle starve.
 *
 * Hence reads go in rounds: all that are asked for after a round has begun wait until
 * a poll does less than it could, which says that nobody ready is left; and then they
 * begin together.
 */
export class Turns {
  #held: (() => void)[] = [];
  #asked = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Connections that may read. */
  readers = 0;

  /** A turn to wait for, unless so few may read that none can starve. */
  take(): Promise<void> | undefined {
    if (this.readers < FEW_READERS) return undefined;
    if (this.#asked++ === 0) setImmediate(() => this.#endPoll());
    return new Promise((resolve) => this.#held.push(resolve));
  }

  #endPoll(): void {
    const asked = this.#asked;
    this.#asked = 0;
    clearTimeout(this.#timer);
    if (asked < FULL_POLL) this.release();
    else this.#timer = setTimeout(() => this.release(), LAST_POLL);
  }

  /** Ends all turns. */
  end(): void {
    this.release();
  }

  /** Begins the next round. */
  release(): void {
    clearTimeout(this.#timer);
    const held = this.#held;
    this.#held = [];
    for (const go of held) go();
  }
}

/** Connections among whom nobody starves. */
const FEW_READERS = 100;
/** Reads of a poll that may have left others: it counts writes and reads, 128 in all. */
const FULL_POLL = 64;
/** Milliseconds without a poll that say that the last one was full by chance. */
const LAST_POLL = 2;
