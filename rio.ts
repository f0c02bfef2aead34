/**
 * The RIO (robust I/O) package of CS:APP: bounded byte lines and exact-n reads
 * on one buffer, over anything that has a `read` method.
 *
 * A person who knows `csapp.c` finds the same names here, in camelCase.
 *
 * @module
 */
import type { Reader, Writer } from "jsr:@std/io@^0.225.2/types";

export type { Reader, Writer };

/** Bytes in the buffer of a new {@linkcode Rio}: `RIO_BUFSIZE` of csapp.h. */
export const RIO_BUFSIZE = 8192;

/** Bytes of the longest text line, its NUL included: `MAXLINE` of csapp.h. */
export const MAXLINE = 8192;

const NEWLINE = 0x0a;
const NEWLINES = 0x0a0a0a0a;
const ONES = 0x01010101;
const HIGH_BITS = 0x80808080;
const GROWN_BUFSIZE = 65536;
/** Bytes of a line that is copied rather than viewed. */
const SHORT = 128;
/** Reads of 0 bytes in a row that are taken for a hang, as Go's bufio does. */
const MAX_EMPTY_READS = 100;

/** What each read of a {@linkcode Rio} takes. */
export interface ReadOptions {
  /**
   * Gives the read up: it rejects with the signal's reason. No byte is lost: the
   * read in flight stays with the `Rio`, and its bytes belong to the next call,
   * even if they arrive a minute later. `AbortSignal.timeout(ms)` is a deadline.
   */
  signal?: AbortSignal;
}

/** What {@linkcode Rio.readline} takes. */
export interface ReadlineOptions extends ReadOptions {
  /**
   * As for {@linkcode Rio.readlineb}, a line comes in pieces of at most
   * `maxlen - 1` bytes: 2 to the bytes that the buffer may grow to, plus 1.
   * {@linkcode MAXLINE} unless given, or less if the buffer is smaller.
   */
  maxlen?: number;
}

/**
 * Reads exactly `n` bytes without a buffer: `rio_readn` of csapp.c.
 *
 * Never mix it with a {@linkcode Rio} on the same descriptor, whose buffer may
 * hold the bytes that this one waits for.
 *
 * @param reader Where the bytes come from.
 * @param usrbuf Where the bytes go, from its first place on.
 * @param n How many bytes, 0 to `usrbuf.length`, which is the default.
 * @returns The count of bytes read: `n`, or less if EOF came first; 0 at EOF.
 * @throws {RangeError} If `n` is not an integer from 0 to `usrbuf.length`.
 * @throws {Error} If the reader returns 0 bytes a hundred times in a row, or a
 * count that can't be. What the reader throws is thrown on.
 *
 * @example
 * ```ts
 * import { rioReadn } from "@netp/rio/rio";
 * import { assertEquals } from "@std/assert";
 *
 * const bytes = new TextEncoder().encode("a fixed-length record");
 * const reader = {
 *   read: (p: Uint8Array) => {
 *     p[0] = bytes[0];
 *     return Promise.resolve(1); // one byte at a time
 *   },
 * };
 * assertEquals(await rioReadn(reader, new Uint8Array(512), 7), 7);
 * ```
 */
export async function rioReadn(
  reader: Reader,
  usrbuf: Uint8Array,
  n: number = usrbuf.length,
): Promise<number> {
  checkRange("read bytes", "n", n, 0, usrbuf.length);
  let done = 0;
  for (let empty = 0; done < n;) {
    const count = await reader.read(usrbuf.subarray(done, n));
    if (count === null) break;
    checkTransfer("read", count, n - done);
    done += count;
    empty = count === 0 ? checkProgress(empty + 1) : 0;
  }
  return done;
}

/**
 * Writes all of `usrbuf`: `rio_writen` of csapp.c.
 *
 * @param writer Where the bytes go.
 * @param usrbuf The bytes. They must not change until the promise resolves.
 * @returns The count of bytes written, always `usrbuf.length`.
 * @throws {Deno.errors.WriteZero} If a write takes 0 bytes.
 * @throws {Error} If a write returns a count that can't be. What the writer
 * throws is thrown on.
 *
 * @example
 * ```ts
 * import { rioWriten } from "@netp/rio/rio";
 * import { assertEquals } from "@std/assert";
 *
 * let out = "";
 * const writer = {
 *   write: (p: Uint8Array) => {
 *     out += String.fromCharCode(p[0]);
 *     return Promise.resolve(1); // a short count every time
 *   },
 * };
 * await rioWriten(writer, new TextEncoder().encode("hello\n"));
 * assertEquals(out, "hello\n");
 * ```
 */
