/**
 * The RIO (robust I/O) package of CS:APP: bounded byte lines and exact-n reads on one buffer, over
 * anything with a `read` method. The names are those of csapp.c, in camelCase. The file stands
 * alone: it imports nothing at run time.
 *
 * All ways to read are built on three steps. `Rio.#wait` reads bytes into the buffer;
 * `LineBuffer.find` finds where a line ends; `LineBuffer.move` and `take` give bytes out.
 *
 * @module
 */
import type { Reader, Writer } from "jsr:@std/io@^0.225.2/types";

export type {
  /** What bytes are read from: a `read` that returns their count, or `null` at EOF. */
  Reader,
  /** What bytes are written to: a `write` that returns how many it took. */
  Writer,
};

/** Bytes in the buffer of a new {@linkcode Rio}: `RIO_BUFSIZE` of csapp.h. */
export const RIO_BUFSIZE = 8192;

/** Bytes of the longest text line, its NUL included: `MAXLINE` of csapp.h. */
export const MAXLINE = 8192;

const GROWN_BUFSIZE = 65_536;
const MAX_BUFSIZE = 2 ** 30; // bytes are found by 32-bit arithmetic
const MAX_EMPTY_READS = 100; // in a row: a hang, as in Go's bufio
const NEWLINE = 0x0a;

/** Options of one read. */
export interface ReadOptions {
  /**
   * Aborts the read: it rejects with the signal's reason, and bytes that arrive later go to the
   * next call. `AbortSignal.timeout(ms)` sets a deadline.
   */
  signal?: AbortSignal;
}

/** Options of a {@linkcode Rio}. */
export interface RioOptions {
  /**
   * Bytes in the buffer, 1 to 2^30. By default {@linkcode RIO_BUFSIZE}: it grows to 64 KiB after a
   * read that fills it, and shrinks back after one that doesn't.
   */
  bufsize?: number;
  /**
   * Bytes of the longest line, its delimiter included: 1 to `bufsize`, or to 64 KiB if that isn't
   * given. By default `MAXLINE - 1`, or `bufsize` if that is less. {@linkcode Rio.readlineb} takes
   * its bound as an argument instead.
   */
  maxline?: number;
  /**
   * What happens to a longer line. By default it is split into pieces of `maxline` bytes, as in C.
   * With `"throw"` the read rejects with `Deno.errors.InvalidData`, and the next one goes on after
   * that line.
   */
  tooLong?: "split" | "throw";
  /** The byte that ends a line, 0 to 255; `\n` by default. */
  delimiter?: number;
}

/**
 * Reads exactly `n` bytes into `usrbuf` without a buffer: `rio_readn` of csapp.c. Returns the
 * count, which is less than `n` only if EOF came first, and 0 at EOF. Don't use it on the
 * descriptor of a {@linkcode Rio}, whose buffer may already hold the bytes.
 * @throws {RangeError} If `n` isn't an integer from 0 to `usrbuf.length`, or the reader returns an
 * impossible count.
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
    empty = checkRead(count, n - done, empty);
    done += count;
  }
  return done;
}

/**
 * Writes all of `usrbuf`: `rio_writen` of csapp.c. Returns its length. Don't change the bytes
 * before then.
 * @throws {Deno.errors.WriteZero} If the writer takes 0 bytes.
 * @throws {RangeError} If the writer returns an impossible count.
 * @example
 * ```ts
 * await rioWriten(Deno.stdout, new TextEncoder().encode("hello\n"));
 * ```
 */
export async function rioWriten(writer: Writer, usrbuf: Uint8Array): Promise<number> {
  const { length } = usrbuf;
  for (let done = 0; done < length;) {
    const count = await writer.write(done === 0 ? usrbuf : usrbuf.subarray(done));
    checkRange("write: the count written", count, 0, length - done);
    if (count > 0) done += count;
    else throw new Deno.errors.WriteZero(`Cannot write: 0 of ${length - done} bytes were taken`);
  }
  return length;
}

