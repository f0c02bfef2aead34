/** Standard output, buffered like C's stdio. */
import { label } from "../net/errors.ts";
import { sleep } from "../net/time.ts";
import { rioWriten, type Writer } from "../rio.ts";

/** Bytes of a buffer, and of one write. */
const BLOCK = 65_536;
/** The most milliseconds that bytes stay in the buffer. */
const DELAY = 20;
/** Milliseconds before the next try if standard output is non-blocking: EAGAIN. */
const AGAIN = 10;

/**
 * Standard output, buffered like C's stdio: by line on a terminal, otherwise by block, but for at
 * most 20 ms. It holds at most 128 KiB: while a reader stalls, writers wait.
 */
export class Stdout implements Writer {
  readonly #sink: Writer;
  readonly #byLine: boolean;
  #buf = new Uint8Array(BLOCK);
  #spare = new Uint8Array(BLOCK);
  #length = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #writing: Promise<void> | undefined;
  #error: unknown;

  /** The error of the first failed write, which every later call throws too. */
  get error(): unknown {
    return this.#error;
  }

  /** Buffers writes to `sink`: standard output, or something that forwards to it. */
  constructor(sink: Writer = STDOUT, byLine: boolean = Deno.stdout.isTerminal()) {
    this.#sink = sink;
    this.#byLine = byLine;
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
   * in the buffer.
   * @throws {Error} The error of an earlier write.
   */
  print(p: Uint8Array, times: number = 1): Promise<void> | undefined {
    const start = this.#length;
    const end = start + p.length * times;
    if (end > BLOCK) return this.#printLater(p, times);
    if (this.#error !== undefined) throw this.#error;
    const buf = this.#buf;
    buf.set(p, start);
    // Double what is there: one call per line costs several times as much.
    for (let n = p.length; start + n < end; n *= 2) {
      buf.copyWithin(start + n, start, start + Math.min(n, end - start - n));
    }
    this.#length = end;
    if (this.#byLine) return this.flush();
    this.#timer ??= setTimeout(
      () => this.flush().catch(() => {}), // the next call throws it
      DELAY,
    );
  }

  async #printLater(p: Uint8Array, times: number): Promise<void> {
    while (times > 0) {
      const room = Math.floor((BLOCK - this.#length) / p.length);
      const now = Math.min(times, room);
      await (now > 0 ? this.print(p, now) : this.flush());
      times -= now;
    }
  }

  /**
   * Writes everything buffered.
   * @throws {Error} The error of this or an earlier write.
   */
  async flush(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
    if (this.#error !== undefined) throw this.#error;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#length === 0) return;
    const bytes = this.#buf.subarray(0, this.#length);
    [this.#buf, this.#spare] = [this.#spare, this.#buf];
    this.#length = 0;
    this.#writing = this.#writeAll(bytes);
    await this.#writing;
    if (this.#error !== undefined) throw this.#error;
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
    try {
      await rioWriten(this.#sink, bytes);
    } catch (error) {
      this.#error = label("standard output", error);
    } finally {
      this.#writing = undefined;
    }
  }
}

/** Deno.stdout, but if it is non-blocking it retries on EAGAIN. */
const STDOUT: Writer = {
  async write(p) {
    for (;;) {
      try {
        return await Deno.stdout.write(p);
      } catch (error) {
        if (!(error instanceof Deno.errors.WouldBlock)) throw error;
        await sleep(AGAIN);
      }
    }
  },
};
