/**
 * The RIO (robust I/O) package of CS:APP: bounded byte lines and exact-n reads on one buffer, over
 * anything with a `read` method, in Deno, Node and Bun. The names are those of csapp.c, in
 * camelCase. The file stands alone: it imports nothing at run time.
 *
 * A byte takes three steps: `Rio.#read` reads it into the buffer, `LineBuffer.find` finds where its
 * line ends, `LineBuffer.move` or `take` gives it out.
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
const MAX_BUFSIZE = 2 ** 30;
const MAX_EMPTY_READS = 100; // in a row: a hang, as in Go's bufio

/** Options of one read or write. */
export interface ReadOptions {
  /**
   * Gives the call up: it rejects with the signal's reason. `AbortSignal.timeout(ms)` sets a
   * deadline. The read below stays under way; a {@linkcode Rio} keeps its bytes for the next call.
   */
  signal?: AbortSignal;
}

/** Options of a {@linkcode Rio}. */
export interface RioOptions {
  /**
   * Bytes in the buffer, 1 to 2^30. By default {@linkcode RIO_BUFSIZE}: it grows to 64 KiB after a
   * read that fills it, further by doubling if a line needs it, and shrinks back.
   */
  bufsize?: number;
  /**
   * Bytes of the longest line, its delimiter included: up to `bufsize`, or to 2^30 if that isn't
   * given. By default `MAXLINE - 1`, or `bufsize` if that is less.
   */
  maxline?: number;
  /**
   * What happens to a longer line. By default it is split into pieces of `maxline` bytes, as in C:
   * JSON of 100 KiB comes in 13. With `"throw"` the read rejects with `Deno.errors.InvalidData`, and
   * the next one goes on after that line.
   */
  tooLong?: "split" | "throw";
  /** What ends a line: a byte, 0 to 255, or several, such as `"\r\n"`; `\n` by default. */
  delimiter?: number | string | Uint8Array;
}

/**
 * Reads exactly `n` bytes into `usrbuf` without a buffer: `rio_readn` of csapp.c. Returns the
 * count, which is less than `n` only if EOF came first, and 0 at EOF. Don't use it on the
 * descriptor of a {@linkcode Rio}, whose buffer may already hold the bytes. A call that is given up
 * loses what it read.
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
  options?: ReadOptions,
): Promise<number> {
  checkRange("read bytes: n", n, 0, usrbuf.length);
  let done = 0;
  for (let empty = 0; done < n;) {
    options?.signal?.throwIfAborted();
    const count = await landing(reader.read(usrbuf.subarray(done, n)), options?.signal);
    if (count === null) break;
    empty = checkRead(count, n - done, empty);
    done += count;
  }
  return done;
}

/**
 * Writes all of `usrbuf`: `rio_writen` of csapp.c. Returns its length. Don't change the bytes
 * before then. After a call that is given up, nobody knows how many were written: close the
 * descriptor.
 * @throws {Deno.errors.WriteZero} If the writer takes 0 bytes.
 * @throws {RangeError} If the writer returns an impossible count.
 * @example
 * ```ts
 * await rioWriten(Deno.stdout, new TextEncoder().encode("hello\n"));
 * ```
 */
export async function rioWriten(
  writer: Writer,
  usrbuf: Uint8Array,
  options?: ReadOptions,
): Promise<number> {
  const { length } = usrbuf;
  for (let done = 0; done < length;) {
    options?.signal?.throwIfAborted();
    const rest = done === 0 ? usrbuf : usrbuf.subarray(done);
    const count = await landing(writer.write(rest), options?.signal);
    checkRange("write: the count written", count, 0, length - done);
    if (count > 0) done += count;
    else throw new WriteZero(`Cannot write: 0 of ${length - done} bytes were taken`);
  }
  return length;
}

/**
 * Returns a line without its delimiter, if it has one: a view of the same bytes. By default that is
 * `\n` or `\r\n`.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * const line = new TextEncoder().encode("+OK\r\n");
 * assertEquals(chomp(line).length, 3);
 * assertEquals(chomp(line, "\n").length, 4);
 * ```
 */
