/** Echo servers, each of which breaks one promise of judge's, and one that keeps them all. */
import { Buffer } from "node:buffer";
import { rioWriten } from "@netp/rio/rio";

/** What is wrong with a server; nothing, if empty. */
export interface Wrong {
  /** What comes back for a line. */
  line?: (line: string) => string;
  /** A client after which the next is turned away. */
  turns?: (last: Ended) => boolean;
  /** A client that is turned away: its number, from 0 on. */
  away?: number;
  /** What the server says before it closes. */
  last?: (lines: number) => string;
  /** Whether it closes a connection on which so much has come. */
  closes?: (last: Ended) => boolean;
  /** How many reads a line may take. */
  reads?: number;
  /** Whether others wait while a line is half there. */
  locks?: boolean;
  /** Whether each line is written by itself. */
  byLine?: boolean;
  iterative?: boolean;
  /** Which of several iterative workers serves client n, from 0 on: one client after the other. */
  worker?: (n: number) => number;
  backlog?: number;
}

/** How a client was served. */
interface Ended {
  lines: number;
  /** Whether its last line was half there. */
  half: boolean;
  failed: "accept" | "read" | "write" | undefined;
}

/** Serves until it is disposed of. */
export class EchoServer implements AsyncDisposable {
  readonly port: number;
  readonly #wrong: Wrong;
  readonly #listenfds: Deno.TcpListener[];
  readonly #open = new Set<Deno.TcpConn>();
  readonly #loops: Promise<void>[];
  readonly #workers: Promise<void>[] = [];
  #accepted = 0;
  #count = 0;
  #turn = false;
  #lock = Promise.resolve();

  constructor(wrong: Wrong) {
    this.#wrong = wrong;
    const options = { tcpBacklog: wrong.backlog ?? 100 };
    const v4 = Deno.listen({ hostname: "127.0.0.1", port: 0, ...options });
    this.port = v4.addr.port;
    this.#listenfds = [v4, Deno.listen({ hostname: "::1", port: this.port, ...options })];
    this.#loops = this.#listenfds.map((listenfd) => this.#accept(listenfd));
  }

  async #accept(listenfd: Deno.TcpListener): Promise<void> {
    for (;;) {
      try {
        const connfd = await listenfd.accept();
        this.#open.add(connfd);
        const { iterative, worker } = this.#wrong;
        const at = worker?.(this.#accepted++) ?? -1;
        const served = (this.#workers[at] ?? Promise.resolve()).then(() => this.#serve(connfd));
        if (worker !== undefined) this.#workers[at] = served;
        if (iterative) await served;
      } catch (error) {
        if (error instanceof Deno.errors.BadResource) return;
        this.#turnNext({ lines: 0, half: false, failed: "accept" });
      }
    }
  }

  async #serve(connfd: Deno.TcpConn): Promise<void> {
    const ended: Ended = {
      lines: 0,
      half: false,
      failed: undefined,
    };
    const away = this.#turn || this.#count++ === this.#wrong.away;
    this.#turn = false;
    if (!away) await this.#echo(connfd, ended);
    this.#turnNext(ended);
    if (!away && !(this.#wrong.closes?.(ended) ?? true)) return;
    this.#open.delete(connfd);
    connfd[Symbol.dispose]();
  }

  #turnNext(ended: Ended): void {
    this.#turn ||= this.#wrong.turns?.(ended) ?? false;
  }

  async #echo(
    connfd: Deno.TcpConn,
    ended: Ended,
  ): Promise<void> {
    const { line = (line: string) => line, last, reads = Infinity, locks, byLine } = this.#wrong;
    const buf = new Uint8Array(65_536);
    const write = (text: string) => rioWriten(connfd, Buffer.from(text, "latin1"));
    let [count, half] = [0, ""];
    let unlock: (() => void) | undefined;
    try {
      ended.failed = "read";
      for (let n; (n = await connfd.read(buf)) !== null;) {
        if (locks && unlock === undefined) unlock = await this.#acquire();
        const all = half + Buffer.from(buf.subarray(0, n)).toString("latin1");
        const end = all.lastIndexOf("\n") + 1;
        half = all.slice(end);
        ended.half = half !== "";
        count = end > 0 ? 0 : count + 1;
        if (count > reads) return;
        const whole = all.slice(0, end).match(/[^\n]*\n/g) ?? [];
        ended.lines += whole.length;
        if (half === "") unlock = void unlock?.();
        ended.failed = "write";
        const out = whole.map((text) => line(text));
        for (const text of byLine ? out : [out.join("")]) await write(text);
        ended.failed = "read";
      }
      ended.failed = undefined;
      await write(line(half) + (last?.(ended.lines) ?? ""));
    } catch {
      // `failed` says where.
    } finally {
      unlock?.();
    }
  }

  /** Waits for the lock, and returns what gives it back. */
  async #acquire(): Promise<() => void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const before = this.#lock;
    this.#lock = promise;
    await before;
    return resolve;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const fd of [...this.#listenfds, ...this.#open]) fd[Symbol.dispose]();
    await Promise.all(this.#loops);
  }
}
