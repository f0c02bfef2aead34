/**
 * How a server stops: at the signal it goes on accepting until the kernel's queue is empty, since
 * closing a listener resets whoever is in it; what is open then has the grace to end.
 */
import { checkTime, inTime, within } from "../net/time.ts";
import { checkRange } from "../rio.ts";
import type { Listenfd } from "../server.ts";
import { AcceptQueue } from "./accept_queue.ts";
import type { Conn } from "./connfd.ts";
import type { Connections } from "./connections.ts";

/** Milliseconds after the grace in which the kernel's queue has to be empty. */
const LAST = 1000;

/** How to stop. */
export interface DrainOptions {
  /**
   * Stops the server: it accepts until nobody comes any more, closes the listener, and goes on to
   * serve who has connected by then, for up to `grace` from the signal on.
   */
  signal?: AbortSignal;
  /**
   * Milliseconds that connections may go on after the signal; then they are closed. Default: no
   * limit.
   */
  grace?: number;
  /**
   * How many connections are accepted after the signal, besides TLS handshakes under way, before the
   * listener is hurried to close, as `stop` of {@linkcode Listenfd} says. Half of the grace hurries it,
   * too. After the grace as many more, at most, are accepted to be closed, and counted as cut.
   * Default: {@linkcode LISTENQ}.
   */
  backlog?: number;
}

/** A listening descriptor that knows how to leave the kernel's queue. */
type Stoppable = Listenfd & Required<Pick<Listenfd, "stop">>;

/** A listening descriptor until it is closed: by its owner, or once it has drained. */
export class Drain implements Disposable {
  readonly #listenfd: Stoppable;
  readonly #connections: Connections;
  readonly #signal: AbortSignal | undefined;
  readonly #grace: number;
  readonly #backlog: number;
  /** Connections accepted after the signal. */
  #late = 0;
  #open = true;
  #timers: (() => void)[] = [];

  constructor(
    listenfd: Listenfd,
    connections: Connections,
    options: DrainOptions & { backlog: number },
  ) {
    const { signal, grace = Infinity, backlog } = options;
    checkTime("serve: grace", grace);
    checkRange("serve: backlog", backlog, 0, Number.MAX_SAFE_INTEGER);
    this.#listenfd = canStop(listenfd) ? listenfd : new AcceptQueue(listenfd);
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
    try {
      const conn = await this.#listenfd.accept();
      if (this.#signal?.aborted) this.#countLate();
      return conn;
    } catch (error) {
      if (error instanceof Deno.errors.BadResource) this.#open = false;
      throw error;
    }
  }

  /** Ends what the signal began. */
  [Symbol.dispose](): void {
    for (const cancel of this.#timers) cancel();
    this.#signal?.removeEventListener("abort", this.#begin);
  }

  readonly #begin = (): void => {
    this.#connections.wake();
    this.#listenfd.stop(false);
    this.#timers = [
      inTime(this.#grace / 2, () => this.#listenfd.stop(true)),
      inTime(this.#grace, () => this.#cut()),
    ];
  };

  /** Who comes without end is served until nobody waits for a moment, or until the grace ends. */
  #countLate(): void {
    const bound = this.#backlog + (this.#listenfd.handshaking ?? 0) + 1;
    if (++this.#late <= bound) return;
    if (this.#connections.refusing) this.#close();
    else this.#listenfd.stop(true);
  }

  /** Time is up: closes what is open, and what is still in the queue. */
  #cut(): void {
    this.#late = 0;
    this.#connections.cut();
    this.#connections.refusing = true;
    within(LAST, this.#listenfd.stop(true)).then(() => this.#close());
  }

  /** Closes the listener, and counts the handshakes that this ends. */
  #close(): void {
    this.#connections.countCut(this.#listenfd.handshaking ?? 0);
    this.#listenfd.close();
  }
}

function canStop(listenfd: Listenfd): listenfd is Stoppable {
  return listenfd.stop !== undefined;
}
