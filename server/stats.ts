/** The counters of the echo server, of one thread or of many. */
import { ServeStats } from "./connections.ts";

/**
 * The counters of `echo`.
 *
 * @example
 * ```ts
 * import { EchoStats } from "@netp/rio/server";
 *
 * console.log(new EchoStats().lines); // 0
 * ```
 */
export class EchoStats {
  /** Lines, and pieces of lines, that were read. */
  lines = 0;
  /** Bytes of the lines. */
  bytesIn = 0;
  /** Bytes written back. */
  bytesOut = 0;
}

/** What the echo server has done; it can be sent from thread to thread. */
export type Stats =
  & Pick<ServeStats, "accepted" | "active" | "waiting" | "closed">
  & Pick<EchoStats, "lines" | "bytesIn" | "bytesOut">;

/** The sum of what all threads have done. */
export function total(stats: Stats[]): Stats {
  const sum: Stats = { ...new ServeStats(), ...new EchoStats() };
  for (const { closed, ...counts } of stats) {
    for (const [name, n] of Object.entries(counts)) sum[name as keyof typeof counts] += n;
    for (const [name, n] of Object.entries(closed)) sum.closed[name as keyof typeof closed] += n;
  }
  return sum;
}

/** The counters as a line of JSON. */
export function json(stats: Stats[]): string {
  return JSON.stringify({ ...total(stats), ...stats.length > 1 && { workers: stats } });
}
