/**
 * A histogram of round trips, laid out as HdrHistogram's: 128 buckets for each power of two, so
 * a value is known to 0.8 %. It is our own because it costs a quarter a line, can be posted to
 * another thread and shows its counts: docs/performance.md has the figures.
 */

/** Tenths of a microsecond in a millisecond: what is counted, up to 214 s. */
const UNITS = 10_000;
const MAX_VALUE = 2 ** 31 - 1;
const HALF_BITS = 7;
const HALF = 1 << HALF_BITS;
const BUCKETS = (32 - HALF_BITS) * HALF;

/** What a histogram is when it is sent to another thread. */
export type Counts = Pick<Histogram, "counts" | "max">;

/**
 * Counts round trips by how long they took.
 *
 * @example
 * ```ts
 * import { Histogram } from "@netp/rio/load";
 * import { assert } from "@std/assert";
 *
 * const histogram = new Histogram();
 * for (let ms = 1; ms <= 100; ms++) histogram.record(ms);
 * const median = histogram.quantile(0.5);
 * assert(median >= 50 && median < 50.4);
 * ```
 */
export class Histogram {
  /** How many were recorded. */
  count = 0;
  /** The longest, in milliseconds. */
  max = 0;
  /** How many are in each bucket. */
  readonly counts: Float64Array<ArrayBuffer> = new Float64Array(BUCKETS);

  /** Records so many round trips of so many milliseconds. */
  record(ms: number, times: number = 1): void {
    const value = Math.min(ms * UNITS, MAX_VALUE) | 0;
    const shift = value < 2 * HALF ? 0 : 31 - HALF_BITS - Math.clz32(value);
    this.counts[shift * HALF + (value >>> shift)] += times;
    this.count += times;
    if (ms > this.max) this.max = ms;
  }

  /** Milliseconds that a share of all, 0 to 1, took at most. */
  quantile(share: number): number {
    const rank = share * this.count;
    for (let i = 0, sum = 0; i < BUCKETS; i++) {
      sum += this.counts[i];
      if (sum > 0 && sum >= rank) return Math.min(this.max, upper(i));
    }
    return this.max;
  }

  /** How many took more than `from` milliseconds and at most `to`, to 0.8 %. */
  between(from: number, to: number): number {
    return this.counts.reduce((sum, n, i) => upper(i) > from && upper(i) <= to ? sum + n : sum, 0);
  }

  /** Takes all counts, and starts again at 0. */
  take(): Counts {
    const taken = { counts: this.counts.slice(), max: this.max };
    this.counts.fill(0);
    this.count = this.max = 0;
    return taken;
  }

  /** Adds the counts of another. */
  add({ counts, max }: Counts): void {
    counts.forEach((n, i) => this.counts[i] += n);
    this.count += counts.reduce((sum, n) => sum + n, 0);
    this.max = Math.max(this.max, max);
  }
}

/** The upper end of a bucket, in milliseconds. */
function upper(bucket: number): number {
  const shift = Math.max(0, (bucket >>> HALF_BITS) - 1);
  return ((bucket - shift * HALF + 1) * 2 ** shift) / UNITS;
}
