/**
 * The RIO (robust I/O) package of CS:APP: bounded byte lines and exact-n reads on one buffer, over
 * anything that has a `read` method. The names are those of csapp.c, in camelCase. The file stands
 * alone: it imports nothing at run time.
 *
 * Every way to read is three steps: `Rio.#wait` reads bytes into the buffer, the only one that
 * waits; `LineBuffer.find` finds the end of a line; `LineBuffer.consume` takes bytes.
 *
 * @module
 */
import type { Reader, Writer } from "jsr:@std/io@^0.225.2/types";

export type { Reader, Writer };

/** Bytes in the buffer of a new {@linkcode Rio}: `RIO_BUFSIZE` of csapp.h. */
export const RIO_BUFSIZE = 8192;

/** Bytes of the longest text line, its NUL included: `MAXLINE` of csapp.h. */
export const MAXLINE = 8192;

const GROWN_BUFSIZE = 65_536;
const MAX_BUFSIZE = 2 ** 30; // the search counts in 32-bit integers
const MAX_EMPTY_READS = 100; // in a row: a hang, as in Go's bufio
const NEWLINE = 0x0a;

/** What each read of a {@linkcode Rio} takes. */
export interface ReadOptions {
  /**
   * Gives the read up: it rejects with the signal's reason, and what still arrives belongs to the
   * next call. `AbortSignal.timeout(ms)` is a deadline.
   */
  signal?: AbortSignal;
}

/** What a {@linkcode Rio} takes. */
export interface RioOptions {
  /**
   * Bytes in the buffer, 1 to 2^30. Unless given, {@linkcode RIO_BUFSIZE}, which grow to 64 KiB
   * while reads fill the buffer, and are given back when they no longer do.
   */
  bufsize?: number;
  /**
   * Bytes of the longest line, its delimiter included: 1 to what the buffer may grow to; unless
   * given, `MAXLINE - 1` if the buffer holds as many.
   */
  maxline?: number;
  /**
   * What becomes of a longer line: pieces of `maxline` bytes, as in C ("split", unless given), or a
   * `Deno.errors.InvalidData`, after which the next call goes on behind that line ("throw").
   */
  tooLong?: "split" | "throw";
  /** The byte that ends a line, 0 to 255; `\n` unless given. */
  delimiter?: number;
}

/**
 * Reads exactly `n` bytes to `usrbuf` without a buffer, `rio_readn` of csapp.c, and returns their
 * count: less than `n` only if EOF came first, 0 at EOF. Never mix it with a {@linkcode Rio} on the
 * same descriptor, whose buffer may hold the bytes it waits for.
 * @throws {RangeError} If `n` isn't from 0 to `usrbuf.length`, or a count that is read can't be.
 * @throws {Error} If the reader returns 0 bytes a hundred times in a row.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * using file = await Deno.open("LICENSE");
 * assertEquals(await rioReadn(file, new Uint8Array(100), 11), 11);
 * ```
 */
export async function rioReadn(
  reader: Reader,
  usrbuf: Uint8Array,
  n: number = usrbuf.length,
): Promise<number> {
  checkRange("read bytes: n", n, 0, usrbuf.length);
  let done = 0;
  for (let empty = 0; done < n;) {
    const count = await reader.read(usrbuf.subarray(done, n));
    if (count === null) break;
    checkRange("read bytes: the count read", count, 0, n - done);
    done += count;
    empty = count > 0 ? 0 : checkProgress(empty + 1);
  }
  return done;
}

/**
 * Writes all of `usrbuf`, `rio_writen` of csapp.c, and returns its length. The bytes must not
 * change until then.
 * @throws {Deno.errors.WriteZero} If a write takes 0 bytes.
 * @throws {RangeError} If the writer returns a count that can't be.
 * @example
 * ```ts
 * await rioWriten(Deno.stdout, new TextEncoder().encode("hello\n"));
 * ```
 */