export async function rioWriten(
  writer: Writer,
  usrbuf: Uint8Array,
): Promise<number> {
  let done = 0;
  while (done < usrbuf.length) {
    const rest = done === 0 ? usrbuf : usrbuf.subarray(done);
    const count = await writer.write(rest);
    if (count === 0) {
      throw new Deno.errors.WriteZero(
        `Cannot write: the writer took 0 of ${rest.length} bytes`,
      );
    }
    checkTransfer("write", count, rest.length);
    done += count;
  }
  return done;
}

/**
 * A read buffer on a descriptor: `rio_t` of csapp.c, with `rio_readinitb` as
 * its constructor.
 *
 * Lines and counted reads may be mixed freely on one `Rio`. Memory is bounded
 * by its buffer, whatever the peer sends. No byte is ever lost: what one call
 * leaves, an error in its middle included, the next call returns first.
 *
 * One read at a time: a second one that begins before the first has ended
 * rejects at once.
 *
 * @example
 * ```ts
 * import { MAXLINE, Rio } from "@netp/rio/rio";
 * import { assertEquals } from "@std/assert";
 *
 * const listenfd = Deno.listen({ hostname: "127.0.0.1", port: 0 });
 * const clientfd = await Deno.connect({ port: listenfd.addr.port });
 * const connfd = await listenfd.accept();
 * await clientfd.write(new TextEncoder().encode("5\nhello"));
 *
 * const rio = new Rio(connfd);
 * const buf = new Uint8Array(MAXLINE);
 * const text = (n: number) => new TextDecoder().decode(buf.subarray(0, n));
 * const length = Number(text(await rio.readlineb(buf)));
 * assertEquals(text(await rio.readnb(buf, length)), "hello");
 *
 * for (const fd of [listenfd, clientfd, connfd]) fd.close();
 * ```
 */
export class Rio implements AsyncIterable<Uint8Array<ArrayBuffer>> {
  readonly #reader: Reader;
  /** Bytes that the buffer may grow to. */
  readonly #max: number;
  /** Bytes of the longest piece of a line, unless `maxlen` is given. */
  readonly #piece: number;
  #buf: Uint8Array<ArrayBuffer>;
  /** The same bytes, four by four. */
  #words: Int32Array;
  /** The bytes not yet taken by the user lie in `#buf` from `#pos` to `#end`. */
  #pos = 0;
  #end = 0;
  /** So many of them, from the first on, are known not to be newlines. */
  #seen = 0;
  /** EOF came behind them. */
  #last = false;
  /** A read that was given up, or may be: its bytes go to `#buf` from `#end` on. */
  #flight: Flight | undefined;
  #busy = false;
  /** Reads of 0 bytes in a row. */
  #empty = 0;
  #short: ShortLines | undefined;

  /**
   * Makes an empty buffer: `rio_readinitb` of csapp.c.
   *
   * @param reader Where the bytes come from.
   * @param bufsize Bytes in the buffer, at least 1, and fixed. Unless it is
   * given, the buffer has {@linkcode RIO_BUFSIZE} bytes, and may grow to 64 KiB
   * while reads fill it.
   * @throws {RangeError} If `bufsize` is not an integer of 1 or more.
   */
  constructor(reader: Reader, bufsize?: number) {
    if (bufsize !== undefined) {
      checkRange("make a Rio", "bufsize", bufsize, 1, Number.MAX_SAFE_INTEGER);
    }
    this.#reader = reader;
    this.#max = bufsize ?? GROWN_BUFSIZE;
    this.#piece = Math.min(MAXLINE - 1, this.#max);
    this.#buf = allocate(bufsize ?? RIO_BUFSIZE);
    this.#words = new Int32Array(this.#buf.buffer);
  }