export function chomp<T extends ArrayBufferLike>(
  line: Uint8Array<T>,
  delimiter?: RioOptions["delimiter"],
): Uint8Array<T> {
  const { length } = line;
  if (delimiter === undefined) {
    const crlf = line[length - 2] === 0x0d ? 2 : 1;
    return line.subarray(0, line[length - 1] === 0x0a ? length - crlf : length);
  }
  const bytes = toBytes(delimiter);
  const whole = endsWith(line, length, bytes, bytes.length);
  return line.subarray(0, whole ? length - bytes.length : length);
}

/**
 * A read buffer on a descriptor: `rio_t` of csapp.c.
 *
 * - All ways to read can be mixed on one `Rio`, and all see the same stream.
 * - A line longer than `maxline`, by default 8191 bytes, comes in pieces, unless `tooLong` makes it
 *   an error.
 * - No byte is lost. After an error, from the reader or from a signal, the next call first returns
 *   what the failed one had read.
 * - EOF is reported once, by itself, after all bytes before it: as 0, `null`, `false`, or the end
 *   of the loop. The call after that reads again, since a terminal may bring more.
 * - A call beside one that waits is an error; two calls for what is buffered succeed, in order. So
 *   are 100 reads of 0 bytes in a row an error, and an impossible count.
 * - Memory is bounded by the buffer, whatever the peer sends. Only a call that asks for more than
 *   the buffer holds adds to it, until those bytes are given out.
 * - What a call returns is yours: nothing you do to it affects the `Rio`. Lines that arrived
 *   together share memory, and one that you keep holds all of it, up to 64 KiB: copy it with
 *   `line.slice()`, also before you transfer its buffer.
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
  /** How lines are asked for: with a byte more than `maxline`, if longer ones are errors. */
  readonly #goal: Goal;
  readonly #limit: number;
  /** The end of what was read of a line that is too long, if its rest comes next. */
  #skipped: Uint8Array | undefined;
  /** A read is under way, whether or not the call that began it still waits. */
  #reading = false;
  /** What the last read threw, until a call has thrown it. */
  #failure: { error: unknown } | undefined;
  /** A call waits: what it does when a read has landed. */
  #wake: (() => void) | undefined;

  /**
   * Creates an empty buffer: `rio_readinitb` of csapp.c.
   * @throws {RangeError} If an option is out of its range.
   */
  constructor(reader: Reader, options: RioOptions = {}) {
    const { bufsize, tooLong = "split" } = options;
    const delimiter = toBytes(options.delimiter ?? "\n");
    checkRange("make a Rio: bufsize", bufsize ?? RIO_BUFSIZE, 1, MAX_BUFSIZE);
    const { maxline = Math.min(MAXLINE - 1, bufsize ?? MAXLINE) } = options;
    checkRange("make a Rio: maxline", maxline, delimiter.length, bufsize ?? MAX_BUFSIZE);
    if (tooLong !== "split" && tooLong !== "throw") {
      throw new RangeError(
        `Cannot make a Rio: tooLong must be "split" or "throw", current value is ${tooLong}`,
      );
    }
    this.#reader = reader;
    this.#maxline = maxline;
    this.#goal = tooLong === "throw" ? "line" : "piece";
    this.#limit = tooLong === "throw" ? maxline + 1 : maxline;
    const max = Math.max(bufsize ?? GROWN_BUFSIZE, this.#limit);
    this.#buffer = new LineBuffer(delimiter, bufsize ?? RIO_BUFSIZE, max);
  }

  /** Takes what is asked for: now if it is buffered, else in the step in which it lands. */
  #get<T>(goal: Goal, limit: number, take: (n: number) => T, options?: ReadOptions): Promise<T> {
    try {
      this.#start(options);
      const n = this.#find(goal, limit);
      if (n >= 0) return Promise.resolve(take(n));
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#wait(goal, limit, take, options?.signal);
  }

  /** Reads until what is asked for has come, or the signal aborts. */
  #wait<T>(goal: Goal, limit: number, take: (n: number) => T, signal?: AbortSignal): Promise<T> {
    return new Promise((resolve, reject) => {
      const wake = () => {
        try {
          signal?.throwIfAborted();
          const n = this.#find(goal, limit);
          if (n < 0) return this.#read();
          resolve(take(n));
        } catch (error) {
          reject(error);
        }
        this.#wake = undefined;
        signal?.removeEventListener("abort", wake);
      };
      this.#wake = wake;
      signal?.addEventListener("abort", wake);
      if (this.#failure === undefined) this.#read();
      else wake();
    });
  }

  /** Checks that a call may begin. */
  #start(options?: ReadOptions): void {
    if (this.#wake) throw new Error("Cannot read: another read of this Rio is under way");
    options?.signal?.throwIfAborted();
    if (this.#buffer.aside > 0) this.#buffer.restore();
  }

  #find(goal: Goal, limit: number): number {
    const n = this.#buffer.find(goal, limit);
    if (n === 0) this.#buffer.ended = false; // EOF is reported once
    return n;
  }

  /** The one place that reads, unless a read that was given up is still under way. */
  #read(): void {
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure !== undefined) throw failure.error;
    if (this.#reading) return;
    this.#reading = true;
    try {
      Promise.resolve(this.#reader.read(this.#buffer.room())).then(this.#land, this.#fail);
    } catch (error) { // thrown at once
      this.#fail(error);
    }
  }

  /** Takes in what was read, for the call that waits or else for the next. */
  readonly #land = (count: number | null): void => {
    this.#reading = false;
    try {
      this.#buffer.append(count);
    } catch (error) {
      return this.#fail(error);
    }
    if (this.#skipped !== undefined) {
      this.#buffer.unread(this.#skipped);
      this.#skipped = this.#buffer.skipLine();
    }
    this.#wake?.();
  };

  readonly #fail = (error: unknown): void => {
    this.#reading = false;
    this.#failure = { error };
    this.#wake?.();
  };

  /** Returns the bytes of a line, or skips it and throws if it is too long. */
  #checkLine(n: number): number {
    if (n <= this.#maxline) return n;
    this.#skipped = this.#buffer.skipLine();
    throw new InvalidData(`Cannot read a line: no delimiter in its first ${this.#maxline} bytes`);
  }

  #takeLine(n: number): Uint8Array<ArrayBuffer> | null {
    return this.#checkLine(n) > 0 ? this.#buffer.take(n) : null;
  }

  /**
   * Reads one line into `usrbuf`, delimiter included, and stores a NUL after it: `rio_readlineb` of
   * csapp.c. Returns the count of bytes without the NUL. 0 means EOF and nothing else; `usrbuf` is
   * then untouched.
   *
   * The bytes end in the delimiter if and only if the line is complete. Otherwise they are
   * `maxlen - 1` and the next call goes on with the line, or EOF came after a last line without a
   * delimiter. The bound is `maxlen`, not `maxline`. A piece ends before a delimiter of several
   * bytes, never within it.
   * @throws {RangeError} If `maxlen` isn't an integer from 2 to `usrbuf.length`, its default.
   * @throws {TypeError} If `usrbuf` was transferred or has shrunk before the bytes came.
   */
  readlineb(
    usrbuf: Uint8Array,
    maxlen: number = usrbuf.length,
    options?: ReadOptions,
  ): Promise<number> {
    const shortest = this.#buffer.size + 1;
    const error = rangeError("read a line: maxlen", maxlen, shortest, usrbuf.length);
    if (error !== undefined) return Promise.reject(error);
    return this.#get("piece", maxlen - 1, (n) => {
      if (n > 0) {
        this.#buffer.move(usrbuf, n, n + 1);
        usrbuf[n] = 0;
      }
      return n;
    }, options);
  }

  /**
   * Reads exactly `n` bytes into `usrbuf` through the buffer: `rio_readnb` of csapp.c. Returns the
   * count, which is less than `n` only if EOF came first, and 0 at EOF.
   * @throws {RangeError} If `n` isn't an integer from 0 to `usrbuf.length`, its default.
   * @throws {TypeError} If `usrbuf` was transferred or has shrunk before the bytes came.
   */
  readnb(usrbuf: Uint8Array, n: number = usrbuf.length, options?: ReadOptions): Promise<number> {
    const error = rangeError("read bytes: n", n, 0, usrbuf.length);
    if (error !== undefined) return Promise.reject(error);
    if (n === 0) return Promise.resolve(0);
    return this.#get("bytes", n, (n) => this.#buffer.move(usrbuf, n, n), options);
  }

  /**
   * Reads what is available into `p`, from the buffer first. Returns the count, 0 only if `p` is
   * empty, or `null` at EOF. So a `Rio` is itself a reader, and the rest of a stream can be handed
   * on: to `copy` of `@std/io`, or to another `Rio`.
   */
  read(p: Uint8Array, options?: ReadOptions): Promise<number | null> {
    const { length } = p;
    if (length === 0) return Promise.resolve(0);
    return this.#get("bytes", 1, (here) => {
      const n = Math.min(length, this.#buffer.length);
      return here === 0 ? null : this.#buffer.move(p, n, n);
    }, options);
  }

  /**
   * Waits until at least `n` bytes are buffered, and takes none: `fill_buf` of Rust's `BufRead`.
   * False means that EOF comes before them.
   * @throws {RangeError} If `n` isn't an integer from 1, its default, to `bufsize`; if that isn't
   * given, to 64 KiB or `maxline`.
   */
  fill(n: number = 1, options?: ReadOptions): Promise<boolean> {
    const error = rangeError("fill the buffer: n", n, 1, this.#buffer.max);
    if (error !== undefined) return Promise.reject(error);
    return this.#get("bytes", n, (here) => here === n, options);
  }

  /** How many bytes are buffered. */
  get buffered(): number {
    return this.#buffer.aside + this.#buffer.length;
  }

  /** Returns a copy of the first `n` bytes that are buffered, by default all, and takes none. */
  peek(n: number = MAX_BUFSIZE): Uint8Array<ArrayBuffer> {
    checkRange("peek: n", n, 0, MAX_BUFSIZE);
    this.#start();
    return this.#buffer.copy(n);
  }

  /**
   * Takes `n` bytes that are buffered, and gives them to nobody: `consume` of Rust's `BufRead`.
   * @throws {RangeError} If `n` isn't an integer from 0 to {@linkcode Rio.buffered}.
   */
  skip(n: number): void {
    this.#start();
    checkRange("skip: n", n, 0, this.#buffer.length);
    this.#buffer.consume(n);
  }

  /**
   * Reads one line, delimiter included; `null` at EOF. The line ends in the delimiter if and only
   * if it is complete. For many short lines {@linkcode Rio.takeLine} is faster: it needs no promise
   * for each.
   * @throws {Deno.errors.InvalidData} If the line is longer than `maxline` and `tooLong` says so.
   */
  readline(options?: ReadOptions): Promise<Uint8Array<ArrayBuffer> | null> {
    return this.#get(this.#goal, this.#limit, (n) => this.#takeLine(n), options);
  }

  /**
   * Iterates over the lines, as {@linkcode Rio.readline} returns them. Leaving the loop keeps the
   * descriptor open, and what comes after the last line for the next read. `next` may be called
   * ahead, without an await, for lines that are buffered.
   * @throws {Deno.errors.InvalidData} As {@linkcode Rio.readline} does.
   */
  lines(options?: ReadOptions): AsyncIterableIterator<Uint8Array<ArrayBuffer>> {
    const take = (n: number): IteratorResult<Uint8Array<ArrayBuffer>> => {
      const value = this.#takeLine(n);
      return value === null ? { value: undefined, done: true } : { value, done: false };
    };
    return {
      next: () => {
        if (options === undefined && this.#wake === undefined && this.#buffer.aside === 0) {
          const n = this.#buffer.find(this.#goal, this.#limit);
          if (n > 0 && n <= this.#maxline) {
            return Promise.resolve({ value: this.#buffer.take(n) });
          }
        }
        return this.#get(this.#goal, this.#limit, take, options);
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  /** Iterates over the lines: `for await (const line of rio)`, as {@linkcode Rio.lines} does. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Uint8Array<ArrayBuffer>> {
    return this.lines();
  }

  /**
   * Waits until the next line, or piece of one, is buffered. It and all that came with it can then
   * be taken without a promise. Returns its length in bytes; 0 means EOF and nothing else.
   * @throws {Deno.errors.InvalidData} As {@linkcode Rio.readline} does.
   * @example
   * ```ts
   * using file = await Deno.open("LICENSE");
   * const rio = new Rio(file);
   * while (await rio.ready()) {
   *   for (let line; (line = rio.takeLine()) !== null;) console.log(line.length);
   * }
   * ```
   */
  ready(options?: ReadOptions): Promise<number> {
    return this.#get(this.#goal, this.#limit, (n) => this.#checkLine(n), options);
  }

  /**
   * Takes the next line, or piece of one; `null` if it isn't buffered.
   * @throws {Deno.errors.InvalidData} As {@linkcode Rio.readline} does.
   */
  takeLine(): Uint8Array<ArrayBuffer> | null {
    this.#start();
    return this.#takeLine(this.#buffer.find(this.#goal, this.#limit));
  }

  /**
   * Takes the buffered lines, or pieces of them, as many as fit, into `usrbuf`: so a server can
   * answer a burst of them with one write. Returns the count of bytes, 0 if there are none.
   * `lengths` is set to the bytes of each line, delimiter included.
   * @throws {RangeError} If `usrbuf` has fewer than `maxline` bytes.
   * @throws {Deno.errors.InvalidData} As {@linkcode Rio.readline} does, if the first line is too
   * long; a later one is left to the next call.
   */
  takeLines(usrbuf: Uint8Array, lengths: number[]): number {
    checkRange("take lines: maxline", this.#maxline, 1, usrbuf.length);
    this.#start();
    const buffer = this.#buffer;
    const { pos } = buffer;
    let count = 0;
    let n = this.#checkLine(buffer.find(this.#goal, this.#limit));
    while (n > 0 && n <= this.#maxline && buffer.pos - pos + n <= usrbuf.length) {
      lengths[count++] = n;
      buffer.consume(n);
      count = buffer.takeLines(this.#maxline, pos + usrbuf.length, lengths, count);
      n = buffer.find(this.#goal, this.#limit);
    }
    if (lengths.length !== count) lengths.length = count;
    const total = buffer.pos - pos;
    buffer.pos = pos; // to move them all at once
    return buffer.move(usrbuf, total, total);
  }
}

/** What a read asks for: a line, a line or a piece of one, or bytes; of at most `limit` bytes. */
type Goal = "line" | "piece" | "bytes";

const EMPTY = new ArrayBuffer(0);
const NOTHING = new Uint8Array(0);
const SHORT = 32; // bytes: a loop is as fast as anything else

/** The bytes read but not yet taken: those set aside, then those from `pos` to `end`. */
class LineBuffer {
  pos = 0;
  end = 0;
  /** EOF comes after these bytes. */
  ended = false;
  /** Bytes that wait for a call which asks for more than the buffer holds. */
  #aside: Uint8Array<ArrayBuffer> = NOTHING;
  /** What `room` returned last. */
  #room: Uint8Array = NOTHING;
  /** Reads in a row that took 0 bytes. */
  #empty = 0;
  /** No delimiter ends in the first bytes, as many as this. */
  #seen = 0;
  #bytes: Uint8Array<ArrayBuffer>;
  /** The copy that `take` returns views of: bytes from `#copied` on. */
  #copy = EMPTY;
  #copied = 0;
  /** Bytes of a delimiter. */
  readonly size: number;
  readonly max: number;
  readonly #delimiter: Uint8Array;
  readonly #min: number;

  constructor(delimiter: Uint8Array, min: number, max: number) {
    this.size = delimiter.length;
    this.#delimiter = delimiter;
    this.#min = min;
    this.max = max;
    this.#bytes = new Uint8Array(min);
  }

  get length(): number {
    return this.end - this.pos;
  }

  get aside(): number {
    return this.#aside.length;
  }

  /**
   * Returns the length of what is asked for, from the first byte on: a line, `limit` bytes, or all
   * that is left before EOF; -1 if it isn't complete yet. A piece doesn't cut a delimiter in two.
   */
  find(goal: Goal, limit: number): number {
    const aside = this.#aside.length;
    const rest = limit - aside;
    if (goal !== "bytes") {
      const n = this.#line(rest);
      if (n > 0) return aside + n;
    }
    if (this.length < rest) return this.ended ? aside + this.length : -1;
    return goal === "piece" ? limit - this.#begun(rest) : limit;
  }

  /** Returns the length of the first line of at most `limit` bytes, or 0. */
  #line(limit: number): number {
    const { pos } = this;
    const stop = Math.min(pos + limit, this.end);
    if (found.owner !== this) {
      const last = found;
      found = other;
      other = last;
      if (found.owner !== this) {
        found.owner = this;
        found.scanned = pos + this.#seen;
        found.next = found.count = 0;
        found.size = SHORT;
      }
    }
    for (;;) {
      for (; found.next < found.count; found.next++) {
        const n = found.base + found.positions[found.next] + 1 - pos;
        if (n >= this.size) return n <= limit ? n : 0;
      }
      if (found.scanned >= stop) break;
      found.scan(this.#bytes, pos, this.end, this.#delimiter);
    }
    this.#seen = Math.max(found.scanned - pos, 0);
    return 0;
  }

  /** Returns how many of the last of `n` bytes may be the beginning of a delimiter. */
  #begun(n: number): number {
    let begun = Math.min(this.size - 1, n);
    while (begun > 0 && !endsWith(this.#bytes, this.pos + n, this.#delimiter, begun)) begun--;
    return begun;
  }

  /** Takes `n` bytes. */
  consume(n: number): void {
    this.pos += n;
    this.#seen = 0;
  }

  /** Takes `n` bytes and moves them to usrbuf, which must have `room` bytes; returns `n`. */
  move(usrbuf: Uint8Array, n: number, room: number): number {
    if (usrbuf.length < room) throw new TypeError("Cannot read: usrbuf was transferred or shrunk");
    const aside = this.#aside.length;
    if (aside > 0) usrbuf.set(this.#aside);
    this.#aside = NOTHING;
    const { pos } = this;
    const bytes = this.#bytes;
    if (n - aside < SHORT) {
      for (let i = 0; i < n - aside; i++) usrbuf[aside + i] = bytes[pos + i];
    } else {
      usrbuf.set(bytes.subarray(pos, pos + n - aside), aside);
    }
    this.consume(n - aside);
    return n;
  }

  /** Takes `n` bytes, as a view of a copy that callers own: all buffered bytes are copied once. */
  take(n: number): Uint8Array<ArrayBuffer> {
    let at = this.pos - this.#copied;
    if (at < 0 || at + n > this.#copy.byteLength) { // 0 once a caller has transferred it
      const end = Math.min(this.end, this.pos + Math.max(n, GROWN_BUFSIZE));
      this.#copy = this.#bytes.buffer.slice(this.pos, end);
      this.#copied = this.pos;
      at = 0;
    }
    this.consume(n);
    return new Uint8Array(this.#copy, at, n);
  }

  /** Takes the lines whose ends are known, up to `stop`; returns how many `lengths` then has. */
  takeLines(maxline: number, stop: number, lengths: number[], count: number): number {
    const { size } = this;
    const { base, count: known, positions } = found;
    let { next } = found;
    let { pos } = this;
    for (; next < known; next++) {
      const end = base + positions[next] + 1;
      const n = end - pos;
      if (n > maxline || end > stop) break;
      if (n < size) continue;
      lengths[count++] = n;
      pos = end;
    }
    found.next = next;
    this.consume(pos - this.pos);
    return count;
  }

  /**
   * Takes the first line, as far as it is here. If it goes on, returns those of its bytes that may
   * be the beginning of its delimiter.
   */
  skipLine(): Uint8Array | undefined {
    const n = this.#line(this.length);
    const begun = this.#begun(this.length);
    this.consume(n > 0 ? n : this.length);
    return n > 0 || this.ended ? undefined : this.#bytes.slice(this.end - begun, this.end);
  }

  /** Returns a copy of the first `n` bytes, or of all. */
  copy(n: number): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(this.pos, Math.min(this.pos + n, this.end));
  }

  /**
   * Makes room for a read after the bytes that are left. The buffer grows if the last read filled
   * it, and else shrinks if they fit; if it can't grow, they are set aside.
   */
  room(): Uint8Array {
    if (this.length >= this.max) this.#setAside(this.length - this.#begun(this.length));
    const { length } = this.#bytes;
    const { max } = this;
    let size = this.length < this.#min ? this.#min : length;
    if (this.end === length || length > max) {
      size = Math.min(Math.max(2 * this.length > length ? 2 * length : length, GROWN_BUFSIZE), max);
    }
    this.#moveTo(size === length ? this.#bytes : new Uint8Array(size), 0);
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

  #setAside(n: number): void {
    const { length, buffer } = this.#aside;
    const full = length + n > buffer.byteLength;
    const aside = new Uint8Array(full ? new ArrayBuffer(2 * (length + n)) : buffer, 0, length + n);
    if (full) aside.set(this.#aside);
    aside.set(this.#bytes.subarray(this.pos, this.pos + n), length);
    this.#aside = aside;
    this.consume(n);
  }

  /** Puts back what was set aside for a call that has failed. */
  restore(): void {
    this.unread(this.#aside);
    this.#aside = NOTHING;
  }

  /** Puts bytes back that were taken. */
  unread(bytes: Uint8Array): void {
    const { length } = bytes;
    if (length > this.pos) this.#moveTo(new Uint8Array(this.#bytes.length + length), length);
    this.pos -= length;
    this.#bytes.set(bytes, this.pos);
    this.#seen = 0;
    if (found.owner === this) found.owner = undefined;
    if (other.owner === this) other.owner = undefined;
  }

  /** Moves the bytes that are left to `pos` in memory. */
  #moveTo(memory: Uint8Array<ArrayBuffer>, pos: number): void {
    if (pos === this.pos && memory === this.#bytes) return;
    this.#copy = EMPTY;
    const by = pos - this.pos;
    if (this.length > 0) memory.set(this.#bytes.subarray(this.pos, this.end), pos);
    this.pos = pos;
    this.end += by;
    this.#bytes = memory;
    const block = found.owner === this ? found : other;
    if (block.owner !== this) return;
    block.base += by;
    block.scanned += by;
  }
}

const BLOCK = 65_536; // bytes: their positions fit in 16 bits

/** tests/rio.wat: sets 16-bit numbers from `out` on to where a byte is in the first `length`. */
const WASM = //
  "AGFzbQEAAAABCAFgA39/fwF/AwIBAAUDAQAFBxMCBm1lbW9yeQIABnNlYXJjaAAACtEBAc4BAwJ/AX4FeyACIQMgAf0PIQY" +
  "DQCAGIAT9AAQA/SMiByAGIAT9AAQQ/SMiCP1QIAYgBP0ABCD9IyIJIAYgBP0ABDD9IyIK/VD9UP1TBEAgB/1krSAI/WStQh" +
  "CGhCAJ/WStQiCGIAr9ZK1CMIaEhCEFIAAgBGtBwABJBEAgBUIBIAAgBGuthkIBfYMhBQsCQANAIAVQDQEgAiAEIAV6p2o7A" +
  "QAgAkECaiECIAUgBUIBfYMhBQwACwsLIARBwABqIgQgAEkNAAsgAiADa0EBdgs=";

let memory = new ArrayBuffer(5 * BLOCK);
let search: ((length: number, byte: number, out: number) => number) | undefined;
try {
  const module = new WebAssembly.Module(Uint8Array.from(atob(WASM), (c) => c.charCodeAt(0)));
  const { exports } = new WebAssembly.Instance(module);
  memory = (exports.memory as { buffer: ArrayBuffer }).buffer;
  search = exports.search as typeof search;
} catch {
  // There is no WebAssembly, or no SIMD: a loop has to do.
}
const scratch = new Uint8Array(memory, 0, BLOCK);

/** The ends of all delimiters in one block of a buffer. */
class Block {
  owner: LineBuffer | undefined;
  /** Where in the owner's memory the block begins, and where it ends. */
  base = 0;
  scanned = 0;
  /** Which of `positions` comes next, and how many there are. */
  next = 0;
  count = 0;
  readonly positions: Uint16Array;
  /** Bytes of the next block: few at first, in case other buffers come in between. */
  size = 0;

  constructor(out: number) {
    this.positions = new Uint16Array(memory, out, BLOCK);
  }

  /** Searches the next block, between `pos` and `stop`. */
  scan(bytes: Uint8Array, pos: number, stop: number, delimiter: Uint8Array): void {
    const { positions } = this;
    const { length } = delimiter;
    const last = delimiter[length - 1];
    const base = Math.max(this.scanned, pos);
    const end = Math.min(base + this.size, stop);
    let count = 0;
    if (search !== undefined && end - base > SHORT) {
      scratch.set(bytes.subarray(base, end));
      count = search(end - base, last, positions.byteOffset);
    } else {
      for (let at = base; at < end; at++) if (bytes[at] === last) positions[count++] = at - base;
    }
    this.base = base;
    this.scanned = end;
    this.next = 0;
    this.count = length === 1 ? count : 0;
    for (let i = 0; length > 1 && i < count; i++) {
      const at = positions[i];
      if (endsWith(bytes, base + at + 1, delimiter, length)) positions[this.count++] = at;
    }
    this.size = Math.min(this.size * 8, BLOCK);
  }
}

/** Of the two buffers that were last searched: so two may take turns. */
let found = new Block(BLOCK);
let other = new Block(3 * BLOCK);

/** Whether the bytes before `end` are the first `n` of a delimiter. */
function endsWith(bytes: Uint8Array, end: number, delimiter: Uint8Array, n: number): boolean {
  let i = 0;
  while (i < n && bytes[end - n + i] === delimiter[i]) i++;
  return i === n;
}

function toBytes(delimiter: number | string | Uint8Array): Uint8Array {
  if (typeof delimiter === "number") {
    checkRange("use a delimiter: it", delimiter, 0, 255);
    return Uint8Array.of(delimiter);
  }
  const bytes = typeof delimiter === "string" ? new TextEncoder().encode(delimiter) : delimiter;
  checkRange("use a delimiter: its length", bytes.length, 1, MAX_BUFSIZE);
  return bytes.slice();
}

/** Waits for a read or write; rejects if the signal aborts first. */
function landing<T>(result: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return result;
  return new Promise((resolve, reject) => {
    const giveUp = () => reject(signal.reason);
    const end = () => signal.removeEventListener("abort", giveUp);
    signal.addEventListener("abort", giveUp);
    Promise.resolve(result).then(resolve, reject).then(end);
    if (signal.aborted) giveUp(); // the reader itself may have aborted it
  });
}

/** Deno's class of errors, or where there is no Deno, one of the same name. */
function errorClass(name: "InvalidData" | "WriteZero"): new (message: string) => Error {
  return (globalThis as { Deno?: typeof Deno }).Deno?.errors[name] ?? class extends Error {
    override name = name;
  };
}
const InvalidData = errorClass("InvalidData");
const WriteZero = errorClass("WriteZero");

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
  const error = rangeError(what, value, min, max);
  if (error !== undefined) throw error;
}

function rangeError(what: string, value: number, min: number, max: number): Error | undefined {
  if (Number.isSafeInteger(value) && value >= min && value <= max) return undefined;
  return new RangeError(
    `Cannot ${what} must be an integer from ${min} to ${max}, current value is ${value}`,
  );
}