export async function rioWriten(writer: Writer, usrbuf: Uint8Array): Promise<number> {
  for (let rest = usrbuf; rest.length > 0;) {
    const count = await writer.write(rest);
    if (count === 0) {
      throw new Deno.errors.WriteZero(`Cannot write: 0 of ${rest.length} bytes were taken`);
    }
    checkRange("write: the count written", count, 0, rest.length);
    if (count === rest.length) break;
    rest = rest.subarray(count);
  }
  return usrbuf.length;
}

/**
 * Cuts the `\n` or `\r\n` off a line, which may lack it: a view of the same bytes.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(chomp(new TextEncoder().encode("+OK\r\n")).length, 3);
 * ```
 */
export function chomp<T extends ArrayBufferLike>(line: Uint8Array<T>): Uint8Array<T> {
  let end = line.length;
  if (line[end - 1] === NEWLINE && line[--end - 1] === 0x0d) end--;
  return line.subarray(0, end);
}

/**
 * A read buffer on a descriptor: `rio_t` of csapp.c, with `rio_readinitb` as its constructor.
 *
 * - All ways to read may be mixed on one `Rio`, and each sees the same stream.
 * - No byte is lost: after an error, the reader's or that of a signal, the next call returns
 *   first what the failed one had read.
 * - EOF is told once, by itself and behind all bytes before it, as 0, `null`, `false`, or the end
 *   of the loop. The next call reads again: more may come, as from a terminal.
 * - One read at a time: a second one, before the first was awaited, is an error. So are a hundred
 *   reads of 0 bytes in a row, and a count that can't be.
 * - Memory is bounded by the buffer, whatever the peer sends. A failed call that had read more
 *   than the buffer holds adds what it had read.
 * - What is returned is the caller's own: nothing that becomes of it touches the reader. Lines
 *   that came together share their memory, so copy a line, `line.slice()`, before its buffer is
 *   transferred, or if it is kept for long.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * using file = await Deno.open("LICENSE");
 * const rio = new Rio(file);
 * const line = await rio.readline(); // a line, then bytes, of the same buffer
 * assertEquals(new TextDecoder().decode(chomp(line!)), "MIT License");
 * assertEquals(await rio.readnb(new Uint8Array(512)), 512);
 * ```
 */
export class Rio implements Reader, AsyncIterable<Uint8Array<ArrayBuffer>> {
  readonly #reader: Reader;
  readonly #buffer: LineBuffer;
  readonly #maxline: number;
  readonly #throws: boolean;
  /** What comes next is the rest of a line that was too long. */
  #skipping = false;
  /** A read that was given up, or may be. */
  #flight: Flight | undefined;
  #busy = false;

  /**
   * Makes an empty buffer: `rio_readinitb` of csapp.c.
   * @throws {RangeError} If an option is out of its range.
   */
  constructor(reader: Reader, options: RioOptions = {}) {
    const { bufsize, tooLong, delimiter = NEWLINE } = options;
    const max = bufsize ?? GROWN_BUFSIZE;
    checkRange("make a Rio: bufsize", max, 1, MAX_BUFSIZE);
    const { maxline = Math.min(MAXLINE - 1, max) } = options;
    checkRange("make a Rio: maxline", maxline, 1, max);
    checkRange("make a Rio: delimiter", delimiter, 0, 255);
    this.#reader = reader;
    this.#buffer = new LineBuffer(delimiter, bufsize ?? RIO_BUFSIZE, max);
    this.#maxline = maxline;
    this.#throws = tooLong === "throw";
  }