  /**
   * Reads one line, its newline kept, and stores a NUL after it:
   * `rio_readlineb` of csapp.c.
   *
   * The bytes read end in `\n` if and only if the line was complete. Otherwise
   * `maxlen - 1` bytes were read and the line goes on with the next call, or EOF
   * came after a last line without a newline.
   *
   * @param usrbuf Where the line goes. At EOF it is left untouched.
   * @param maxlen Bytes that may be stored, the NUL included: 2 to
   * `usrbuf.length`, which is the default.
   * @param options A signal to give the read up with.
   * @returns The count of bytes without the NUL. 0 means EOF, and that alone.
   * @throws {RangeError} If `maxlen` is not an integer from 2 to `usrbuf.length`.
   * @throws {Error} If another read is under way; if the reader returns 0 bytes a
   * hundred times in a row, or a count that can't be. What the reader throws, and
   * the reason of an aborted signal, is thrown on. After each of these every byte
   * is still there for the next call.
   *
   * @example
   * ```ts
   * import { Rio } from "@netp/rio/rio";
   * import { assertEquals } from "@std/assert";
   *
   * const buf = new Uint8Array(8);
   * using file = await Deno.open("LICENSE");
   * const n = await new Rio(file).readlineb(buf);
   * assertEquals(new TextDecoder().decode(buf.subarray(0, n)), "MIT Lic");
   * assertEquals(buf[7], 0);
   * ```
   */
  async readlineb(
    usrbuf: Uint8Array,
    maxlen: number = usrbuf.length,
    options?: ReadOptions,
  ): Promise<number> {
    checkRange("read a line", "maxlen", maxlen, 2, usrbuf.length);
    const n = await this.#transfer(usrbuf, maxlen - 1, true, options?.signal);
    if (n > 0) usrbuf[n] = 0;
    return n;
  }

  /**
   * Reads exactly `n` bytes through the buffer: `rio_readnb` of csapp.c.
   *
   * @param usrbuf Where the bytes go, from its first place on.
   * @param n How many bytes, 0 to `usrbuf.length`, which is the default.
   * @param options A signal to give the read up with.
   * @returns The count of bytes read: `n`, or less if EOF came first; 0 at EOF.
   * @throws {RangeError} If `n` is not an integer from 0 to `usrbuf.length`.
   * @throws {Error} As {@linkcode Rio.readlineb} does.
   *
   * @example
   * ```ts
   * import { Rio } from "@netp/rio/rio";
   * import { assertEquals } from "@std/assert";
   *
   * using file = await Deno.open("LICENSE");
   * const rio = new Rio(file);
   * assertEquals(await rio.readnb(new Uint8Array(100)), 100);
   * ```
   */
  async readnb(
    usrbuf: Uint8Array,
    n: number = usrbuf.length,
    options?: ReadOptions,
  ): Promise<number> {
    checkRange("read bytes", "n", n, 0, usrbuf.length);
    return await this.#transfer(usrbuf, n, false, options?.signal);
  }

  /**
   * Reads one line, its newline kept, as a view that is valid until the next call on
   * this `Rio`: `ReadSlice` of Go's bufio.
   *
   * It ends in `\n` if and only if the line was complete, as for
   * {@linkcode Rio.readlineb}; no NUL is stored.
   *
   * @param options The bound of the line, and a signal to give the read up with.
   * @returns The line, 1 byte at least, or `null` at EOF.
   * @throws {RangeError} If `maxlen` is not an integer from 2 to the bytes that the
   * buffer may grow to, plus 1.
   * @throws {Error} As {@linkcode Rio.readlineb} does.
   *
   * @example
   * ```ts
   * import { Rio } from "@netp/rio/rio";
   * import { assertEquals } from "@std/assert";
   *
   * using file = await Deno.open("LICENSE");
   * const line = await new Rio(file).readline();
   * assertEquals(new TextDecoder().decode(line!), "MIT License\n");
   * ```
   */
  readline(
    options?: ReadlineOptions,
  ): Promise<Uint8Array<ArrayBuffer> | null> {
    if (options === undefined && !this.#busy) {
      const length = this.#next(this.#piece);
      if (length > SHORT) return Promise.resolve(this.#take(length));
      if (length > 0) {
        this.#short ??= new ShortLines();
        const line = this.#short.copy(this.#words, this.#pos, length);
        this.#pos += length;
        this.#seen = 0;
        return line;
      }
    }
    return this.#readline(options);
  }

  async #readline(
    options: ReadlineOptions | undefined,
  ): Promise<Uint8Array<ArrayBuffer> | null> {
    return await this.ready(options)
      ? this.#take(this.#next(this.#limit(options?.maxlen)))
      : null;
  }

