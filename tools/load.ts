/**
 * A load client for echo servers that checks what comes back: no two lines it sends are the same,
 * and it compares every byte of the echo. Import the module to use {@linkcode load}, or run it as
 * a program. Its parts are in `tools/load/`.
 *
 * @module
 */
import type { LoadConn } from "./load/connection.ts";
import { drive, type LoadResult } from "./load/drive.ts";
import { Generator, planOf } from "./load/generator.ts";

export type {
  /** What a load needs of a connection. */
  LoadConn,
} from "./load/connection.ts";
export type {
  /** The measurements of a load. */
  LoadResult,
} from "./load/drive.ts";
export {
  /** A fault that ended a load early. */
  Fault,
  /** What went wrong with a connection. */
  type FaultKind,
  /** Where a fault was found. */
  type Place,
} from "./load/fault.ts";
export {
  /** A histogram's data, as posted to another thread. */
  type Counts,
  /** Counts round trips by duration. */
  Histogram,
} from "./load/histogram.ts";

/** Options of {@linkcode load}. */
export interface LoadOptions {
  /** The number of connections, 1 to 100000. Default: 50. */
  connections?: number;
  /**
   * Lines in flight on each connection, at least 1. At most 512 MiB may be in flight in all.
   * Default: 1.
   */
  depth?: number;
  /** Bytes per line, newline included, 16 to 1048576. Default: 64. */
  length?: number;
  /** Milliseconds to measure. Default: 5000, or with `lines` no bound. */
  time?: number;
  /**
   * Milliseconds of warm-up before that. Default: a fifth of `time`, at most 1000; with `lines`
   * none.
   */
  warmup?: number;
  /**
   * Lines per second, over all connections; each round trip is measured from when its line was
   * due. Default: a line is sent as soon as another has come back.
   */
  rate?: number;
  /** Lines to send, over all connections. The load ends when they are back. Default: no bound. */
  lines?: number;
  /** Lines after which a connection is replaced by a new one. Default: never. */
  churn?: number;
  /** Milliseconds to wait for the next byte that the server owes. Default: 10000. */
  timeout?: number;
  /**
   * `stop` ends the load at the first fault. `count` counts faults by their kind, and connects
   * again 0.1 s later, for as long as the load lasts; what was in flight is lost. Default: `stop`.
   */
  onFault?: "stop" | "count";
  /** Ends the load at once. A line in flight counts with its time so far. */
  signal?: AbortSignal;
}

/**
 * Loads an echo server over the connections that `connect` opens, and compares every byte that
 * comes back. It stops at the first fault, unless they are counted. Returns the measurements and
 * that fault, if any; without a fault or a signal, everything sent has come back.
 * @throws {RangeError} If an option is out of range.
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
  connect: (connection: number) => Promise<LoadConn>,
  options: LoadOptions = {},
): Promise<LoadResult> {
  const { shape, ...times } = planOf(options);
  const thread = new Generator(connect, shape, 0, shape.connections);
  return await drive([thread], { ...times, signal: options.signal });
}

// Not awaited: the program imports this module.
if (import.meta.main) import("./load/program.ts").then(({ program }) => program());