/**
 * Returns a line without its `\n` or `\r\n`, if it has one: a view of the same bytes.
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
 * A read buffer on a descriptor: `rio_t` of csapp.c.
 *
 * - All ways to read can be mixed on one `Rio`, and all see the same stream.
 * - No byte is lost. After an error, from the reader or from a signal, the next call first returns
 *   what the failed one had read.
 * - EOF is reported once, by itself, after all bytes before it: as 0, `null`, `false`, or the end
 *   of the loop. The call after that reads again, since a terminal may bring more.
 * - One read at a time: a second one, started before the first is awaited, is an error, even if
 *   its bytes are buffered. So are 100 reads of 0 bytes in a row, and an impossible count.
 * - Memory is bounded by the buffer, whatever the peer sends. Only a call that fails after it has
 *   read more than the buffer holds adds to it, until those bytes are read.
 * - What a call returns is yours: nothing you do to it affects the `Rio`. Lines that arrived
 *   together share memory, so copy a line with `line.slice()` before you transfer its buffer or
 *   keep it for long.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * using file = await Deno.open("LICENSE");
 * const rio = new Rio(file);
 * const line = await rio.readline(); // a line, then bytes, from the same buffer
 * assertEquals(new TextDecoder().decode(chomp(line!)), "MIT License");
 * assertEquals(await rio.readnb(new Uint8Array(512)), 512);
 * assertEquals(await rio.read(new Uint8Array(1000)), 554); // the rest
 * ```
 */