  /**
   * Waits until the next line, or as much of it as `maxlen` lets through, is in the
   * buffer; {@linkcode Rio.takeLines} then takes it and all that came with it.
   *
   * @param options The bound of the line, and a signal to give the wait up with.
   * @returns Whether there is a line: false means EOF, and that alone.
   * @throws {RangeError} As {@linkcode Rio.readline} does.
   * @throws {Error} As {@linkcode Rio.readlineb} does.
   *
   * @example
   * ```ts
   * import { Rio } from "@netp/rio/rio";
   * import { assertEquals } from "@std/assert";
   *
   * using file = await Deno.open("LICENSE");
   * const rio = new Rio(file);
   * let count = 0;
   * for (const lengths: number[] = []; await rio.ready();) {
   *   rio.takeLines(lengths);
   *   count += lengths.length;
   * }
   * assertEquals(count, 21);
   * ```
   */
  ready(options?: ReadlineOptions): Promise<boolean> {
    const drained = this.#pos === this.#end && this.#flight === undefined;
    if (!drained || this.#busy || options !== undefined) {
      return this.#ready(options);
    }
    // A server's case: a read that brings whole lines, and so needs no search for one.
    this.#busy = true;
    try {
      return this.#reader.read(this.#room()).then(this.#arrived, this.#failed);
    } catch (error) {
      this.#busy = false;
      return Promise.reject(error);
    }
  }

  readonly #arrived = (count: number | null): boolean | Promise<boolean> => {
    this.#busy = false;
    return this.#filled(count) &&
      (this.#buf[this.#end - 1] === NEWLINE || this.#ready(undefined));
  };