  /**
   * Reads one line to `usrbuf`, its delimiter kept, and stores a NUL behind it: `rio_readlineb` of
   * csapp.c. Returns the count of bytes without the NUL. 0 means EOF, and that alone; `usrbuf` is
   * then untouched.
   *
   * The bytes end in the delimiter if and only if the line was complete. Otherwise they are `maxlen
   * - 1`, and the line goes on with the next call, or EOF came behind a last line without a
   * newline. `maxlen` alone bounds them, not `maxline`.
   * @throws {RangeError} If `maxlen` isn't from 2 to `usrbuf.length`, its default.
   * @example
   * ```ts
   * import { assertEquals } from "@std/assert";
   * using file = await Deno.open("LICENSE");
   * assertEquals(await new Rio(file).readlineb(new Uint8Array(8)), 7); // MIT Lic
   * ```
   */
  readlineb(
    usrbuf: Uint8Array,
    maxlen: number = usrbuf.length,
    options?: ReadOptions,
  ): Promise<number> {
    const inRange = isInRange(maxlen, 2, usrbuf.length);
    const n = inRange ? this.#moveNow(usrbuf, maxlen - 1, true, options) : 0;
    if (n === 0) return this.#readlineb(usrbuf, maxlen, options);
    usrbuf[n] = 0;
    return Promise.resolve(n);
  }

