/**
 * A histogram of round trips with the layout of HdrHistogram: 128 buckets per power of two, so
 * values are exact to 0.8 %. We wrote our own because it costs a quarter as much per line, can be
 * posted to another thread and exposes its counts; docs/performance.md has the figures.
 */

/** Units per millisecond: it counts in 0.1 µs, up to 214 s. */
const UNITS = 10_000;
const MAX_VALUE = 2 ** 31 - 1;
const HALF_BITS = 7;
const HALF = 1 << HALF_BITS;
const BUCKETS = (32 - HALF_BITS) * HALF;

/** A histogram's data, as posted to another thread. */
export type Counts = Pick<Histogram, "counts" | "max">;

/**
 * Counts round trips by duration.
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
  /** The number of round trips recorded. */
  count = 0;
  /** The longest one, in milliseconds. */
  max = 0;
  /** The number in each bucket. */
  readonly counts: Float64Array<ArrayBuffer> = new Float64Array(BUCKETS);

  /** Records `times` round trips of `ms` milliseconds. */
  record(ms: number, times: number = 1): void {
    const value = Math.min(ms * UNITS, MAX_VALUE) | 0;
    const shift = value < 2 * HALF ? 0 : 31 - HALF_BITS - Math.clz32(value);
    this.counts[shift * HALF + (value >>> shift)] += times;
    this.count += times;
    if (ms > this.max) this.max = ms;
  }

  /** The quantile at `share`, 0 to 1, in milliseconds: 0.99 is the 99th percentile. */
  quantile(share: number): number {
    const rank = share * this.count;
    for (let i = 0, sum = 0; i < BUCKETS; i++) {
      sum += this.counts[i];
      if (sum > 0 && sum >= rank) return Math.min(this.max, upper(i));
    }
    return this.max;
  }

  /** How many took more than `from` and at most `to` milliseconds, to 0.8 %. */
  between(from: number, to: number): number {
    return this.counts.reduce((sum, n, i) => upper(i) > from && upper(i) <= to ? sum + n : sum, 0);
  }

  /** Returns all counts and resets them to 0. */
  take(): Counts {
    const taken = { counts: this.counts.slice(), max: this.max };
    this.counts.fill(0);
    this.count = this.max = 0;
    return taken;
  }

  /** Adds the counts of another histogram. */
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