  readonly #failed = (error: unknown): never => {
    this.#busy = false;
    throw error;
  };

  async #ready(options: ReadlineOptions | undefined): Promise<boolean> {
    const limit = this.#limit(options?.maxlen);
    const signal = options?.signal;
    this.#checkIdle(signal);
    this.#busy = true;
    try {
      while (this.#next(limit) === 0) {
        if (this.#filled(await this.#read(signal))) continue;
        this.#last = this.#pos < this.#end;
        return this.#last;
      }
      return true;
    } finally {
      this.#busy = false;
    }
  }

  /**
   * Takes all the lines that are in the buffer, without a promise: so a server
   * answers a burst of them with one write.
   *
   * @param lengths Is set to the count of bytes of each line, its newline included.
   * @param maxlen As for {@linkcode Rio.readline}, a longer line comes in pieces.
   * @returns The lines, one behind the other, as a view into the buffer, which is
   * valid until the next call on this `Rio`. It is empty if no whole line is there,
   * and never so after {@linkcode Rio.ready} has said true.
   * @throws {RangeError} As {@linkcode Rio.readline} does.
   * @throws {Error} If a read is under way.
   *
   * @example
   * ```ts
   * import { Rio } from "@netp/rio/rio";
   * import { assertEquals } from "@std/assert";
   *
   * using file = await Deno.open("LICENSE");
   * const rio = new Rio(file);
   * const lengths: number[] = [];
   * await rio.ready();
   * const lines = rio.takeLines(lengths);
   * assertEquals(new TextDecoder().decode(lines.subarray(0, lengths[0])), "MIT License\n");
   * ```
   */
  takeLines(lengths: number[], maxlen?: number): Uint8Array<ArrayBuffer> {
    const limit = this.#limit(maxlen);
    this.#checkIdle(undefined);
    const start = this.#pos;
    let count = 0;
    for (let length; (length = this.#next(limit)) > 0;) {
      lengths[count++] = length;
      this.#pos += length;
      this.#seen = 0;
    }
    if (lengths.length !== count) lengths.length = count;
    return this.#buf.subarray(start, this.#pos);
  }

  /**
   * The lines to come, each as {@linkcode Rio.readline} returns it, but a copy that
   * the caller owns. Leaving the loop leaves the descriptor open and what comes
   * behind the last line in the buffer, for the next read.
   *
   * @throws {Error} As {@linkcode Rio.readline} does.
   *
   * @example
   * ```ts
   * import { Rio } from "@netp/rio/rio";
   * import { assertEquals } from "@std/assert";
   *
   * using file = await Deno.open("LICENSE");
   * const lines = [];
   * for await (const line of new Rio(file)) lines.push(line);
   * assertEquals(new TextDecoder().decode(lines[0]), "MIT License\n");
   * ```
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    for (let line; (line = await this.readline()) !== null;) {
      yield line.slice();
    }
  }

  /** Bytes of the longest piece of a line that `maxlen` lets through. */
  #limit(maxlen: number | undefined): number {
    if (maxlen === undefined) return this.#piece;
    checkRange("read a line", "maxlen", maxlen, 2, this.#max + 1);
    return maxlen - 1;
  }

  /** Takes bytes from the buffer, as a view. */
  #take(length: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(this.#buf.buffer, this.#pos, length);
    this.#pos += length;
    this.#seen = 0;
    return bytes;
  }

  /**
   * Bytes of the next line, or of the next piece of one: of `limit` bytes, or before
   * EOF. 0 if the buffer doesn't hold it.
   */
  #next(limit: number): number {
    const stop = Math.min(this.#end, this.#pos + limit);
    const newline = this.#newline(this.#pos + this.#seen, stop);
    if (newline >= 0) return newline + 1 - this.#pos;
    this.#seen = Math.max(this.#seen, stop - this.#pos);
    if (this.#last || this.#seen >= limit) return stop - this.#pos;
    return 0;
  }

  /** Moves bytes to usrbuf: `limit` of them, or fewer at EOF or after a newline. */
  async #transfer(
    usrbuf: Uint8Array,
    limit: number,
    line: boolean,
    signal: AbortSignal | undefined,
  ): Promise<number> {
    this.#checkIdle(signal);
    this.#busy = true;
    let done = 0;
    try {
      while (done < limit) {
        if (this.#pos === this.#end) {
          if (this.#filled(await this.#read(signal))) continue;
          break;
        }
        const stop = Math.min(this.#end, this.#pos + limit - done);
        const newline = line ? this.#newline(this.#pos, stop) : -1;
        const part = this.#buf.subarray(
          this.#pos,
          newline < 0 ? stop : newline + 1,
        );
        usrbuf.set(part, done);
        this.#pos += part.length;
        this.#seen = 0;
        done += part.length;
        if (newline >= 0) break;
      }
      return done;
    } catch (error) {
      this.#unread(usrbuf.subarray(0, done));
      throw error;
    } finally {
      this.#busy = false;
    }
  }

  #checkIdle(signal: AbortSignal | undefined): void {
    signal?.throwIfAborted();
    if (this.#busy) {
      throw new Error("Cannot read: another read of this Rio is under way");
    }
  }

  /** The place of the first newline from `start` to `stop`, or -1. */
  #newline(start: number, stop: number): number {
    if (start === stop) return -1;
    // Four bytes at a time: the lowest bit left is that of the first newline among
    // them (Hacker's Delight, 6-1). Typed arrays are little-endian wherever Deno runs.
    const words = this.#words;
    const last = (stop - 1) >> 2;
    let word = start >> 2;
    const before = (1 << ((start & 3) << 3)) - 1; // bytes that don't count
    let x = words[word] ^ NEWLINES | before;
    let found = (x - ONES) & ~x & HIGH_BITS;
    if (found === 0) {
      // Sixteen bytes at a time, by a cheaper test. Bytes beyond ASCII may fail it too:
      // the exact one below decides.
      while (
        word + 4 <= last &&
        (((words[word + 1] ^ NEWLINES) - ONES |
            (words[word + 2] ^ NEWLINES) - ONES |
            (words[word + 3] ^ NEWLINES) - ONES |
            (words[word + 4] ^ NEWLINES) - ONES) & HIGH_BITS) === 0
      ) word += 4;
    }
    while (found === 0 && word < last) {
      x = words[++word] ^ NEWLINES;
      found = (x - ONES) & ~x & HIGH_BITS;
    }
    const at = (word << 2) + ((31 - Math.clz32(found & -found)) >> 3);
    return found !== 0 && at < stop ? at : -1;
  }

  /** One read into the buffer: its count, or null at EOF. */
  #read(signal: AbortSignal | undefined): Promise<number | null> {
    return signal === undefined && this.#flight === undefined
      ? this.#reader.read(this.#room())
      : this.#land(signal);
  }

  /** One read that may be given up, and taken up again. */
  async #land(signal: AbortSignal | undefined): Promise<number | null> {
    this.#flight ??= new Flight(this.#reader.read(this.#room()));
    await this.#flight.landing(signal);
    const { read } = this.#flight;
    this.#flight = undefined;
    return await read;
  }

  /** Takes note of a read; false at EOF. */
  #filled(count: number | null): boolean {
    if (count === null) return false;
    checkTransfer("read", count, this.#buf.length - this.#end);
    this.#end += count;
    this.#empty = count === 0 ? checkProgress(this.#empty + 1) : 0;
    return true;
  }

  /**
   * Room for the next read, behind the bytes kept. If the last read filled the
   * buffer, it doubles.
   */
  #room(): Uint8Array {
    this.#last = false;
    const old = this.#buf;
    const grow = this.#end === old.length ? 2 : 1;
    const size = Math.min(old.length * grow, this.#max);
    if (size !== old.length) {
      this.#buf = allocate(size);
      this.#words = new Int32Array(this.#buf.buffer);
      this.#buf.set(old.subarray(this.#pos, this.#end));
    } else if (this.#pos < this.#end) {
      old.copyWithin(0, this.#pos, this.#end);
    }
    this.#end -= this.#pos;
    this.#pos = 0;
    return this.#end === 0 ? this.#buf : this.#buf.subarray(this.#end);
  }

  /** Puts bytes that were moved to the user back, all others being moved too. */
  #unread(bytes: Uint8Array): void {
    if (bytes.length > this.#pos) {
      const room = this.#buf.subarray(this.#end);
      const buf = allocate(bytes.length + room.length);
      this.#flight?.redirect(room, buf.subarray(bytes.length));
      this.#buf = buf;
      this.#words = new Int32Array(buf.buffer);
      this.#pos = this.#end = bytes.length;
    }
    this.#pos -= bytes.length;
    this.#buf.set(bytes, this.#pos);
  }
}

