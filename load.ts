/**
 * A load client for echo servers that proves what came back: no two lines it sends are the same,
 * and every byte of the echo is compared. Imported, the module is {@linkcode load}; run, it is
 * the program. Its parts are in `load/`.
 *
 * @module
 */
import type { LoadConn } from "./load/connection.ts";
import { drive, type LoadResult } from "./load/drive.ts";
import { Generator } from "./load/generator.ts";

export type { LoadConn } from "./load/connection.ts";
export type { LoadResult } from "./load/drive.ts";
export { Fault, type FaultKind, type Place } from "./load/fault.ts";
export { type Counts, Histogram } from "./load/histogram.ts";

/** What {@linkcode load} takes. */
export interface LoadOptions {
  /** Connections, 1 to 100000; 50 unless given. */
  connections?: number;
  /** Lines in flight on each, 1 unless given. All of them together have at most 512 MiB. */
  depth?: number;
  /** Bytes of a line, its newline included, 16 to 1048576; 64 unless given. */
  length?: number;
  /** Milliseconds that are measured, 5000 unless given. */
  time?: number;
  /** Milliseconds of warm-up before; a fifth of `time`, at most 1000, unless given. */
  warmup?: number;
  /**
   * Lines a second, all connections together; each is measured from when it was due. Unless
   * given, a line is sent as soon as another has come back.
   */
  rate?: number;
  /** Lines after which a connection is replaced by a new one; never unless given. */
  churn?: number;
  /** Milliseconds to wait for the next byte that is owed, 10000 unless given. */
  timeout?: number;
  /** Ends the load: what is in flight still comes back. */
  signal?: AbortSignal;
}

/**
 * Loads an echo server, and compares every byte that comes back. It ends at the first fault.
 *
 * @param connect Opens a connection.
 * @param options How many, of what, for how long.
 * @returns What was measured, and the fault that ended it, if any. Without one, everything that
 * was sent has come back.
 * @throws {RangeError} If a number is out of its range.
 *
 * @example
 * ```ts
 * import { openClientfd } from "@netp/rio/client";
 * import { load } from "@netp/rio/load";
 * import { echo, openListenfd, serve } from "@netp/rio/server";
 * import { assertEquals } from "@std/assert";
 *
 * const listenfd = openListenfd(0, { host: "127.0.0.1" });
 * const served = serve(listenfd, (connfd) => echo(connfd), { concurrency: 10 });
 *
 * const connect = () => openClientfd("127.0.0.1", listenfd.addr.port);
 * const { fault, histogram } = await load(connect, { connections: 10, time: 100 });
 * assertEquals(fault, undefined);
 * console.log(`p99: ${histogram.quantile(0.99)} ms`);
 * listenfd.close();
 * await served;
 * ```
 */
export async function load(
  connect: () => Promise<LoadConn>,
  options: LoadOptions = {},
): Promise<LoadResult> {
  const { time = 5000, warmup = Math.min(1000, time / 5), signal, ...given } = options;
  const shape = {
    connections: 50,
    depth: 1,
    length: 64,
    rate: undefined,
    churn: Infinity,
    timeout: 10_000,
    ...given,
  };
  const thread = new Generator(connect, shape, 0, shape.connections);
  return await drive([thread], { time, warmup, signal });
}

// Not awaited: the program imports this module.
if (import.meta.main) import("./load/program.ts").then(({ program }) => program());
