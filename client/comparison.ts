/** Checks that what comes back is what was sent, in bounded memory. */
import { Buffer } from "node:buffer";
import { crc32 } from "node:zlib";

/** The most sent bytes kept as they are: more than fits into the buffers of sockets. */
const KEPT = 1 << 24;
/** The initial bytes of the ring. */
const RING = 65_536;

/** Bytes of which only a checksum is kept. */
interface Sum {
  length: number;
  crc: number;
}

/**
 * The bytes sent that haven't come back yet. The first 16 MiB are kept as they are. Of those beyond
 * only a checksum is, which is compared whenever all of them are back: so memory is bounded however
 * much the peer owes. If it ends before that, a byte that differs in that part isn't noticed.
 */
export class Comparison {
  /** How many bytes came back the same. */
  same = 0;
  /** The first byte that differs, or the range that it is in, counted from 0. */
  difference: { from: number; to: number } | undefined;
  /** A ring buffer that holds `#count` bytes from `#start` on. */
  #ring = new Uint8Array(RING);
  #start = 0;
  #count = 0;
  /** The bytes sent beyond those, and the part of them that is back. */
  #sent: Sum = { length: 0, crc: 0 };
  #back: Sum = { length: 0, crc: 0 };

  /** Records bytes that were sent. */
  sent(bytes: Uint8Array): void {
    const room = this.#sent.length > 0 ? 0 : KEPT - this.#count;
    const kept = bytes.subarray(0, room);
    this.#grow(this.#count + kept.length);
    this.#each(this.#start + this.#count, kept.length, (at, n, done) => {
      this.#ring.set(kept.subarray(done, done + n), at);
    });
    this.#count += kept.length;
    add(this.#sent, bytes.subarray(kept.length));
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
    this.#cameBeyond(bytes.subarray(known));
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

  /** Compares bytes that came back beyond those of the ring. */
  #cameBeyond(bytes: Uint8Array): void {
    const owed = this.#sent.length - this.#back.length;
    add(this.#back, bytes.subarray(0, owed));
    const { length, crc } = this.#back;
    if (length === this.#sent.length) {
      if (crc === this.#sent.crc) this.same += length;
      else this.#differ(this.same, this.same + length - 1);
      this.#sent = { length: 0, crc: 0 };
      this.#back = { length: 0, crc: 0 };
    }
    if (bytes.length > owed) this.#differ(this.same);
  }
}

function add(sum: Sum, bytes: Uint8Array): void {
  sum.length += bytes.length;
  sum.crc = crc32(bytes, sum.crc);
}
