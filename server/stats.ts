/** The counters of the echo server, for one thread or several. */
import { ServeStats } from "./connections.ts";
import type { Refusals } from "./gate.ts";

/**
 * The counters of `echo`.
 * @example
 * ```ts
 * import { EchoStats } from "@netp/rio/server";
 *
 * console.log(new EchoStats().lines); // 0
 * ```
 */
export class EchoStats {
  /** Lines, and pieces of lines, read. */
  lines = 0;
  /** Bytes of those lines. */
  bytesIn = 0;
  /** Bytes written back. */
  bytesOut = 0;
}

/** Counters of one connection, which add up in those of `all`. */
export function partOf(all: EchoStats): EchoStats {
  return new Proxy(new EchoStats(), {
    set(own, name: keyof EchoStats, n: number) {
      all[name] += n - own[name];
      own[name] = n;
      return true;
    },
  });
}

/** The counters of one thread; can be posted to another. */
export type Stats =
  & Pick<ServeStats, "accepted" | "active" | "waiting" | "closed" | "acceptErrors">
  & Pick<EchoStats, "lines" | "bytesIn" | "bytesOut">
  & {
    /** TLS handshakes under way, and those that failed. */
    handshaking: number;
    handshakesFailed: number;
    refusals: Refusals;
  };

/** Adds up the counters of all threads. */
export function total(stats: Stats[]): Stats {
  const sum: Stats = {
    ...new ServeStats(),
    ...new EchoStats(),
    handshaking: 0,
    handshakesFailed: 0,
    refusals: { allow: 0, "per-client": 0, "proxy-protocol": 0 },
  };
  for (const { closed, refusals, ...counts } of stats) {
    for (const [name, n] of Object.entries(counts)) sum[name as keyof typeof counts] += n;
    for (const [name, n] of Object.entries(closed)) sum.closed[name as keyof typeof closed] += n;
    for (const [rule, n] of Object.entries(refusals)) sum.refusals[rule as keyof Refusals] += n;
  }
  return sum;
}

/** The counters as one line of JSON: the totals, and with several threads each of them. */
export function json(stats: Stats[]): string {
  return JSON.stringify({ ...total(stats), ...stats.length > 1 && { workers: stats } });
}
