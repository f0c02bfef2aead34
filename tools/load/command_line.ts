/** The command line of the load client, and the line it prints at the start. */
import {
  type CommandLine,
  type Flags,
  toInteger,
  toMilliseconds,
  UsageError,
} from "../../cli/flags.ts";
import { show, TARGET, type Target, toTarget } from "../../client/target.ts";
import { count } from "../../net/errors.ts";
import { FAULTS } from "./fault.ts";
import { MAX_IN_FLIGHT, MAX_LENGTH, type Shape } from "./generator.ts";
import { MAX_CONNECTIONS, MIN_LENGTH } from "./lines.ts";

const { corrupt, truncated, reset, refused, timeout } = FAULTS;

/** The command line of load.ts. */
export const COMMAND_LINE: CommandLine = {
  name: "load",
  about:
    `A load client for echo servers: sends lines that all differ, compares every byte that comes
back, and measures the round trip of each line. It stops at the first fault.`,
  positionals: TARGET.positionals,
  flags: [
    ...TARGET.flags,
    ["connections=N", `connections at once, ${MAX_CONNECTIONS} at most (default 50)`],
    ["depth=N", "lines in flight on each (default 1)"],
    [
      "length=N",
      `bytes per line, newline included, ${MIN_LENGTH} to ${MAX_LENGTH} (default 64)`,
    ],
    ["seconds=SEC", "how long to measure (default 5), after a warm-up of a fifth, at\nmost 1 s"],
    [
      "rate=N",
      "lines per second, over all connections; each is timed from\nwhen it was due (default: send one when one comes back)",
    ],
    ["churn=K", "a new connection every K lines"],
    ["workers=N", "threads, which share the connections (default: one)"],
    ["timeout=SEC", "time to connect, and to wait for the next byte (default 10)"],
    ["json", "print a line of JSON per second, and the summary as JSON"],
  ],
  notes: `At most ${MAX_IN_FLIGHT / 2 ** 20} MiB are in flight.
Exit codes: 0 all came back, 1 the network failed, 2 usage, ${corrupt} corrupt (a byte differs from
the one sent), ${truncated} truncated (the peer closed early), ${reset} reset, ${refused} refused, ${timeout} timeout.
Ctrl-C stops it, prints the summary so far, and exits with 130.`,
};

/** The load client's command line, parsed. */
export interface Plan {
  target: Target;
  shape: Shape;
  time: number;
  warmup: number;
  workers: number | undefined;
  json: boolean;
}

/**
 * Checks and converts the flags.
 *
 * @throws {UsageError} If a value is invalid or two flags conflict.
 */
export async function loadFlags(flags: Flags): Promise<Plan> {
  const { values, set } = flags;
  const integer = (name: string, min: number, max: number) => {
    const value = values[name];
    return value === undefined ? undefined : toInteger(`--${name}`, value, min, max);
  };
  const time = (name: string, seconds: string) =>
    toMilliseconds(`--${name}`, values[name] ?? seconds);
  const shape = {
    connections: integer("connections", 1, MAX_CONNECTIONS) ?? 50,
    depth: integer("depth", 1, MAX_IN_FLIGHT) ?? 1,
    length: integer("length", MIN_LENGTH, MAX_LENGTH) ?? 64,
    rate: integer("rate", 1, 10_000_000),
    churn: integer("churn", 1, 1_000_000_000) ?? Infinity,
    timeout: time("timeout", "10"),
  };
  const workers = integer("workers", 1, Math.min(256, shape.connections));
  const bytes = shape.connections * shape.depth * shape.length;
  if (bytes > MAX_IN_FLIGHT) {
    throw new UsageError(
      `--connections, --depth and --length make ${bytes} bytes in flight, ${MAX_IN_FLIGHT} at most`,
    );
  }
  const measured = time("seconds", "5");
  return {
    target: await toTarget(flags),
    shape,
    time: measured,
    warmup: Math.min(1000, measured / 5),
    workers,
    json: set.has("json"),
  };
}

/** Describes the load in one line. */
export function planned({ target, shape, time, warmup, workers }: Plan): string {
  const { connections, depth, length, rate, churn } = shape;
  const what = [
    `${count(connections, "connection")}, ${
      count(depth, "line")
    } of ${length} bytes in flight on each`,
    ...rate === undefined ? [] : [count(rate, "line") + " a second in all"],
    ...churn === Infinity ? [] : [`a new connection every ${count(churn, "line")}`],
    ...workers === undefined ? [] : [count(workers, "thread")],
    `${time / 1000} s after ${warmup / 1000} s of warm-up`,
  ];
  return `load: ${show(target)}: ${what.join(", ")}`;
}
