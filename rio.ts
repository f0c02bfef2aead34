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
const NEWLINE = Uint8Array.of(0x0a);

/** Options of one read or write. */
export interface ReadOptions {
  /** Gives the call up. The read below goes on; a `Rio` keeps its bytes for the next call. */
  signal?: AbortSignal;
}

/** Options of a {@linkcode Rio}. */
export interface RioOptions {
  /**
   * Bytes in the buffer, 1 to 2^30. By default {@linkcode RIO_BUFSIZE}: it grows to 64 KiB after a
   * read that fills it, by doubling further if a line needs it, and shrinks back.
   */
  bufsize?: number;
  /**
   * Bytes of the longest line, its delimiter included: up to `bufsize`, if that is given, or 2^30.
   * By default `MAXLINE - 1`, or `bufsize` if that is less.
   */
  maxline?: number;
  /**
   * What becomes of a longer line. By default it comes in pieces of `maxline` bytes, as in C: JSON
   * of 100 KiB in 13. With `"throw"` it is a `Deno.errors.InvalidData`, and what follows comes next.
   */
  tooLong?: "split" | "throw";
  /** What ends a line: a byte, 0 to 255, or several, such as `"\r\n"`; `\n` by default. */
  delimiter?: number | string | Uint8Array;
}

/**
 * Reads exactly `n` bytes into `usrbuf` without a buffer: `rio_readn` of csapp.c. Returns the
 * count, which is less than `n` only if EOF came first. Don't use it on the descriptor of a
 * {@linkcode Rio}, which may hold the bytes. A call that is given up loses what it read.
 * @throws {RangeError} If `n` isn't from 0 to `usrbuf.length`, or the reader's count is impossible.
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
 * before then. If the call is given up, nobody knows how many were written: close the descriptor.
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
    const count = await landing(writer.write(usrbuf.subarray(done)), options?.signal);
    checkRange("write: the count written", count, 0, length - done);
    if (count > 0) done += count;
    else throw new WriteZero(`Cannot write: 0 of ${length - done} bytes were taken`);
  }
  return length;
}

/**
 * Returns a line without its delimiter, by default `\n` or `\r\n`: a view of the same bytes.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * const line = new TextEncoder().encode("+OK\r\n");
 * assertEquals([chomp(line).length, chomp(line, "\n").length], [3, 4]);
 * ```
 */
export function chomp<T extends ArrayBufferLike>(
  line: Uint8Array<T>,
  delimiter?: RioOptions["delimiter"],
): Uint8Array<T> {
  const { length } = line;
  const bytes = delimiter === undefined ? NEWLINE : toBytes(delimiter);
  const cr = delimiter === undefined && line[length - 2] === 0x0d ? 1 : 0;
  const ends = endsWith(line, length, bytes, bytes.length);
  return line.subarray(0, ends ? length - bytes.length - cr : length);
}

/**
 * A read buffer on a descriptor: `rio_t` of csapp.c.
 *
 * - All ways to read can be mixed on one `Rio`, and see the same stream.
 * - A line longer than `maxline`, by default 8191 bytes, comes in pieces, or is an error.
 * - No byte is lost. After an error, from the reader, a signal, or because `usrbuf` was transferred
 *   or has shrunk (a TypeError), the next call first returns what the failed one had read.
 * - EOF is told once, by itself, after all bytes before it: as 0, `null`, `false`, or the end of the
 *   loop. The call after that reads again, since a terminal may bring more.
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
 * ```
 */
export class Rio implements Reader, AsyncIterable<Uint8Array<ArrayBuffer>> {
  readonly #reader: Reader;
  readonly #buffer: LineBuffer;
  readonly #maxline: number;
  readonly #goal: Goal; // how lines are asked for:
  readonly #limit: number; // a byte more than `maxline`, if longer ones are errors
  #reading = false; // whether or not the call that began the read still waits
  #failure: { error: unknown } | undefined; // of the last read, until a call has thrown it
  #wake: (() => void) | undefined; // what the call that waits does when a read has landed

