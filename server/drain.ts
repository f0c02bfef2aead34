/**
 * How a server stops: at the signal it goes on accepting until the kernel's queue is empty, since
 * closing a listener resets whoever is in it; what is open then has the grace to end.
 */
import { checkTime, inTime } from "../net/time.ts";
import type { Listenfd } from "../server.ts";
import type { Conn } from "./connfd.ts";
import type { Connections } from "./connections.ts";

/** Milliseconds between two checks for a new connection. */
const LOOK = 10;
/** Checks in a row that must see none: a single one may come late if the program was held up. */
const LOOKS = 5;

/** How to stop. */
export interface DrainOptions {
  /**
   * Stops the server. Connections that are open or in the kernel's queue at that time are still
   * served, for up to `grace`; then the listener is closed.
   */
  signal?: AbortSignal;
  /**
   * Milliseconds that open connections may go on after the signal; then they are closed.
   * Default: no limit.
   */
  grace?: number;
  /**
   * After the signal, so many connections may come, besides TLS handshakes under way. Behind them
   * the listener closes at the first moment when nobody waits; where as many more leave none, the
   * next are closed, and counted as cut. Default: 1024, {@linkcode LISTENQ}.
   */
  backlog?: number;
}

/** A listening descriptor until it is closed: by its owner, or once it has drained. */
export class Drain implements Disposable {
  readonly #listenfd: Listenfd;
  readonly #connections: Connections;
  readonly #signal: AbortSignal | undefined;
  readonly #grace: number;
  readonly #backlog: number;
  /** Whether an `accept` is pending, and how many have been called. */
  #waiting = false;
  #calls = 0;
  /** Connections accepted after the signal. */
  #late = 0;
  /** Whether to close at the first moment when nobody waits. */
  #hurried = false;
  #open = true;
  #timer: ReturnType<typeof setInterval> | undefined;
  #cancelGrace = () => {};

  constructor(listenfd: Listenfd, connections: Connections, options: DrainOptions) {
    const { signal, grace = Infinity, backlog = 1024 } = options;
    checkTime("serve: grace", grace);
    this.#listenfd = listenfd;
    this.#connections = connections;
    this.#signal = signal;
    this.#grace = grace;
    this.#backlog = backlog;
    if (signal?.aborted) this.#begin();
    signal?.addEventListener("abort", this.#begin);
  }

  /** Whether the listener is open. */
  get open(): boolean {
    return this.#open;
  }

  /** Accepts a connection, and counts it if it comes after the signal. */
  async accept(): Promise<Conn> {
    this.#waiting = true;
    const call = ++this.#calls;
    if (this.#hurried) {
      setImmediate(() => {
        if (this.#waiting && this.#calls === call) this.close(); // nobody waits at this moment
      });
    }
    try {
      const conn = await this.#listenfd.accept();
      if (this.#signal?.aborted) this.#countLate();
      return conn;
    } catch (error) {
      if (error instanceof Deno.errors.BadResource) this.#open = false; // closed by its owner
      throw error;
    } finally {
      this.#waiting = false;
    }
  }

  /** Closes the listener, and counts the handshakes that this ends. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#connections.countCut(this.#listenfd.handshaking ?? 0);
    try {
      this.#listenfd.close();
    } catch {
      // Already closed by its owner.
    }
  }

  /** Ends what the signal began. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#cancelGrace();
    this.#signal?.removeEventListener("abort", this.#begin);
  }

  readonly #begin = (): void => {
    this.#connections.wake();
    this.#closeWhenEmpty(LOOKS);
    this.#cancelGrace = inTime(this.#grace, () => this.#cut());
  };

  /** Who comes without end is served for a while, then cut, then left to the closed port. */
  #countLate(): void {
    const bound = this.#backlog + (this.#listenfd.handshaking ?? 0) + 1;
    if (++this.#late <= bound) return;
    if (this.#listenfd.stop !== undefined) return this.#listenfd.stop();
    this.#hurried = true;
    if (this.#late > 3 * bound) this.close();
    else if (this.#late > 2 * bound) this.#refuse();
  }

  /** Time is up: closes what is open, and what is still in the queue. */
  #cut(): void {
    this.#connections.cut();
    this.#refuse();
  }

  /** From now on connections are accepted only to be cut and counted; soon the listener closes. */
  #refuse(): void {
    if (this.#connections.refusing) return;
    this.#connections.refusing = true;
    this.#closeWhenEmpty(1);
  }

  /** Closes when no connection has come, nor a handshake was under way, at so many looks. */
  #closeWhenEmpty(looks: number): void {
    clearInterval(this.#timer);
    let quiet = 0;
    let calls = -1;
    this.#timer = setInterval(() => {
      const busy = this.#connections.refusing ? 0 : this.#listenfd.handshaking ?? 0;
      const nobody = this.#waiting && this.#calls === calls && busy === 0;
      quiet = nobody ? quiet + 1 : 0;
      calls = this.#calls;
      if (quiet === looks) this.close();
    }, LOOK);
  }
}
