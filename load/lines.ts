/**
 * The lines of a connection. No other connection sends the same, and none is sent twice:
 * `CCCCC NNNNNNNNN filler\n`, the connection and the line as decimal numbers from 0.
 */
import { Buffer } from "node:buffer";

const CONNECTION_DIGITS = 5;
const LINE_DIGITS = 9;
const LINE_AT = CONNECTION_DIGITS + 1;
const LINE_END = LINE_AT + LINE_DIGITS;
const HEADER = /^(\d{5}) (\d{9})$/;

/** Bytes of the shortest line: the numbers and the newline. */
export const MIN_LENGTH = LINE_END + 1;
/** Connections that can be told apart. */
export const MAX_CONNECTIONS = 10 ** CONNECTION_DIGITS;

/** The last `depth` lines, in a ring: they are sent from it, and compared with it. */
export class Lines {
  /** The lines, one behind the other. */
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

  /** Puts a line into the ring, in place of the one `depth` lines before. */
  set(line: number): void {
    const at = (line % this.#depth) * this.#length + LINE_AT;
    for (let i = at + LINE_DIGITS, rest = line; i > at;) {
      const tens = Math.floor(rest / 10);
      this.bytes[--i] = 0x30 + rest - tens * 10;
      rest = tens;
    }
  }

  /**
   * Compares the first `n` bytes of `came`, `depth` lines at most, with what was sent from
   * `byte` on. Returns how many of them, from the first, are the same.
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

  /** The byte that was sent at a place. */
  at(byte: number): number {
    return this.bytes[byte % this.bytes.length];
  }

  /**
   * The numbers of the line that came instead: it is the same as the one sent up to `byte`, and
   * goes on with `rest`. Undefined if there are none.
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
