/**
 * How to leave the kernel's queue: closing a listening socket resets whoever is in it, and only
 * `accept` tells whether anybody is.
 */
import { turn } from "../net/turns.ts";
import type { Conn } from "./connfd.ts";

/** Milliseconds between two checks for a new connection. */
const LOOK = 10;
/** Checks in a row that must see none: a single one may come late if the program was held up. */
const LOOKS = 5;
/**
 * Connections accepted in a turn of the event loop: tokio does 64 accepts in one, and leaves the
 * next pending whoever waits.
 */
const IN_TURN = 32;
/** The most turns in which connections are accepted before the first of them is served. */
const TURNS = 32;
/** Turns before that, in which other work ends: tokio brings more only every 61. */
const CALM = 10;
/** More microtasks than an `accept` needs that finds somebody in the queue. */
const MICROTASKS = 10;

/** A listening descriptor that can be closed without a reset for who has connected. */
export class AcceptQueue<C extends Conn> {
  readonly #listenfd: { accept(): Promise<C>; close(): void };
  readonly #closed = Promise.withResolvers<void>();
  /** Whether an `accept` is pending, and how many were called. */
  #waiting = false;
  #calls = 0;
  #open = true;
  /** Whether to close as soon as nobody waits. */
  #hurried = false;
  /** Accepted ahead, in order. */
  readonly #ahead: Promise<C>[] = [];
  #timer: ReturnType<typeof setInterval> | undefined;

  /** Accepts from `listenfd`, and closes it. */
  constructor(listenfd: { accept(): Promise<C>; close(): void }) {
    this.#listenfd = listenfd;
  }

  /** Resolves to the next connection. */
  async accept(): Promise<C> {
    const ahead = this.#ahead.shift();
    try {
      if (ahead !== undefined) return await ahead;
      this.#waiting = true;
      this.#calls++;
      const conn = await this.#listenfd.accept();
      this.#waiting = false;
      if (this.#hurried) await this.#acceptAll();
      return conn;
    } catch (error) {
      if (error instanceof Deno.errors.BadResource) this.close(); // its owner has closed it
      throw error;
    } finally {
      this.#waiting = false;
    }
  }

  /**
   * Closes the listener once nobody has come for 50 ms, or, if `hurried`, as soon as nobody is in
   * the queue. `accept` has to be called until it rejects. Resolves when the listener is closed.
   */
  stop(hurried: boolean): Promise<void> {
    this.#hurried ||= hurried;
    if (this.#open) this.#timer ??= this.#closeWhenQuiet();
    return this.#closed.promise;
  }

  /** Closes the listener; does nothing if it is already closed. */
  close(): void {
    this.#open = false;
    clearInterval(this.#timer);
    this.#closed.resolve();
    try {
      this.#listenfd.close();
    } catch {
      // Already closed by its owner.
    }
  }

  /** Accepts whoever is in the queue, and closes it behind the last of them. */
  async #acceptAll(): Promise<void> {
    for (let i = 0; i < TURNS; i++) {
      for (let i = 0; i < CALM; i++) await turn();
      for (let i = 0; i < IN_TURN; i++) {
        let seen = false;
        let failed = false;
        const next = this.#listenfd.accept();
        next.then(() => seen = true, () => failed = true);
        this.#ahead.push(next);
        for (let i = 0; i < MICROTASKS && !seen && !failed; i++) await undefined;
        if (seen) continue;
        if (!failed) this.close();
        return await turn(); // the socket is closed once the pending call has ended
      }
    }
  }

  #closeWhenQuiet(): ReturnType<typeof setInterval> {
    let quiet = 0;
    let calls = -1;
    return setInterval(() => {
      quiet = this.#waiting && this.#calls === calls ? quiet + 1 : 0;
      calls = this.#calls;
      if (quiet === LOOKS) this.close();
    }, LOOK);
  }
}
