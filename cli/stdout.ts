/** Standard output, buffered like C's stdio. */
import { fstatSync } from "node:fs";
import { label } from "../net/errors.ts";
import { sleep } from "../net/time.ts";
import { rioWriten, type Writer } from "../rio.ts";

/** Bytes of a buffer, and of one write. */
const BLOCK = 65_536;
/** The most milliseconds that bytes stay in the buffer. */
const DELAY = 20;
/** Milliseconds before the next try if standard output is non-blocking: EAGAIN. */
const AGAIN = 10;

/** Who may give up a wait, such as a connection that is closed. */
export interface Giver {
  readonly signal: AbortSignal;
}

/**
 * Standard output, buffered like C's stdio: by line on a terminal, otherwise by block, but for at
 * most 20 ms. It holds at most 128 KiB: while a reader stalls, writers wait.
 */
export class Stdout implements Writer {
  readonly #sink: Writer;
  /** Whether each print is written at once: `_IOLBF` of setvbuf(3). */
  byLine: boolean;
  #buf = new Uint8Array(BLOCK);
  #spare = new Uint8Array(BLOCK);
  #length = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #writing = false;
  readonly #waiters = new Set<() => void>();
  #error: unknown;

  /** The error of the first failed write, which every later call throws too. */
  get error(): unknown {
    return this.#error;
  }

  /** Buffers writes to `sink`: standard output, or something that forwards to it. */
  constructor(sink: Writer = new SharedStdout(), byLine: boolean = Deno.stdout.isTerminal()) {
    this.#sink = sink;
    this.byLine = byLine;
  }

  /** Like {@linkcode Stdout.print}, for the first 65536 bytes of `p`; returns how many it took. */
  async write(p: Uint8Array): Promise<number> {
    const bytes = p.subarray(0, BLOCK);
    await this.print(bytes);
    return bytes.length;
  }

  /**
   * Buffers 1 to 65536 bytes, to be written `times` times. They are never split by those of another
   * call. Returns undefined if there was room; otherwise a promise that resolves when the bytes are
   * in the buffer, on a terminal that they are written. Whoever gives up a wait may leave bytes
   * unprinted.
   * @throws {Error} The error of an earlier write, or the reason of the giver's signal.
   */
  print(p: Uint8Array, times: number = 1, giver?: Giver): Promise<void> | undefined {
    const start = this.#length;
    const end = start + p.length * times;
    if (end > BLOCK) return this.#printLater(p, times, giver);
    if (this.#error !== undefined) throw this.#error;
    const buf = this.#buf;
    buf.set(p, start);
    // Double what is there: one call per line costs several times as much.
    for (let n = p.length; start + n < end; n *= 2) {
      buf.copyWithin(start + n, start, start + Math.min(n, end - start - n));
    }
    this.#length = end;
    if (this.byLine) return this.flush(giver);
    this.#timer ??= setTimeout(
      () => this.flush().catch(() => {}), // the next call throws it
      DELAY,
    );
  }