  async #readlineb(usrbuf: Uint8Array, maxlen: number, options?: ReadOptions): Promise<number> {
    checkRange("read a line: maxlen", maxlen, 2, usrbuf.length);
    const n = await this.#move(usrbuf, maxlen - 1, true, options);
    if (n > 0) usrbuf[n] = 0;
    return n;
  }

  /**
   * Reads exactly `n` bytes to `usrbuf` through the buffer, `rio_readnb` of csapp.c, and returns
   * their count: less than `n` only if EOF came first, 0 at EOF.
   * @throws {RangeError} If `n` isn't from 0 to `usrbuf.length`, its default.
   * @example
   * ```ts
   * import { assertEquals } from "@std/assert";
   * using file = await Deno.open("LICENSE");
   * assertEquals(await new Rio(file).readnb(new Uint8Array(100)), 100);
   * ```
   */
  async readnb(
    usrbuf: Uint8Array,
    n: number = usrbuf.length,
    options?: ReadOptions,
  ): Promise<number> {
    checkRange("read bytes: n", n, 0, usrbuf.length);
    return this.#moveNow(usrbuf, n, false, options) ||
      await this.#move(usrbuf, n, false, options);
  }

  /**
   * Reads what there is to `p`, the buffer first, and returns the count of bytes, 0 only if `p` is
   * empty; `null` at EOF. So a `Rio` is itself a reader, and the rest of a stream can be handed on:
   * to `copy` of `@std/io`, or to another `Rio`.
   * @example
   * ```ts
   * import { assertEquals } from "@std/assert";
   * using file = await Deno.open("LICENSE");
   * const rio = new Rio(file);
   * await rio.readline();
   * assertEquals(await rio.read(new Uint8Array(2000)), 1066);
   * ```
   */
  async read(p: Uint8Array, options?: ReadOptions): Promise<number | null> {
    if (p.length === 0) return 0;
    if (!(await this.fill(1, options))) return null;
    const n = Math.min(p.length, this.#buffer.length);
    this.#buffer.move(p, 0, n);
    return n;
  }

  /**
   * Reads one line, its delimiter kept, of 1 byte at least; `null` at EOF. It ends in the delimiter
   * if and only if the line was complete. {@linkcode Rio.takeLine} reads many short lines faster,
   * without a promise for each.
   * @example
   * ```ts
   * import { assertEquals } from "@std/assert";
   * using file = await Deno.open("LICENSE");
   * const line = await new Rio(file).readline();
   * assertEquals(new TextDecoder().decode(chomp(line!)), "MIT License");
   * ```
   */
  async readline(options?: ReadOptions): Promise<Uint8Array<ArrayBuffer> | null> {
    const n = this.#now(this.#maxline, true, options) ||
      await this.#wait(this.#maxline, true, options);
    return n > 0 ? this.#buffer.take(this.#checkLine(n)) : null;
  }

  /**
   * The lines to come, as {@linkcode Rio.readline} returns them. Leaving the loop leaves the
   * descriptor open, and what comes behind the last line to the next read.
   * @example
   * ```ts
   * import { assertEquals } from "@std/assert";
   * using file = await Deno.open("LICENSE");
   * assertEquals((await Array.fromAsync(new Rio(file))).length, 21);
   * ```
   */
  [Symbol.asyncIterator](): AsyncIterator<Uint8Array<ArrayBuffer>> {
    const later = async (): Promise<IteratorResult<Uint8Array<ArrayBuffer>>> => {
      const n = this.#checkLine(await this.#wait(this.#maxline, true));
      return n > 0 ? { value: this.#buffer.take(n) } : { done: true, value: undefined };
    };
    return {
      next: () => {
        const n = this.#busy ? 0 : this.#buffer.find(this.#maxline, true);
        if (n === 0 || this.#isTooLong(n)) return later();
        return Promise.resolve({ value: this.#buffer.take(n) });
      },
    };
  }

  /**
   * Waits until the next line, or piece of one, is in the buffer. What came with it is there too,
   * and can be taken without a promise. False means EOF, and that alone.
   * @example
   * ```ts
   * import { assertEquals } from "@std/assert";
   * using file = await Deno.open("LICENSE");
   * const rio = new Rio(file);
   * let count = 0;
   * while (await rio.ready()) {
   *   while (rio.takeLine() !== null) count++;
   * }
   * assertEquals(count, 21);
   * ```
   */
  ready(options?: ReadOptions): Promise<boolean> {
    return this.#wait(this.#maxline, true, options).then((n) => this.#checkLine(n) > 0);
  }

  /**
   * Takes the next line, or piece of one; `null` if the buffer doesn't hold it. After {@linkcode
   * Rio.ready} it is the fast way to read many.
   * @example
   * ```ts
   * import { assertEquals } from "@std/assert";
   * using file = await Deno.open("LICENSE");
   * assertEquals(new Rio(file).takeLine(), null); // nothing was read yet
   * ```
   */
  takeLine(): Uint8Array<ArrayBuffer> | null {
    this.#checkIdle();
    const n = this.#buffer.find(this.#maxline, true);
    return n > 0 ? this.#buffer.take(this.#checkLine(n)) : null;
  }

  /**
   * Takes the lines, or pieces, that are in the buffer, as many as fit, to `usrbuf`: so a server
   * answers a burst of them with one write. Returns the count of bytes, 0 if there is none.
   * `lengths` is set to the bytes of each line, its delimiter included.
   * @throws {RangeError} If `usrbuf` has less than `maxline` bytes.
   * @example
   * ```ts
   * import { assertEquals } from "@std/assert";
   * using file = await Deno.open("LICENSE");
   * const rio = new Rio(file);
   * const lengths: number[] = [];
   * await rio.ready();
   * assertEquals(rio.takeLines(new Uint8Array(MAXLINE), lengths), 1078);
   * assertEquals(lengths.slice(0, 3), [12, 1, 41]);
   * ```
   */
  takeLines(usrbuf: Uint8Array, lengths: number[]): number {
    checkRange("take lines: maxline", this.#maxline, 1, usrbuf.length);
    this.#checkIdle();
    const buffer = this.#buffer;
    let count = 0;
    let total = 0;
    let n = this.#checkLine(buffer.find(this.#maxline, true));
    while (n > 0 && total + n <= usrbuf.length && !this.#isTooLong(n)) {
      lengths[count++] = n;
      total += n;
      buffer.consume(n);
      n = buffer.find(this.#maxline, true);
    }
    if (lengths.length !== count) lengths.length = count;
    buffer.pos -= total;
    buffer.move(usrbuf, 0, total);
    return total;
  }

  /**
   * Waits until at least `n` bytes are in the buffer, and takes none: `fill_buf` of Rust's
   * `BufRead`. False means that EOF comes before them.
   * @throws {RangeError} If `n` isn't from 1, its default, to what the buffer may grow to.
   * @example
   * ```ts
   * import { assertEquals } from "@std/assert";
   * using file = await Deno.open("LICENSE");
   * assertEquals(await new Rio(file).fill(2000), false);
   * ```
   */
  async fill(n: number = 1, options?: ReadOptions): Promise<boolean> {
    checkRange("fill the buffer: n", n, 1, this.#buffer.max);
    return await this.#wait(n, false, options) === n;
  }

  /**
   * Shows what is in the buffer, and takes none of it.
   * @example
   * ```ts
   * import { assertEquals } from "@std/assert";
   * using file = await Deno.open("LICENSE");
   * const rio = new Rio(file);
   * assertEquals(await rio.fill(3), true);
   * assertEquals(new TextDecoder().decode(rio.peek().subarray(0, 3)), "MIT");
   * ```
   */
  peek(): Uint8Array<ArrayBuffer> {
    this.#checkIdle();
    return this.#buffer.copy();
  }

  /** One read that may be given up, and taken up again by the next call. */
  async #land(room: Uint8Array, signal?: AbortSignal): Promise<number | null> {
    signal?.throwIfAborted();
    const flight = this.#flight ??= new Flight(this.#reader.read(room), room);
    if (!flight.landed) {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const giveUp = () => reject(signal?.reason);
      flight.wake = resolve;
      signal?.addEventListener("abort", giveUp);
      await promise.finally(() => signal?.removeEventListener("abort", giveUp));
    }
    this.#flight = undefined;
    return await flight.read;
  }

  /**
   * The one place that reads: waits until the buffer holds a line, if `line`, or else `limit`
   * bytes, or all that is left before EOF. Returns the count of these bytes; 0 tells EOF.
   */
  async #wait(limit: number, line: boolean, options?: ReadOptions): Promise<number> {
    const signal = options?.signal;
    signal?.throwIfAborted();
    this.#checkIdle();
    this.#busy = true;
    const buffer = this.#buffer;
    try {
      let empty = 0;
      let n;
      while ((n = buffer.find(limit, line)) === 0 && !buffer.ended) {
        const room = this.#flight?.room ?? buffer.room();
        const count = signal || this.#flight
          ? await this.#land(room, signal)
          : await this.#reader.read(room);
        if (count !== null) checkRange("read bytes: the count read", count, 0, room.length);
        empty = count === 0 ? checkProgress(empty + 1) : 0;
        buffer.append(room, count);
        if (this.#skipping) this.#skipLine();
      }
      if (n === 0) buffer.ended = false;
      return n;
    } finally {
      this.#hold();
    }
  }

  /** As `#wait`, if there is nothing to wait for, without what a promise costs; else 0. */
  #now(limit: number, line: boolean, options?: ReadOptions): number {
    const n = options || this.#busy ? 0 : this.#buffer.find(limit, line);
    if (n > 0) this.#hold();
    return n;
  }

  /** As `#move`, if there is nothing to wait for; else 0. */
  #moveNow(usrbuf: Uint8Array, limit: number, line: boolean, options?: ReadOptions): number {
    const n = this.#now(limit, line, options);
    if (n > 0) this.#buffer.move(usrbuf, 0, n);
    return n;
  }

  /** Keeps the next read from beginning until whoever awaits this one goes on. */
  #hold(): void {
    this.#busy = true;
    RESOLVED.then(this.#free);
  }

  readonly #free = (): void => {
    this.#busy = false;
  };

  #checkIdle(): void {
    if (!this.#busy) return;
    throw new Error("Cannot read: another read of this Rio is under way");
  }

  /** Moves bytes to usrbuf: `limit` of them, or fewer at EOF or after a delimiter. */
  async #move(
    usrbuf: Uint8Array,
    limit: number,
    line: boolean,
    options?: ReadOptions,
  ): Promise<number> {
    const buffer = this.#buffer;
    let done = 0;
    try {
      for (let more = limit > 0; more;) {
        const want = Math.min(limit - done, buffer.max);
        const n = await this.#wait(want, line, options);
        if (n === 0) buffer.ended = done > 0; // then the next call tells EOF
        more = n === want && done + n < limit && !(line && buffer.isLine(n));
        buffer.move(usrbuf, done, n);
        done += n;
      }
      return done;
    } catch (error) {
      buffer.unread(usrbuf.subarray(0, done));
      throw error;
    }
  }

  #isTooLong(n: number): boolean {
    return this.#throws && n === this.#maxline && !this.#buffer.isLine(n);
  }

  /** Returns the bytes of a line, or throws if they are a piece that shouldn't be. */
  #checkLine(n: number): number {
    if (!this.#isTooLong(n)) return n;
    this.#skipLine();
    const bound = this.#maxline;
    throw new Deno.errors.InvalidData(
      `Cannot read a line: no delimiter in its first ${bound} bytes`,
    );
  }

  #skipLine(): void {
    const buffer = this.#buffer;
    const n = buffer.find(buffer.length, true);
    this.#skipping = !buffer.isLine(n) && !buffer.ended;
    buffer.consume(n);
  }
}