  /** Creates an empty buffer: `rio_readinitb` of csapp.c. A wrong option is a RangeError. */
  constructor(reader: Reader, options: RioOptions = {}) {
    const { bufsize, tooLong = "split" } = options;
    const delimiter = toBytes(options.delimiter ?? NEWLINE);
    checkRange("make a Rio: bufsize", bufsize ?? RIO_BUFSIZE, 1, MAX_BUFSIZE);
    const { maxline = Math.min(MAXLINE - 1, bufsize ?? MAXLINE) } = options;
    checkRange("make a Rio: maxline", maxline, delimiter.length, bufsize ?? MAX_BUFSIZE);
    const wrong = `tooLong must be "split" or "throw", current value is ${tooLong}`;
    if (!["split", "throw"].includes(tooLong)) throw new RangeError(`Cannot make a Rio: ${wrong}`);
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

  /** Waits for one read, which mostly brings what is asked for. A chain of these would grow. */
  #wait<T>(goal: Goal, limit: number, take: (n: number) => T, signal?: AbortSignal): Promise<T> {
    if (signal || this.#reading || this.#failure) return this.#waitOn(goal, limit, take, signal);
    this.#wake = nothing;
    return this.#read()!.then(() => {
      this.#wake = undefined;
      const n = this.#find(goal, limit);
      return n < 0 ? this.#waitOn(goal, limit, take) : take(n);
    });
  }

  /** Reads until what is asked for has come, or the signal aborts. */
  #waitOn<T>(goal: Goal, limit: number, take: (n: number) => T, signal?: AbortSignal): Promise<T> {
    return new Promise((resolve, reject) => {
      const wake = () => {
        try {
          signal?.throwIfAborted();
          const n = this.#find(goal, limit);
          if (n < 0) return void this.#read();
          resolve(take(n));
        } catch (error) {
          reject(error);
        }
        this.#wake = undefined;
        signal?.removeEventListener("abort", wake);
      };
      this.#wake = wake;
      signal?.addEventListener("abort", wake);
      wake();
    });
  }

  #start(options?: ReadOptions): void {
    if (this.#wake) throw new Error("Cannot read: another read of this Rio is under way");
    options?.signal?.throwIfAborted();
  }

  #find(goal: Goal, limit: number): number {
    const n = this.#buffer.find(goal, limit);
    if (n === 0) this.#buffer.ended = false; // EOF is reported once
    return n;
  }

  /** The one place that reads, unless a read that was given up is still under way. */
  #read(): Promise<void> | undefined {
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure !== undefined) throw failure.error;
    if (this.#reading) return;
    this.#reading = true;
    let read;
    try {
      read = Promise.resolve(this.#reader.read(this.#buffer.room()));
    } catch (error) { // thrown at once
      read = Promise.reject(error);
    }
    return read.then(this.#landed, this.#failed);
  }

  readonly #landed = (count: number | null) => this.#land(count);
  readonly #failed = (error: unknown) => this.#land(0, { error });

  /** Takes in what was read, for the call that waits or else for the next. */
  #land(count: number | null, failure?: { error: unknown }): void {
    this.#reading = false;
    this.#failure = failure;
    try {
      if (failure === undefined) this.#buffer.append(count);
    } catch (error) {
      this.#failure = { error };
    }
    this.#wake?.();
  }

  /** Returns the bytes of a line, or skips it and throws if it is too long. */
  #checkLine(n: number): number {
    if (n <= this.#maxline) return n;
    this.#buffer.skipLine();
    throw new InvalidData(`Cannot read a line: no delimiter in its first ${this.#maxline} bytes`);
  }

  #takeLine(n: number): Uint8Array<ArrayBuffer> | null {
    return this.#checkLine(n) > 0 ? this.#buffer.take(n) : null;
  }

  /**
   * Reads one line into `usrbuf`, delimiter included, and stores a NUL after it: `rio_readlineb` of
   * csapp.c. Returns the count of bytes without the NUL; 0 means EOF, and `usrbuf` is untouched.
   * The bytes end in the delimiter if and only if the line is complete. Otherwise they are
   * `maxlen - 1` and the next call goes on with the line, or EOF came first. The bound is `maxlen`,
   * not `maxline`. A piece ends before a delimiter of several bytes, never within it.
   * @throws {RangeError} If `maxlen` isn't an integer from 2 to `usrbuf.length`, its default.
   */
  readlineb(
    usrbuf: Uint8Array,
    maxlen: number = usrbuf.length,
    options?: ReadOptions,
  ): Promise<number> {
    const take = (n: number) => n > 0 ? this.#buffer.move(usrbuf, n, 1) : 0;
    const shortest = this.#buffer.size + 1;
    const wrong = rangeError("read a line: maxlen", maxlen, shortest, usrbuf.length);
    return wrong ? Promise.reject(wrong) : this.#get("piece", maxlen - 1, take, options);
  }

  /**
   * Reads exactly `n` bytes into `usrbuf` through the buffer: `rio_readnb` of csapp.c. Returns the
   * count, which is less than `n` only if EOF came first, and 0 at EOF.
   * @throws {RangeError} If `n` isn't an integer from 0 to `usrbuf.length`, its default.
   */
  readnb(usrbuf: Uint8Array, n: number = usrbuf.length, options?: ReadOptions): Promise<number> {
    if (n === 0) return Promise.resolve(0);
    const wrong = rangeError("read bytes: n", n, 0, usrbuf.length);
    const take = (n: number) => this.#buffer.move(usrbuf, n);
    return wrong ? Promise.reject(wrong) : this.#get("bytes", n, take, options);
  }

  /**
   * Reads what is available into `p`, from the buffer first. Returns the count, or `null` at EOF.
   * So a `Rio` is itself a reader: `copy` of `@std/io` takes the rest.
   */
  read(p: Uint8Array, options?: ReadOptions): Promise<number | null> {
    const { length } = p;
    if (length === 0) return Promise.resolve(0);
    const buffer = this.#buffer;
    const take = (n: number) => n > 0 ? buffer.move(p, Math.min(length, buffer.length)) : null;
    return this.#get("bytes", 1, take, options);
  }

  /**
   * Waits until at least `n` bytes are buffered, and takes none: `fill_buf` of Rust's `BufRead`.
   * False means that EOF comes before them.
   * @throws {RangeError} If `n` isn't from 1 to `bufsize`, by default 64 KiB or `maxline`.
   */
  fill(n: number = 1, options?: ReadOptions): Promise<boolean> {
    const wrong = rangeError("fill the buffer: n", n, 1, this.#buffer.max);
    return wrong ? Promise.reject(wrong) : this.#get("bytes", n, (here) => here === n, options);
  }

  /** How many bytes are buffered. */
  get buffered(): number {
    return this.#buffer.length;
  }

  /** Returns a copy of the first `n` bytes that are buffered, by default all, and takes none. */
  peek(n: number = MAX_BUFSIZE): Uint8Array<ArrayBuffer> {
    checkRange("peek: n", n, 0, MAX_BUFSIZE);
    this.#start();
    const { bytes, pos, length } = this.#buffer;
    return bytes.slice(pos, pos + Math.min(n, length));
  }

  /** Takes `n` bytes, and gives them to nobody. If fewer are buffered, that is a RangeError. */
  skip(n: number): void {
    this.#start();
    checkRange("skip: n", n, 0, this.#buffer.length);
    this.#buffer.pos += n;
  }

  /**
   * Reads one line, delimiter included; `null` at EOF. It ends in the delimiter if and only if it
   * is complete. For many short lines {@linkcode Rio.takeLine} is faster.
   * @throws {Deno.errors.InvalidData} If the line is longer than `maxline` and `tooLong` says so.
   */
  readline(options?: ReadOptions): Promise<Uint8Array<ArrayBuffer> | null> {
    return this.#get(this.#goal, this.#limit, (n) => this.#takeLine(n), options);
  }

  /**
   * Iterates over the lines, as {@linkcode Rio.readline} returns them. Leaving the loop keeps the
   * descriptor open, and what comes after the last line for the next read.
   */
  lines(options?: ReadOptions): AsyncIterableIterator<Uint8Array<ArrayBuffer>> {
    const take = (n: number): IteratorResult<Uint8Array<ArrayBuffer>> => {
      const value = this.#takeLine(n);
      return value === null ? { value: undefined, done: true } : { value, done: false };
    };
    return {
      next: () => {
        if (options === undefined && this.#wake === undefined) {
          const n = this.#buffer.find(this.#goal, this.#limit);
          if (n > 0 && n <= this.#maxline) {
            return Promise.resolve({ value: this.#buffer.take(n), done: false });
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
   * Waits until the next line, or piece of one, is buffered: it and all that came with it can then
   * be taken without a promise. Returns its length in bytes, 0 at EOF.
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

  /** Takes the next line, or piece of one; `null` if it isn't buffered. */
  takeLine(): Uint8Array<ArrayBuffer> | null {
    this.#start();
    return this.#takeLine(this.#buffer.find(this.#goal, this.#limit));
  }

  /**
   * Takes the buffered lines, or pieces of them, as many as fit, into `usrbuf`, to answer a burst
   * with one write. Returns the count of bytes, and sets `lengths` to those of each line. A line
   * that is too long is left to the next call, unless it is the first.
   * @throws {RangeError} If `usrbuf` has fewer than `maxline` bytes.
   */
  takeLines(usrbuf: Uint8Array, lengths: number[]): number {
    const { length } = usrbuf;
    checkRange("take lines: the length of usrbuf", length, this.#maxline, Number.MAX_SAFE_INTEGER);
    this.#start();
    this.#checkLine(this.#buffer.find(this.#goal, this.#limit));
    return this.#buffer.takeLines(usrbuf, lengths, this.#goal, this.#limit, this.#maxline);
  }
}

/** What a read asks for: a line, a line or a piece of one, or bytes; of at most `limit` bytes. */
type Goal = "line" | "piece" | "bytes";

const EMPTY = new ArrayBuffer(0);
const nothing = () => {};
const SHORT = 32; // bytes: a loop is as fast as anything else

/** The bytes read but not yet taken: those from `pos` to `end`. */
class LineBuffer {
  pos = 0;
  end = 0;
  ended = false; // EOF comes after these bytes
  readonly size: number; // bytes of a delimiter
  readonly max: number; // bytes, and `#min`: how large the buffer is
  readonly #min: number;
  readonly #delimiter: Uint8Array;
  bytes: Uint8Array<ArrayBuffer>;
  #room: Uint8Array<ArrayBuffer>; // what `room` returned last
  #empty = 0; // reads in a row that took 0 bytes
  #skipping = false; // what is left is the end of a line too long, whose rest comes next
  #copy = EMPTY; // `take` returns views of it
  #copied = 0; // where it begins
  readonly #id = buffers++;
  #ends = ENDS[0]; // if it is ours: where delimiters are, from `#base` to `#scanned`
  #base = 0;
  #scanned = 0;
  #next = 0; // which of them comes next
  #count = 0; // how many there are
  #block = SHORT; // bytes to be scanned next: few at first, in case other buffers come in between

  constructor(delimiter: Uint8Array, min: number, max: number) {
    this.size = delimiter.length;
    this.#delimiter = delimiter;
    this.#min = min;
    this.max = max;
    this.bytes = this.#room = new Uint8Array(min);
  }

  get length(): number {
    return this.#skipping ? 0 : this.end - this.pos;
  }

  /**
   * Makes room for a read after the bytes that are left. The buffer grows if the last read filled
   * it, up to `max`, or further for a call that asks for more. It shrinks to 64 KiB if what is left
   * fits the smallest one, and to that if all that the last read had does.
   */
  room(): Uint8Array {
    const from = this.pos;
    const left = this.end - from;
    const { length } = this.bytes;
    const enough = this.end < this.#min ? this.#min : Math.max(this.#min, GROWN_BUFSIZE);
    let size = left < this.#min ? Math.min(length, enough) : length;
    if (this.end === length) size = Math.max(2 * left, length, GROWN_BUFSIZE);
    size = left < this.max ? Math.min(size, this.max) : Math.max(2 * left, length);
    if (from > 0 || size !== length) {
      const bytes = size === length ? this.bytes : new Uint8Array(size);
      if (left > 0) bytes.set(this.bytes.subarray(from, this.end));
      this.bytes = bytes;
      this.#copy = EMPTY;
      this.pos = 0;
      this.end = left;
      this.#base -= from;
      this.#scanned -= from;
    }
    if (left >= this.max) this.#room = new Uint8Array(this.max); // a read is bounded all the same
    else this.#room = this.end === 0 ? this.bytes : this.bytes.subarray(this.end);
    return this.#room;
  }

  /** Takes in what was read into `room`. */
  append(count: number | null): void {
    this.ended = count === null;
    const room = this.#room;
    this.#empty = count === null ? 0 : checkRead(count, room.length, this.#empty);
    if (room.buffer !== this.bytes.buffer) this.bytes.set(room.subarray(0, count ?? 0), this.end);
    this.end += count ?? 0;
    if (this.#skipping) this.skipLine();
  }

  /** Returns the bytes of what is asked for, fewer before EOF; -1 if it isn't here yet. */
  find(goal: Goal, limit: number): number {
    const n = goal === "bytes" ? 0 : this.#line(limit);
    if (n > 0) return n;
    if (this.length < limit) return this.ended ? this.length : -1;
    return goal === "piece" ? limit - this.#begun(limit) : limit; // cuts no delimiter in two
  }

  /** Returns the length of the first line of at most `limit` bytes, or 0. */
  #line(limit: number): number {
    if (this.#ends.owner !== this.#id) this.#claim();
    const { positions } = this.#ends;
    for (;;) {
      for (; this.#next < this.#count; this.#next++) {
        const n = this.#base + positions[this.#next] + 1 - this.pos;
        if (n >= this.size) return n <= limit ? n : 0;
      }
      if (this.#scanned >= Math.min(this.pos + limit, this.end)) return 0;
      this.#scan();
    }
  }

  /** Takes the place of the buffer that has had its turn for longest. */
  #claim(): void {
    this.#ends = ENDS[turns++ % ENDS.length];
    this.#ends.owner = this.#id;
    if (this.#next < this.#count) this.#scanned = this.pos;
    this.#next = this.#count = 0;
    this.#block = SHORT;
  }

  /** Finds the delimiters of the next block. */
  #scan(): void {
    const { bytes, size } = this;
    const { positions } = this.#ends;
    const last = this.#delimiter[size - 1];
    const base = Math.max(this.#scanned, this.pos);
    const end = Math.min(base + this.#block, this.end);
    let count = 0;
    if (search !== undefined && end - base > SHORT) {
      scratch.set(bytes.subarray(base, end));
      count = search(end - base, last, positions.byteOffset);
    } else {
      for (let at = base; at < end; at++) if (bytes[at] === last) positions[count++] = at - base;
    }
    this.#base = base;
    this.#scanned = end;
    this.#next = 0;
    this.#count = size === 1 ? count : 0;
    for (let i = 0; size > 1 && i < count; i++) {
      const at = positions[i];
      if (endsWith(bytes, base + at + 1, this.#delimiter, size)) positions[this.#count++] = at;
    }
    this.#block = Math.min(this.#block * 8, BLOCK);
  }

  /** Returns how many of the last of `n` bytes may be the beginning of a delimiter. */
  #begun(n: number): number {
    let begun = Math.min(this.size - 1, n);
    while (begun > 0 && !endsWith(this.bytes, this.pos + n, this.#delimiter, begun)) begun--;
    return begun;
  }

  /** Takes a line too long, and what comes of it later. A delimiter may begin with its last bytes. */
  skipLine(): void {
    const left = this.end - this.pos;
    const n = this.#line(left);
    this.#skipping = n === 0 && !this.ended;
    this.pos += n > 0 ? n : this.#skipping ? Math.max(left - this.size + 1, 0) : left;
  }

  /** Takes `n` bytes and moves them to `to`, with a NUL after them if asked for; returns `n`. */
  move(to: Uint8Array, n: number, nul = 0): number {
    if (to.length < n + nul) throw new TypeError("Cannot read: usrbuf was transferred or shrunk");
    const { bytes, pos } = this;
    for (let i = 0; n < SHORT && i < n; i++) to[i] = bytes[pos + i];
    if (n >= SHORT) to.set(bytes.subarray(pos, pos + n));
    if (nul > 0) to[n] = 0;
    this.pos += n;
    return n;
  }

  /** Takes `n` bytes, as a view of a copy that callers own: all buffered bytes are copied once. */
  take(n: number): Uint8Array<ArrayBuffer> {
    let at = this.pos - this.#copied;
    if (at < 0 || at + n > this.#copy.byteLength) { // 0 once a caller has transferred it
      const end = Math.min(this.end, this.pos + Math.max(n, GROWN_BUFSIZE));
      this.#copy = this.bytes.buffer.slice(this.pos, end);
      this.#copied = this.pos;
      at = 0;
    }
    this.pos += n;
    return new Uint8Array(this.#copy, at, n);
  }

  /** Takes lines, as many as fit, and sets `lengths`; returns the count of bytes. */
  takeLines(usrbuf: Uint8Array, lengths: number[], goal: Goal, limit: number, max: number): number {
    const start = this.pos;
    const stop = start + usrbuf.length;
    let count = 0;
    for (let n; (n = this.find(goal, limit)) > 0 && n <= max && this.pos + n <= stop;) {
      lengths[count++] = n;
      let pos = this.pos + n;
      const { positions } = this.#ends;
      let next = this.#next;
      for (; next < this.#count; next++) { // those whose ends are known
        const end = this.#base + positions[next] + 1;
        n = end - pos;
        if (n > max || end > stop) break;
        if (n < this.size) continue;
        lengths[count++] = n;
        pos = end;
      }
      this.#next = next;
      this.pos = pos;
    }
    if (lengths.length !== count) lengths.length = count;
    const total = this.pos - start;
    this.pos = start; // to move them all at once
    return this.move(usrbuf, total);
  }
}

const BLOCK = 16_384; // bytes

/** tests/rio.wat: sets 16-bit numbers from `out` on to where a byte is in the first `length`. */
const WASM = `AGFzbQEAAAABCAFgA39/fwF/AwIBAAUDAQAFBxMCBm1lbW9yeQIABnNlYXJjaAAACtEBAc4BAwJ/AX4FeyACIQ
MgAf0PIQYDQCAGIAT9AAQA/SMiByAGIAT9AAQQ/SMiCP1QIAYgBP0ABCD9IyIJIAYgBP0ABDD9IyIK/VD9UP1TBEAgB/1krSAI/W
StQhCGhCAJ/WStQiCGIAr9ZK1CMIaEhCEFIAAgBGtBwABJBEAgBUIBIAAgBGuthkIBfYMhBQsCQANAIAVQDQEgAiAEIAV6p2o7AQ
AgAkECaiECIAUgBUIBfYMhBQwACwsLIARBwABqIgQgAEkNAAsgAiADa0EBdgs=`;

let memory = new ArrayBuffer(5 * 65_536);
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

/** Where the delimiters of a block are, for each of the buffers that had a turn last. */
const ENDS = Array.from({ length: 8 }, (_, i) => ({
  owner: -1,
  positions: new Uint16Array(memory, (2 * i + 1) * BLOCK, BLOCK),
}));
let turns = 0;
let buffers = 0;

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
  if (empty + 1 < 100) return empty + 1; // more are a hang, as in Go's bufio
  throw new Error("Cannot read: the reader returned 0 bytes 100 times in a row");
}

/** @internal */
export function checkRange(what: string, value: number, min: number, max: number): void {
  const error = rangeError(what, value, min, max);
  if (error !== undefined) throw error;
}

/** Returns an error unless `value` is an integer from `min` to `max`. */
function rangeError(what: string, value: number, min: number, max: number): Error | undefined {
  if (Number.isSafeInteger(value) && value >= min && value <= max) return undefined;
  const range = `an integer from ${min} to ${max}`;
  return new RangeError(`Cannot ${what} must be ${range}, current value is ${value}`);
}