export class Rio implements Reader, AsyncIterable<Uint8Array<ArrayBuffer>> {
  readonly #reader: Reader;
  readonly #buffer: LineBuffer;
  readonly #maxline: number;
  readonly #throws: boolean;
  /** The buffer is empty, and the rest of a line that was too long comes next. */
  #skipping = false;
  /** The pending read of a call with a signal, whether or not the call still waits for it. */
  #flight: Flight | undefined;
  /** Calls, and waits within a call, whose callers haven't resumed yet. */
  #calls = 0;
  readonly #end = () => {
    this.#calls--;
  };

  /**
   * Creates an empty buffer: `rio_readinitb` of csapp.c.
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

  /** Begins a call: returns what is asked for, if the buffer holds it. */
  #begin(goal: Goal, limit: number, options?: ReadOptions): number | undefined {
    this.#start(options);
    const n = this.#buffer.find(goal, limit);
    if (n < 0) return undefined;
    this.#calls++;
    this.#finish(1);
    return this.#check(goal, n);
  }

  /** Checks that a call may begin. */
  #start(options?: ReadOptions): void {
    if (this.#calls > 0) throw new Error("Cannot read: another read of this Rio is under way");
    options?.signal?.throwIfAborted();
  }

  /**
   * Reads until the buffer holds what is asked for, and returns how many bytes it is; 0 means EOF.
   * The user's code resumes `hops` microtasks later. The first read, mostly the only one, does
   * without an async function: that would be a twentieth of a busy server's time.
   */
  #wait(goal: Goal, limit: number, options?: ReadOptions, hops = 2): Promise<number> {
    this.#calls++;
    return this.#read(options?.signal).then((count) => {
      try {
        const n = this.#land(count, goal, limit);
        return n < 0 ? this.#waitOn(goal, limit, options, hops + 1) : n;
      } finally {
        this.#finish(hops);
      }
    }, (error) => {
      this.#finish(hops);
      throw error;
    });
  }

  /** Goes on with a wait whose first read brought too little. */
  async #waitOn(goal: Goal, limit: number, options: ReadOptions | undefined, hops: number) {
    this.#calls++;
    try {
      for (;;) {
        const n = this.#land(await this.#read(options?.signal), goal, limit);
        if (n >= 0) return n;
      }
    } finally {
      this.#finish(hops);
    }
  }

  /** The one place that reads. A read that a call has given up is waited for first. */
  #read(signal?: AbortSignal): Promise<number | null> {
    if (signal !== undefined) return this.#readUntil(signal);
    try {
      return this.#flight?.read ?? Promise.resolve(this.#reader.read(this.#buffer.room()));
    } catch (error) { // thrown at once
      return Promise.reject(error);
    } finally {
      this.#flight = undefined;
    }
  }

  /** As `#read`, but gives up when the signal aborts. */
  async #readUntil(signal: AbortSignal): Promise<number | null> {
    signal.throwIfAborted();
    const flight = this.#flight ??= new Flight(this.#read());
    await flight.landing(signal);
    this.#flight = undefined;
    return flight.read;
  }

  /** Takes in what was read; then returns as `find` does. */
  #land(count: number | null, goal: Goal, limit: number): number {
    this.#buffer.append(count);
    if (this.#skipping) this.#skipLine();
    return this.#check(goal, this.#buffer.find(goal, limit));
  }

  #check(goal: Goal, n: number): number {
    if (n === 0) this.#buffer.ended = false; // EOF is reported once
    return goal === "line" ? this.#checkLine(n) : n;
  }

  /** Ends a call `hops` microtasks from now, just before the user's code resumes. */
  #finish(hops: number): void {
    if (hops === 1) RESOLVED.then(this.#end);
    else RESOLVED.then(() => this.#finish(hops - 1));
  }

  /**
   * Reads one line into `usrbuf`, delimiter included, and stores a NUL after it: `rio_readlineb` of
   * csapp.c. Returns the count of bytes without the NUL. 0 means EOF and nothing else; `usrbuf` is
   * then untouched.
   *
   * The bytes end in the delimiter if and only if the line is complete. Otherwise they are
   * `maxlen - 1` and the next call goes on with the line, or EOF came after a last line without a
   * delimiter. The bound is `maxlen`, not `maxline`.
   * @throws {RangeError} If `maxlen` isn't an integer from 2 to `usrbuf.length`, its default.
   * @example
   * ```ts
   * import { assertEquals } from "@std/assert";
   * using file = await Deno.open("LICENSE");
   * assertEquals(await new Rio(file).readlineb(new Uint8Array(8)), 7); // MIT Lic
   * ```
   */
  // deno-lint-ignore require-await -- an await, even one not reached, costs a tenth of the speed
  async readlineb(
    usrbuf: Uint8Array,
    maxlen: number = usrbuf.length,
    options?: ReadOptions,
  ): Promise<number> {
    checkRange("read a line: maxlen", maxlen, 2, usrbuf.length);
    return this.#move("piece", usrbuf, maxlen - 1, options);
  }

  /**
   * Reads exactly `n` bytes into `usrbuf` through the buffer: `rio_readnb` of csapp.c. Returns the
   * count, which is less than `n` only if EOF came first, and 0 at EOF.
   * @throws {RangeError} If `n` isn't an integer from 0 to `usrbuf.length`, its default.
   */
  // deno-lint-ignore require-await -- as above
  async readnb(
    usrbuf: Uint8Array,
    n: number = usrbuf.length,
    options?: ReadOptions,
  ): Promise<number> {
    checkRange("read bytes: n", n, 0, usrbuf.length);
    return n > 0 ? this.#move("bytes", usrbuf, n, options) : 0;
  }

  /** Moves a line and a NUL, or bytes, to usrbuf: at once if the buffer holds them. */
  #move(goal: Goal, usrbuf: Uint8Array, limit: number, options?: ReadOptions) {
    const n = this.#begin(goal, limit, options);
    if (n === undefined) return this.#moveParts(goal, usrbuf, limit, options);
    this.#buffer.move(usrbuf, 0, n);
    if (goal === "piece" && n > 0) usrbuf[n] = 0;
    return n;
  }

  /** As `#move`, with as many waits as it takes. */
  async #moveParts(goal: Goal, usrbuf: Uint8Array, limit: number, options?: ReadOptions) {
    const buffer = this.#buffer;
    let done = 0;
    this.#calls++;
    try {
      for (let more = true; more;) {
        const want = Math.min(limit - done, buffer.max);
        let n = buffer.find(goal, want);
        if (n < 0) n = await this.#wait(goal, want, options);
        if (n === 0) buffer.ended = done > 0; // then the next call reports EOF
        more = n === want && done + n < limit && !(goal === "piece" && buffer.isLine(n));
        buffer.move(usrbuf, done, n);
        done += n;
      }
    } catch (error) {
      buffer.unread(usrbuf.subarray(0, done));
      throw error;
    } finally {
      this.#finish(2);
    }
    if (goal === "piece" && done > 0) usrbuf[done] = 0;
    return done;
  }

  /**
   * Reads what is available into `p`, from the buffer first. Returns the count, 0 only if `p` is
   * empty, or `null` at EOF. So a `Rio` is itself a reader, and the rest of a stream can be handed
   * on: to `copy` of `@std/io`, or to another `Rio`.
   */
  async read(p: Uint8Array, options?: ReadOptions): Promise<number | null> {
    if (p.length === 0) return 0;
    const here = this.#begin("bytes", 1, options) ?? await this.#wait("bytes", 1, options);
    if (here === 0) return null;
    const n = Math.min(p.length, this.#buffer.length);
    this.#buffer.move(p, 0, n);
    return n;
  }

  /**
   * Waits until at least `n` bytes are buffered, and takes none: `fill_buf` of Rust's `BufRead`.
   * False means that EOF comes before them.
   * @throws {RangeError} If `n` isn't an integer from 1, its default, to `bufsize`, or to 64 KiB if
   * that isn't given.
   * @example
   * ```ts
   * import { assertEquals } from "@std/assert";
   * using file = await Deno.open("LICENSE");
   * const rio = new Rio(file);
   * assertEquals(await rio.fill(3), true);
   * assertEquals(new TextDecoder().decode(rio.peek().subarray(0, 3)), "MIT");
   * ```
   */
  async fill(n: number = 1, options?: ReadOptions): Promise<boolean> {
    checkRange("fill the buffer: n", n, 1, this.#buffer.max);
    return (this.#begin("bytes", n, options) ?? await this.#wait("bytes", n, options)) === n;
  }

  /** Returns a copy of what is buffered, and takes none of it. */
  peek(): Uint8Array<ArrayBuffer> {
    this.#start();
    return this.#buffer.copy();
  }

  /**
   * Reads one line, delimiter included; `null` at EOF. The line ends in the delimiter if and only
   * if it is complete. For many short lines {@linkcode Rio.takeLine} is faster: it needs no promise
   * for each.
   * @throws {Deno.errors.InvalidData} If the line is longer than `maxline` and `tooLong` says so.
   */
  async readline(options?: ReadOptions): Promise<Uint8Array<ArrayBuffer> | null> {
    const bound = this.#maxline;
    const n = this.#begin("line", bound, options) ?? await this.#wait("line", bound, options);
    return this.#takeLine(n);
  }

  /**
   * Iterates over the lines, as {@linkcode Rio.readline} returns them. Leaving the loop keeps the
   * descriptor open, and what comes after the last line for the next read. `next` may be called
   * ahead, without an await, for lines that are buffered.
   * @throws {Deno.errors.InvalidData} As {@linkcode Rio.readline} does.
   * @example
   * ```ts
   * import { assertEquals } from "@std/assert";
   * using file = await Deno.open("LICENSE");
   * assertEquals((await Array.fromAsync(new Rio(file))).length, 21);
   * ```
   */
  [Symbol.asyncIterator](): AsyncIterator<Uint8Array<ArrayBuffer>> {
    return {
      next: () => {
        const n = this.#calls > 0 ? 0 : this.#buffer.find("line", this.#maxline);
        return n > 0 && !this.#isTooLong(n)
          ? Promise.resolve({ value: this.#buffer.take(n) })
          : this.#next();
      },
    };
  }

  async #next(): Promise<IteratorResult<Uint8Array<ArrayBuffer>, undefined>> {
    const bound = this.#maxline;
    const n = this.#begin("line", bound) ?? await this.#wait("line", bound);
    return n > 0 ? { value: this.#buffer.take(n) } : { value: undefined, done: true };
  }

  /**
   * Waits until the next line, or piece of one, is buffered. It and all that came with it can then
   * be taken without a promise. Returns its length in bytes; 0 means EOF and nothing else.
   * @throws {Deno.errors.InvalidData} As {@linkcode Rio.readline} does.
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
  ready(options?: ReadOptions): Promise<number> {
    try {
      const n = this.#begin("line", this.#maxline, options);
      return n === undefined ? this.#wait("line", this.#maxline, options, 1) : Promise.resolve(n);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Takes the next line, or piece of one; `null` if it isn't buffered. After {@linkcode Rio.ready},
   * whose example shows it, this is the fast way to read many.
   * @throws {Deno.errors.InvalidData} As {@linkcode Rio.readline} does.
   */
  takeLine(): Uint8Array<ArrayBuffer> | null {
    this.#start();
    return this.#takeLine(this.#checkLine(this.#buffer.find("line", this.#maxline)));
  }

  /**
   * Takes the buffered lines, or pieces of them, as many as fit, into `usrbuf`: so a server can
   * answer a burst of them with one write. Returns the count of bytes, 0 if there are none.
   * `lengths` is set to the bytes of each line, delimiter included.
   * @throws {RangeError} If `usrbuf` has fewer than `maxline` bytes.
   * @throws {Deno.errors.InvalidData} As {@linkcode Rio.readline} does, if the first line is too
   * long; a later one is left to the next call.
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
    this.#start();
    const buffer = this.#buffer;
    let count = 0;
    let total = 0;
    let n = this.#checkLine(buffer.find("line", this.#maxline));
    while (n > 0 && total + n <= usrbuf.length && !this.#isTooLong(n)) {
      lengths[count++] = n;
      total += n;
      buffer.consume(n);
      n = buffer.find("line", this.#maxline);
    }
    if (lengths.length !== count) lengths.length = count;
    buffer.pos -= total; // to move them all at once
    buffer.move(usrbuf, 0, total);
    return total;
  }

  #takeLine(n: number): Uint8Array<ArrayBuffer> | null {
    return n > 0 ? this.#buffer.take(n) : null;
  }

  #isTooLong(n: number): boolean {
    return this.#throws && n === this.#maxline && !this.#buffer.isLine(n);
  }

  /** Returns the bytes of a line, or skips it and throws if it is too long. */
  #checkLine(n: number): number {
    if (!this.#isTooLong(n)) return n;
    this.#skipLine();
    throw new Deno.errors.InvalidData(
      `Cannot read a line: no delimiter in its first ${this.#maxline} bytes`,
    );
  }

  #skipLine(): void {
    const buffer = this.#buffer;
    const n = buffer.find("piece", buffer.length);
    this.#skipping = !buffer.isLine(n) && !buffer.ended;
    buffer.consume(n);
  }
}

const RESOLVED = Promise.resolve();
const EMPTY = new ArrayBuffer(0);
const NOTHING = new Uint8Array(0);
const ONES = 0x01010101;
const HIGH_BITS = 0x80808080;
const SHORT = 32; // bytes: a loop moves fewer than this faster than a view does

/**
 * What a read asks for: a line of at most `limit` bytes, a line or a piece of one of `limit` bytes,
 * or exactly `limit` bytes.
 */
type Goal = "line" | "piece" | "bytes";

/** The bytes read but not yet taken, from `pos` to `end`, and the lines among them. */
class LineBuffer {
  pos = 0;
  end = 0;
  /** EOF comes after these bytes. */
  ended = false;
  /** What `room` returned last. */
  #room: Uint8Array = NOTHING;
  /** Reads in a row that took 0 bytes. */
  #empty = 0;
  /** How many of these bytes, from the first on, are known to hold no delimiter. */
  #seen = 0;
  #bytes: Uint8Array<ArrayBuffer>;
  /** The same memory, four bytes at a time. */
  #words: Int32Array;
  /** The copy that `take` returns views of: bytes from `#copied` on. */
  #copy = EMPTY;
  #copied = 0;
  /** Four delimiters. */
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
   * Returns the length of what is asked for, from `pos` on: a line, `limit` bytes, or all that is
   * left before EOF; -1 if it isn't complete yet.
   */
  find(goal: Goal, limit: number): number {
    const stop = Math.min(this.end, this.pos + limit);
    if (goal !== "bytes") {
      const at = this.#search(this.pos + this.#seen, stop);
      this.#seen = (at < 0 ? stop : at) - this.pos;
      if (at >= 0) return this.#seen + 1;
    }
    const n = stop - this.pos;
    return n === limit || this.ended ? n : -1;
  }

  /** Returns where the first delimiter from `start` to `stop` is, or -1. */
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
    // Sixteen at a time, by a test that says "none" or "perhaps".
    if (found === 0) {
      while (
        word + 4 <= last &&
        (((words[word + 1] ^ delimiters) - ONES | (words[word + 2] ^ delimiters) - ONES |
            (words[word + 3] ^ delimiters) - ONES | (words[word + 4] ^ delimiters) - ONES) &
            HIGH_BITS) === 0
      ) word += 4;
    }
    while (found === 0 && word < last) {
      x = words[++word] ^ delimiters;
      found = (x - ONES) & ~x & HIGH_BITS;
    }
    const at = (word << 2) + ((31 - Math.clz32(found & -found)) >> 3);
    return found !== 0 && at < stop ? at : -1;
  }

  /** Whether the first `n` bytes end in a delimiter. */
  isLine(n: number): boolean {
    return this.#bytes[this.pos + n - 1] === (this.#delimiters & 0xff);
  }

  /** Takes `n` bytes. */
  consume(n: number): void {
    this.pos += n;
    this.#seen = 0;
  }

  /** Takes `n` bytes, and moves them to usrbuf. */
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

  /** Takes `n` bytes, as a view of a copy that callers own: all buffered bytes are copied once. */
  take(n: number): Uint8Array<ArrayBuffer> {
    let at = this.pos - this.#copied;
    if (at < 0 || at + n > this.#copy.byteLength) { // 0 once a caller has transferred it
      this.#copy = this.#bytes.buffer.slice(this.pos, this.end);
      this.#copied = this.pos;
      at = 0;
    }
    this.consume(n);
    return new Uint8Array(this.#copy, at, n);
  }

  /** Returns a copy of all buffered bytes. */
  copy(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(this.pos, this.end);
  }

  /**
   * Makes room for a read after the bytes that are left. The buffer grows if the last read filled
   * it, and else shrinks if they fit.
   */
  room(): Uint8Array {
    const { length } = this.#bytes;
    const { max } = this;
    const min = this.#min;
    const size = this.end === length || length > max ? max : this.length < min ? min : length;
    this.#moveTo(size === length ? this.#bytes : allocate(size), 0);
    return this.#room = this.end === 0 ? this.#bytes : this.#bytes.subarray(this.end);
  }

  /** Takes in what was read into `room`. */
  append(count: number | null): void {
    const room = this.#room;
    this.ended = count === null;
    this.#empty = count === null ? 0 : checkRead(count, room.length, this.#empty);
    if (count === null) return;
    if (room.buffer !== this.#bytes.buffer) { // `unread` has moved the bytes since
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
  }

  /** Moves the bytes that are left to `pos` in memory. */
  #moveTo(memory: Uint8Array<ArrayBuffer>, pos: number): void {
    if (pos === this.pos && memory === this.#bytes) return;
    this.#copy = EMPTY;
    if (this.length > 0) memory.set(this.#bytes.subarray(this.pos, this.end), pos);
    this.end += pos - this.pos;
    this.pos = pos;
    if (memory === this.#bytes) return;
    this.#bytes = memory;
    this.#words = new Int32Array(memory.buffer);
  }
}

/** Returns bytes whose memory is whole words. */
function allocate(length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new ArrayBuffer(Math.ceil(length / 4) * 4), 0, length);
}

/** A read that can be waited for more than once. */
class Flight {
  #landing = Promise.withResolvers<void>();

  constructor(readonly read: Promise<number | null>) {
    // Once per read, so that waits that are given up leave nothing behind.
    const land = () => this.#landing.resolve();
    read.then(land, land);
  }

  /** Waits until the read has settled; rejects if the signal aborts first. */
  async landing(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted(); // the reader itself may have aborted it
    const giveUp = () => {
      this.#landing.reject(signal.reason);
      this.#landing = Promise.withResolvers();
    };
    signal.addEventListener("abort", giveUp);
    await this.#landing.promise.finally(() => signal.removeEventListener("abort", giveUp));
  }
}

/** Checks the count of a read of up to `max` bytes; returns how many in a row took 0 bytes. */
function checkRead(count: number, max: number, empty: number): number {
  checkRange("read bytes: the count read", count, 0, max);
  if (count > 0) return 0;
  if (empty + 1 < MAX_EMPTY_READS) return empty + 1;
  throw new Error(`Cannot read: the reader returned 0 bytes ${MAX_EMPTY_READS} times in a row`);
}

/**
 * Throws a RangeError unless `value` is an integer from `min` to `max`.
 *
 * @internal
 */
export function checkRange(what: string, value: number, min: number, max: number): void {
  if (Number.isSafeInteger(value) && value >= min && value <= max) return;
  throw new RangeError(
    `Cannot ${what} must be an integer from ${min} to ${max}, current value is ${value}`,
  );
}