/** Bytes that are whole words underneath. */
function allocate(length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new ArrayBuffer(Math.ceil(length / 4) * 4), 0, length);
}

/**
 * The place that short lines are copied to. To make a view and a promise for a line
 * takes several times as long as to find it; here they are made once for each
 * length, and each place in a word that a line may begin at.
 */
class ShortLines {
  readonly #words = new Int32Array(SHORT / 4 + 1);
  readonly #lines: Promise<Uint8Array<ArrayBuffer>>[] = [];

  copy(words: Int32Array, pos: number, length: number) {
    const last = (pos + length - 1) >> 2;
    for (let from = pos >> 2, to = 0; from <= last; from++, to++) {
      this.#words[to] = words[from];
    }
    const start = pos & 3;
    return this.#lines[length << 2 | start] ??= Promise.resolve(
      new Uint8Array(this.#words.buffer, start, length),
    );
  }
}

/** A read that can be waited for more than once. */
class Flight {
  read: Promise<number | null>;
  #landed = false;
  #wake: (() => void) | undefined;

  constructor(read: Promise<number | null>) {
    this.read = read;
    const land = () => {
      this.#landed = true;
      this.#wake?.();
    };
    // The one reaction on the promise, however often a wait is given up.
    read.then(land, land);
  }

  /** Resolves when the read has ended, rejects when the signal aborts. */
  async landing(signal: AbortSignal | undefined): Promise<void> {
    if (this.#landed) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const giveUp = () => reject(signal?.reason);
    signal?.addEventListener("abort", giveUp);
    this.#wake = resolve;
    try {
      await promise;
    } finally {
      signal?.removeEventListener("abort", giveUp);
      this.#wake = undefined;
    }
  }

  /** Has the bytes that come to `from` copied to `to`. */
  redirect(from: Uint8Array, to: Uint8Array): void {
    this.read = this.read.then((count) => {
      if (count !== null) to.set(from.subarray(0, count));
      return count;
    });
    this.read.catch(() => {}); // it is thrown to the next call
  }
}

/** Throws if so many reads of 0 bytes in a row are too many, or else returns it. */
function checkProgress(empty: number): number {
  if (empty < MAX_EMPTY_READS) return empty;
  throw new Error(
    `Cannot read: the reader returned 0 bytes ${MAX_EMPTY_READS} times in a row`,
  );
}

function checkRange(
  what: string,
  name: string,
  value: number,
  min: number,
  max: number,
): void {
  if (!Number.isSafeInteger(value) || value < min || value > max) {
    throw new RangeError(
      `Cannot ${what}: ${name} must be an integer from ${min} to ${max}, current value is ${value}`,
    );
  }
}

function checkTransfer(what: string, count: number, length: number): void {
  if (!Number.isSafeInteger(count) || count < 0 || count > length) {
    throw new Error(
      `Cannot ${what}: the ${what} of ${length} bytes returned the count ${count}`,
    );
  }
}