  async #printLater(p: Uint8Array, times: number, giver?: Giver): Promise<void> {
    while (times > 0) {
      const room = Math.floor((BLOCK - this.#length) / p.length);
      const now = Math.min(times, room);
      await (now > 0 ? this.print(p, now, giver) : this.#begin(giver));
      times -= now;
    }
  }

  /**
   * Writes everything buffered.
   * @throws {Error} The error of this or an earlier write, or the reason of the giver's signal.
   */
  async flush(giver?: Giver): Promise<void> {
    await this.#begin(giver);
    if (this.#writing) await this.#written(giver);
    if (this.#error !== undefined) throw this.#error;
  }

  /** Begins to write everything buffered, after the write under way: then there is room. */
  async #begin(giver?: Giver): Promise<void> {
    while (this.#writing) await this.#written(giver);
    if (this.#error !== undefined) throw this.#error;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#length === 0) return;
    const bytes = this.#buf.subarray(0, this.#length);
    [this.#buf, this.#spare] = [this.#spare, this.#buf];
    this.#length = 0;
    this.#write(bytes);
  }

  async #write(bytes: Uint8Array): Promise<void> {
    this.#writing = true;
    try {
      await rioWriten(this.#sink, bytes);
    } catch (error) {
      this.#error = label("standard output", error);
    }
    this.#writing = false;
    for (const wake of this.#waiters) wake();
    this.#waiters.clear();
  }

  /** Resolves at the end of the write under way. Nothing is left of a wait that is given up. */
  #written(giver?: Giver): Promise<void> {
    return new Promise((resolve, reject) => {
      const signal = giver?.signal;
      const wake = () => {
        signal?.removeEventListener("abort", giveUp);
        resolve();
      };
      const giveUp = () => {
        this.#waiters.delete(wake);
        reject(signal!.reason);
      };
      this.#waiters.add(wake);
      signal?.addEventListener("abort", giveUp);
      if (signal?.aborted) giveUp();
    });
  }
}

/** Bytes of an atomic write to a pipe: Linux's PIPE_BUF; POSIX grants 512. */
const PIPE_BUF = Deno.build.os === "linux" ? 4096 : 512;
/** Bytes without a newline that the runtime's own line buffer, below Deno.stdout, keeps. */
const LINE_BUF = 1024;

type Kind = "file" | "pipe" | "other";

/**
 * Writes the next bytes of `p`, however often standard output is full; returns how many. With EAGAIN
 * it must be known which of them were taken: the runtime's line buffer writes up to the last
 * newline, keeps what is behind it, and reports EAGAIN of either. So a piece ends with its last
 * newline, and it is atomic for a pipe; elsewhere it is the newline alone, or short and without one,
 * which the line buffer always takes.
 */
async function writePiece(
  p: Uint8Array,
  kind: Kind,
  write: (p: Uint8Array) => number | Promise<number>,
  pause: () => Promise<void>,
): Promise<number> {
  let length = p.length;
  if (kind !== "file") {
    const start = p.subarray(0, kind === "pipe" ? PIPE_BUF : LINE_BUF - 1);
    const end = kind === "pipe" ? start.lastIndexOf(10) + 1 : start.indexOf(10);
    length = end > 0 ? end : end === 0 && kind === "other" ? 1 : start.length;
  }
  let piece = p.subarray(0, length);
  const kept = kind !== "file" && length < LINE_BUF && !piece.includes(10);
  for (;;) {
    try {
      const n = await write(piece);
      return kept ? length : n;
    } catch (error) {
      if (!(error instanceof Deno.errors.WouldBlock)) throw error;
      if (kept) piece = new Uint8Array(); // has the line buffer write what it keeps
      await pause();
    }
  }
}

/**
 * Deno.stdout, which another program that shares it may make non-blocking at any time. A thread
 * writes large blocks to a pipe: an async write for each of their pieces takes five times as long.
 */
class SharedStdout implements Writer {
  #kind: Kind | undefined;
  #thread: Worker | undefined;

  async write(p: Uint8Array): Promise<number> {
    const kind = this.#kind ??= kindOfStdout();
    if (kind === "pipe" && p.length > BLOCK / 2) return await this.#writeThere(p);
    return await writePiece(p, kind, (p) => Deno.stdout.write(p), () => sleep(AGAIN));
  }

  #writeThere(p: Uint8Array): Promise<number> {
    const thread = this.#thread ??= new Worker(THREAD, { type: "module" });
    return new Promise((resolve, reject) => {
      thread.onmessage = (
        { data: error }: MessageEvent<{ name: string; message: string } | null>,
      ) => {
        if (error === null) return resolve(p.length);
        const { [error.name as "BrokenPipe"]: Class = Error } = Deno.errors;
        reject(new Class(error.message));
      };
      thread.postMessage(p);
    });
  }
}

function kindOfStdout(): Kind {
  const stat = fstatSync(1);
  if (Deno.build.os !== "windows" && stat.isFIFO()) return "pipe";
  return stat.isSocket() || Deno.stdout.isTerminal() ? "other" : "file"; // a file knows no EAGAIN
}

/** The thread's code, as a data URL, which needs no permission. */
const THREAD = `data:text/javascript,${
  encodeURIComponent(`const PIPE_BUF = ${PIPE_BUF}, LINE_BUF = ${LINE_BUF};
  ${writePiece}
  const write = (p) => Deno.stdout.writeSync(p);
  const pause = () => new Promise((resolve) => setTimeout(resolve, ${AGAIN}));
  onmessage = async ({ data: bytes }) => {
    try {
      for (let rest = bytes; rest.length > 0;) {
        rest = rest.subarray(await writePiece(rest, "pipe", write, pause));
      }
      postMessage(null);
    } catch ({ name, message }) {
      postMessage({ name, message });
    }
  };`)
}`;
