/**
 * The lines that a connection sends. All lines of all connections differ: each is
 * `CCCCC NNNNNNNNN filler\n`, the numbers of the connection and of the line, decimal, from 0.
 */
import { Buffer } from "node:buffer";

const CONNECTION_DIGITS = 5;
const LINE_DIGITS = 9;
const LINE_AT = CONNECTION_DIGITS + 1;
const LINE_END = LINE_AT + LINE_DIGITS;
const HEADER = /^(\d{5}) (\d{9})$/;

/** The fewest bytes per line: the numbers and the newline. */
export const MIN_LENGTH = LINE_END + 1;
/** The most connections: their numbers have five digits. */
export const MAX_CONNECTIONS = 10 ** CONNECTION_DIGITS;
/** The most lines: their numbers have nine. */
export const MAX_LINES = 10 ** LINE_DIGITS;

/** A ring of the last `depth` lines: they are sent from it and compared with it. */
export class Lines {
  /** The lines, back to back. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly #buffer: Buffer;
  readonly #length: number;
  readonly #depth: number;

  constructor(connection: number, depth: number, length: number) {
    const bytes = new Uint8Array(depth * length);
    const header = `${String(connection).padStart(CONNECTION_DIGITS, "0")} ${"0".repeat(9)} `;
    for (let slot = 0; slot < depth; slot++) {
      const line = bytes.subarray(slot * length, (slot + 1) * length);
      for (let i = 0; i < length; i++) line[i] = 0x21 + (i * 7 + slot * 11 + connection * 13) % 90;
      for (let i = 0; i < Math.min(header.length, length); i++) line[i] = header.charCodeAt(i);
      line[length - 1] = 0x0a;
    }
    this.bytes = bytes;
    this.#buffer = Buffer.from(bytes.buffer);
    this.#length = length;
    this.#depth = depth;
  }

  /** Puts a line into the ring, in place of the one `depth` lines earlier. */
  set(line: number): void {
    const at = (line % this.#depth) * this.#length + LINE_AT;
    for (let i = at + LINE_DIGITS, rest = line; i > at;) {
      const tens = Math.floor(rest / 10);
      this.bytes[--i] = 0x30 + rest - tens * 10;
      rest = tens;
    }
  }

  /**
   * Compares the first `n` bytes of `came`, at most `depth` lines, with those sent from `byte` on.
   * Returns the length of the common prefix.
   */
  compare(came: Uint8Array, n: number, byte: number): number {
    const size = this.bytes.length;
    for (let done = 0; done < n;) {
      const at = (byte + done) % size;
      const count = Math.min(n - done, size - at);
      if (this.#buffer.compare(came, done, done + count, at, at + count) !== 0) {
        while (came[done] === this.bytes[(byte + done) % size]) done++;
        return done;
      }
      done += count;
    }
    return n;
  }

  /** The byte sent at an offset. */
  at(byte: number): number {
    return this.bytes[byte % this.bytes.length];
  }

  /**
   * The numbers in the line that came instead: up to `byte` it equals the line sent, then `rest`
   * follows. Undefined if it holds no such numbers.
   */
  whose(rest: Uint8Array, byte: number): { connection: number; line: number } | undefined {
    const offset = byte % this.#length;
    const start = byte % this.bytes.length - offset;
    const same = this.bytes.subarray(start, start + offset);
    const header = String.fromCharCode(...same.subarray(0, LINE_END), ...rest.subarray(0, LINE_END))
      .slice(0, LINE_END);
    const [, connection, line] = HEADER.exec(header) ?? [];
    if (connection === undefined) return undefined;
    return { connection: Number(connection), line: Number(line) };
  }
}