const RESOLVED = Promise.resolve();
const EMPTY = new Uint8Array(0);
const ONES = 0x01010101;
const HIGH_BITS = 0x80808080;
const SHORT = 32; // bytes that are moved one by one faster than by a view of them

/**
 * The bytes that were read and not yet taken, from `pos` to `end`, and the search for the end of a
 * line among them.
 */
class LineBuffer {
  pos = 0;
  end = 0;
  /** EOF comes behind these bytes. */
  ended = false;
  /** Bytes from `pos` on that hold no delimiter. */
  #seen = 0;
  #bytes: Uint8Array<ArrayBuffer>;
  /** The same memory, four bytes at a time. */
  #words: Int32Array;
  /** What `take` gives out: a copy of the bytes from `#copied` on, unless it is empty. */
  #copy = EMPTY;
  #copied = 0;
  readonly #delimiters: number;
  readonly #min: number;
  readonly max: number;

  constructor(delimiter: number, min: number, max: number) {
    this.#delimiters = delimiter * ONES | 0;
    this.#min = min;
    this.max = max;
    this.#bytes = allocate(min);
    this.#words = new Int32Array(this.#bytes.buffer);
  }

  get length(): number {
    return this.end - this.pos;
  }

  /**
   * Bytes that are here of what is asked for: a line, if `line`, or else `limit` bytes, or all that
   * is left before EOF. 0 if it isn't all here.
   */
  find(limit: number, line: boolean): number {
    const stop = Math.min(this.end, this.pos + limit);
    if (line) {
      const at = this.#search(this.pos + this.#seen, stop);
      this.#seen = Math.max(this.#seen, (at < 0 ? stop : at) - this.pos);
      if (at >= 0) return this.#seen + 1;
    }
    const n = stop - this.pos;
    return n === limit || this.ended ? n : 0;
  }

