/** Checks that what comes back is what was sent, in bounded memory. */
import { Buffer } from "node:buffer";

/** The most sent bytes kept as they are: more than fits into the buffers of sockets. */
const KEPT = 1 << 24;
/** The most checksums kept for bytes beyond that, and the initial bytes per checksum. */
const SUMS = 1024;
const BLOCK = 65_536;

/** Sent bytes of which only a checksum is kept. */
interface Block {
  length: number;
  sum: number;
}

/**
 * The bytes sent that haven't come back yet. The first 16 MiB are kept as they are, the rest as
 * checksums of blocks. Blocks double in size when there are too many, so memory is bounded
 * however much the peer owes.
 */
export class Comparison {
  /** How many bytes came back the same. */
  same = 0;
  /** The first byte that differs, or the range of its block, counted from 0. */
  difference: { from: number; to: number } | undefined;
  /** A ring buffer that holds `#count` bytes from `#start` on. */
  #ring = new Uint8Array(BLOCK);
  #start = 0;
  #count = 0;
  readonly #blocks: Block[] = [];
  #blockSize = BLOCK;
  /** The part of the first block that has come back. */
  #back: Block = { length: 0, sum: 0 };

  /** Records bytes that were sent. */
  sent(bytes: Uint8Array): void {
    const room = this.#blocks.length > 0 ? 0 : KEPT - this.#count;
    const kept = bytes.subarray(0, room);
    this.#grow(this.#count + kept.length);
    this.#each(this.#start + this.#count, kept.length, (at, n, done) => {
      this.#ring.set(kept.subarray(done, done + n), at);
    });
    this.#count += kept.length;
    for (let rest = bytes.subarray(kept.length); rest.length > 0;) {
      rest = rest.subarray(this.#addToLast(rest));
    }
  }

  /** Compares bytes that came back. */
  came(bytes: Uint8Array): void {
    if (this.difference !== undefined) return;
    const known = Math.min(bytes.length, this.#count);
    this.#each(this.#start, known, (at, n, done) => {
      const [sent, came] = [this.#ring.subarray(at, at + n), bytes.subarray(done, done + n)];
      if (this.difference !== undefined || Buffer.compare(sent, came) === 0) return;
      this.#differ(this.same + done + came.findIndex((byte, i) => byte !== sent[i]));
    });
    this.#start = (this.#start + known) % this.#ring.length;
    this.#count -= known;
    if (this.difference === undefined) this.same += known;
    for (let rest = bytes.subarray(known); rest.length > 0 && this.difference === undefined;) {
      rest = rest.subarray(this.#addToFirst(rest));
    }
  }

  #differ(from: number, to: number = from): void {
    this.difference ??= { from, to };
  }

  /** Calls `act` for each contiguous part, one or two, of `length` bytes of the ring at `start`. */
  #each(start: number, length: number, act: (at: number, n: number, done: number) => void) {
    for (let done = 0; done < length;) {
      const at = (start + done) % this.#ring.length;
      const n = Math.min(length - done, this.#ring.length - at);
      act(at, n, done);
      done += n;
    }
  }

  #grow(length: number): void {
    if (length <= this.#ring.length) return;
    const ring = new Uint8Array(2 ** Math.ceil(Math.log2(length)));
    this.#each(this.#start, this.#count, (at, n, done) => {
      ring.set(this.#ring.subarray(at, at + n), done);
    });
    this.#ring = ring;
    this.#start = 0;
  }

  /** Adds sent bytes to the last block, as many as fit; returns how many. */
  #addToLast(bytes: Uint8Array): number {
    let last = this.#blocks.at(-1);
    if (last === undefined || last.length === this.#blockSize) {
      if (this.#blocks.length === SUMS) this.#merge();
      last = { length: 0, sum: 0 };
      this.#blocks.push(last);
    }
    return add(last, bytes, this.#blockSize - last.length);
  }

  /** Merges blocks in pairs, except the first, which may have come back in part. */
  #merge(): void {
    this.#blockSize *= 2;
    const [first, ...rest] = this.#blocks.splice(0);
    this.#blocks.push(first);
    for (let i = 0; i < rest.length; i += 2) {
      const [a, b = { length: 0, sum: 0 }] = [rest[i], rest[i + 1]];
      this.#blocks.push({ length: a.length + b.length, sum: join(a.sum, b) });
    }
  }

  /** Adds bytes that came back to the first block, and compares it once whole; returns how many. */
  #addToFirst(bytes: Uint8Array): number {
    const first = this.#blocks[0];
    if (first === undefined) {
      this.#differ(this.same);
      return bytes.length;
    }
    const n = add(this.#back, bytes, first.length - this.#back.length);
    if (this.#back.length < first.length) return n;
    if (this.#back.sum === first.sum) this.same += first.length;
    else this.#differ(this.same, this.same + first.length - 1);
    this.#back = { length: 0, sum: 0 };
    this.#blocks.shift();
    return n;
  }
}

/**
 * The checksum is a polynomial hash: the sum of the bytes times powers of 257, modulo a prime.
 * Two of them can be joined into that of both blocks.
 */
const PRIME = 2_147_483_629;
const BASE = 257;

/** Adds at most `room` bytes to a block; returns how many. */
function add(block: Block, bytes: Uint8Array, room: number): number {
  const n = Math.min(bytes.length, room);
  let { sum } = block;
  let i = 0;
  // Two bytes per remainder, which is the slow part; everything stays below 2^53, so exact.
  for (; i < n - 1; i += 2) {
    sum = (sum * (BASE * BASE) + bytes[i] * BASE + bytes[i + 1]) % PRIME;
  }
  if (i < n) sum = (sum * BASE + bytes[i]) % PRIME;
  block.sum = sum;
  block.length += n;
  return n;
}

/** The checksum of bytes with checksum `sum` followed by those of `block`. */
function join(sum: number, block: Block): number {
  return (multiply(sum, power(block.length)) + block.sum) % PRIME;
}

/** `BASE ** exponent`, modulo the prime. */
function power(exponent: number): number {
  let result = 1;
  for (let base = BASE; exponent > 0; exponent = Math.floor(exponent / 2)) {
    if (exponent % 2 === 1) result = multiply(result, base);
    base = multiply(base, base);
  }
  return result;
}

/** The product of two numbers below the prime, modulo the prime, without rounding. */
function multiply(a: number, b: number): number {
  const high = Math.floor(a / 65_536);
  return ((high * b % PRIME) * 65_536 + (a & 65_535) * b) % PRIME;
}
