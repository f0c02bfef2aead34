/** Standard output, buffered as C's stdio. */
import { label } from "../net/errors.ts";
import { sleep } from "../net/time.ts";
import { rioWriten, type Writer } from "../rio.ts";

/** Bytes of standard output that are written at once. */
const BLOCK = 65_536;
/** Milliseconds that a block waits for more. */
const DELAY = 20;
/** Milliseconds to the next try where somebody has made standard output non-blocking. */
const AGAIN = 10;

/**
 * Standard output, buffered as C's stdio: by the line on a terminal, by the block otherwise,
 * and then for a fiftieth of a second at most. It holds 128 KiB at most; a writer waits
 * while a reader stalls.
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

  /** What a write threw, and each call throws from then on. */
  get error(): unknown {
    return this.#error;
  }

  /** Buffers what goes to `sink`: standard output, or who hands it on. */
  constructor(sink: Writer = STDOUT, byLine: boolean = Deno.stdout.isTerminal()) {
    this.#sink = sink;
    this.#byLine = byLine;
  }

  /** As {@linkcode Stdout.print}, for up to a block of `p`. */
  async write(p: Uint8Array): Promise<number> {
    const bytes = p.subarray(0, BLOCK);
    await this.print(bytes);
    return bytes.length;
  }

  /**
   * Takes bytes to be written, which stay together.
   *
   * @param p 1 to 65536 bytes.
   * @param times How often they are to be written.
   * @returns A promise if there is no room; it resolves when the bytes were taken.
   * @throws What writing the bytes of an earlier call threw.
   */
  print(p: Uint8Array, times: number = 1): Promise<void> | undefined {
    const start = this.#length;
    const end = start + p.length * times;
    if (end > BLOCK) return this.#printLater(p, times);
    if (this.#error !== undefined) throw this.#error;
    const buf = this.#buf;
    buf.set(p, start);
    // What is there is doubled: a call a line costs several times as much.
    for (let n = p.length; start + n < end; n *= 2) {
      buf.copyWithin(start + n, start, start + Math.min(n, end - start - n));
    }
    this.#length = end;
    if (this.#byLine) return this.flush();
    this.#timer ??= setTimeout(
      () => this.flush().catch(() => {}), // it is thrown to the next call
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

  /** Writes all that was taken; throws what that throws, now and ever after. */
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

/** Deno.stdout, that waits where somebody has made it non-blocking: EAGAIN. */
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