  /** Whether the first `n` bytes end in a delimiter. */
  isLine(n: number): boolean {
    const last = this.#bytes[this.pos + n - 1];
    return n > 0 && last === (this.#delimiters & 0xff);
  }

  consume(n: number): void {
    this.pos += n;
    this.#seen = 0;
  }

  /** Takes bytes, and moves them to usrbuf. */
  move(usrbuf: Uint8Array, at: number, n: number): void {
    const { pos } = this;
    const bytes = this.#bytes;
    if (n < SHORT) {
      for (let i = 0; i < n; i++) usrbuf[at + i] = bytes[pos + i];
    } else {
      usrbuf.set(bytes.subarray(pos, pos + n), at);
    }
    this.consume(n);
  }

  /** A copy of what is here. */
  copy(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(this.pos, this.end);
  }

  /** Takes bytes, and returns them in memory that is the caller's: a copy, made once a read. */
  take(n: number): Uint8Array<ArrayBuffer> {
    if (this.#copy.length === 0) { // as it also is when the caller has transferred it
      this.#copy = this.copy();
      this.#copied = this.pos;
    }
    const bytes = new Uint8Array(this.#copy.buffer, this.pos - this.#copied, n);
    this.consume(n);
    return bytes;
  }

  /**
   * Room for a read behind the bytes that are left. The buffer doubles if the last read filled it,
   * and is as small as at first if it is empty and that read was small.
   */
  room(): Uint8Array {
    const { length } = this.#bytes;
    let size = length;
    if (this.end === length) size = 2 * length;
    else if (this.length === 0 && this.end <= this.#min) size = this.#min;
    size = Math.min(size, this.max);
    this.#copy = EMPTY;
    this.#moveTo(size === length ? this.#bytes : allocate(size), 0);
    return this.end === 0 ? this.#bytes : this.#bytes.subarray(this.end);
  }

  /** Takes in what was read to `room`. */
  append(room: Uint8Array, count: number | null): void {
    this.ended = count === null;
    if (count === null) return;
    if (room.buffer !== this.#bytes.buffer) { // `unread` has moved the buffer since
      this.#bytes.set(room.subarray(0, count), this.end);
    }
    this.end += count;
  }

  /** Puts bytes back that were taken. */
  unread(bytes: Uint8Array): void {
    const { length } = bytes;
    if (length > this.pos) this.#moveTo(allocate(this.#bytes.length + length), length);
    this.pos -= length;
    this.#bytes.set(bytes, this.pos);
    this.#seen = 0;
    this.#copy = EMPTY;
  }

  #moveTo(memory: Uint8Array<ArrayBuffer>, pos: number): void {
    if (pos === this.pos && memory === this.#bytes) return;
    memory.set(this.#bytes.subarray(this.pos, this.end), pos);
    this.end += pos - this.pos;
    this.pos = pos;
    if (memory === this.#bytes) return;
    this.#bytes = memory;
    this.#words = new Int32Array(memory.buffer);
  }

  /** The place of the first delimiter from `start` to `stop`, or -1. */
  #search(start: number, stop: number): number {
    if (start >= stop) return -1;
    // Four bytes at a time: the lowest bit left is that of the first delimiter among
    // them (Hacker's Delight, 6-1). Typed arrays are little-endian wherever Deno runs.
    const words = this.#words;
    const delimiters = this.#delimiters;
    const last = (stop - 1) >> 2;
    let word = start >> 2;
    const before = (1 << ((start & 3) << 3)) - 1; // bytes that don't count
    let x = words[word] ^ delimiters | before;
    let found = (x - ONES) & ~x & HIGH_BITS;
    if (found === 0) {
      // Sixteen at a time, by a test that says "none" or "perhaps".
      while (
        word + 4 <= last &&
        (((words[word + 1] ^ delimiters) - ONES |
            (words[word + 2] ^ delimiters) - ONES |
            (words[word + 3] ^ delimiters) - ONES |
            (words[word + 4] ^ delimiters) - ONES) & HIGH_BITS) === 0
      ) word += 4;
    }
    while (found === 0 && word < last) {
      x = words[++word] ^ delimiters;
      found = (x - ONES) & ~x & HIGH_BITS;
    }
    const at = (word << 2) + ((31 - Math.clz32(found & -found)) >> 3);
    return found !== 0 && at < stop ? at : -1;
  }
}

/** Bytes that are whole words underneath. */
function allocate(length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new ArrayBuffer(Math.ceil(length / 4) * 4), 0, length);
}

/** A read that can be waited for more than once. */
class Flight {
  landed = false;
  wake = (): void => {};

  constructor(readonly read: Promise<number | null>, readonly room: Uint8Array) {
    const land = () => {
      this.landed = true;
      this.wake();
    };
    // The one reaction on the promise, however often a wait is given up.
    read.then(land, land);
  }
}

/** Throws if so many reads of 0 bytes in a row are too many, or else returns them. */
function checkProgress(empty: number): number {
  if (empty < MAX_EMPTY_READS) return empty;
  throw new Error(`Cannot read: the reader returned 0 bytes ${empty} times in a row`);
}

function isInRange(value: number, min: number, max: number): boolean {
  return Number.isSafeInteger(value) && value >= min && value <= max;
}

/**
 * Throws a RangeError unless `value` is an integer from `min` to `max`.
 *
 * @internal
 */
export function checkRange(what: string, value: number, min: number, max: number): void {
  if (isInRange(value, min, max)) return;
  throw new RangeError(
    `Cannot ${what} must be an integer from ${min} to ${max}, current value is ${value}`,
  );
}
