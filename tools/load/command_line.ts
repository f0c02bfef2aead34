/** The command line of the load client, and the line it prints at the start. */
import { isIP } from "node:net";
import { type CommandLine, type Flags, toInteger, UsageError } from "../../cli/flags.ts";
import { show, TARGET, toTarget } from "../../client/target.ts";
import { plural } from "../../net/text.ts";
import type { Endpoint } from "./connect.ts";
import { EXIT_CODES } from "./fault.ts";
import { MAX_IN_FLIGHT, MAX_LENGTH, planOf, type Shape } from "./generator.ts";
import { MAX_CONNECTIONS, MAX_LINES, MIN_LENGTH } from "./lines.ts";

const { corrupt, truncated, reset, refused, timeout } = EXIT_CODES;

/** The command line of load.ts. */
export const COMMAND_LINE: CommandLine = {
  name: "load",
  about:
    `A load client for echo servers: sends lines that all differ, compares every byte that comes
back, and measures the round trip of each line.`,
  positionals: TARGET.positionals,
  flags: [
    ...TARGET.flags,
    ["connections=N", `connections at once, ${MAX_CONNECTIONS} at most (default 50)`],
    ["depth=N", "lines in flight on each (default 1)"],
    [
      "length=N",
      `bytes per line, newline included, ${MIN_LENGTH} to ${MAX_LENGTH} (default 64)`,
    ],
    [
      "seconds=TIME",
      "how long to measure (default 5 s), after a warm-up of a fifth,\nat most 1 s",
    ],
    ["lines=N", "send N lines in all, without a warm-up, and end when they are\nback"],
    [
      "rate=N",
      "lines per second, over all connections; each is timed from\nwhen it was due (default: send one when one comes back)",
    ],
    ["churn=K", "a new connection every K lines"],
    ["workers=N", "threads, which share the connections (default: one)"],
    ["timeout=TIME", "time to connect, and to wait for the next byte (default 10 s)"],
    [
      "on-fault=count",
      "count faults by kind, connect again and go on (default: stop\nat the first)",
    ],
    [
      "source=ADDR,...",
      "addresses to connect from, in turn: each has 28232 ports\n(not with --tls, --unix)",
    ],
    ["json", "print a line of JSON per second, and the summary as JSON"],
  ],
  notes: `A TIME is 10s, 500ms or 2m; a bare number is seconds. At most ${
    MAX_IN_FLIGHT / 2 ** 20
  } MiB are in flight.
Exit codes: 0 all came back, 1 the network failed, 2 usage, ${corrupt} corrupt (a byte differs from
the one sent), ${truncated} truncated (the peer closed early), ${reset} reset, ${refused} refused, ${timeout} timeout; of
several that were counted, the first in this order, 1 the last.
Ctrl-C ends it at once, prints the summary so far, and exits with 130.`,
};

/** The load client's command line, parsed. */
export interface Plan {
  endpoint: Endpoint;
  shape: Shape;
  time: number;
  warmup: number;
  workers: number | undefined;
  json: boolean;
}

/**
 * Checks and converts the flags.
 * @throws {UsageError} If a value is invalid or two flags conflict.
 */
export async function loadFlags(flags: Flags): Promise<Plan> {
  const { values, set } = flags;
  const integer = (name: string, min: number, max: number) => {
    const value = values[name];
    return value === undefined ? undefined : toInteger(`--${name}`, value, min, max);
  };
  const time = (name: string) => {
    const value = values[name];
    return value === undefined ? undefined : toTime(`--${name}`, value);
  };
  const plan = planOf({
    connections: integer("connections", 1, MAX_CONNECTIONS),
    depth: integer("depth", 1, MAX_IN_FLIGHT),
    length: integer("length", MIN_LENGTH, MAX_LENGTH),
    rate: integer("rate", 1, 10_000_000),
    lines: integer("lines", 1, MAX_LINES),
    churn: integer("churn", 1, 1_000_000_000),
    timeout: time("timeout"),
    onFault: toOnFault(values["on-fault"]),
    time: time("seconds"),
  });
  const { shape } = plan;
  const workers = integer("workers", 1, Math.min(256, shape.connections));
  const bytes = shape.connections * shape.depth * shape.length;
  if (bytes > MAX_IN_FLIGHT) {
    throw new UsageError(
      `--connections, --depth and --length make ${bytes} bytes in flight, ${MAX_IN_FLIGHT} at most`,
    );
  }
  const target = await toTarget(flags);
  const sources = values.source?.split(",") ?? [];
  const odd = sources.find((source) => isIP(source) === 0);
  if (odd !== undefined) throw new UsageError(`--source must be IP addresses, not ${odd}`);
  if (sources.length > 0 && (target.tls || target.unix !== undefined)) {
    throw new UsageError("--source doesn't go with --tls or --unix");
  }
  return { ...plan, endpoint: { target, sources }, workers, json: set.has("json") };
}

function toOnFault(text: string | undefined): Shape["onFault"] | undefined {
  if (text === undefined || text === "stop" || text === "count") return text;
  throw new UsageError(`--on-fault must be stop or count, not ${text}`);
}

const UNITS: Record<string, number> = { ms: 1, s: 1000, m: 60_000 };

/** Converts a time, such as `10s`, `500ms`, `2m` or a number of seconds, to milliseconds. */
function toTime(name: string, text: string): number {
  const [, number, unit = "s"] = /^(\d{1,10}(?:\.\d+)?)(ms|s|m)?$/.exec(text) ?? [];
  const ms = Number(number) * UNITS[unit];
  if (ms >= 1 && ms <= 1e9) return ms;
  throw new UsageError(
    `${name} must be a time such as 10s, 500ms or 2m, 1ms to 1000000s, not ${text}`,
  );
}

/** Describes the load in one line. */
export function planned({ endpoint, shape, time, warmup, workers }: Plan): string {
  const { connections, depth, length, rate, lines, churn } = shape;
  const bounds = [
    ...lines === Infinity ? [] : [`${plural(lines, "line")} in all`],
    ...time === Infinity ? [] : [`${time / 1000} s after ${warmup / 1000} s of warm-up`],
  ];
  const what = [
    `${plural(connections, "connection")}, ${
      plural(depth, "line")
    } of ${length} bytes in flight on each`,
    ...rate === undefined ? [] : [plural(rate, "line") + " a second in all"],
    ...churn === Infinity ? [] : [`a new connection every ${plural(churn, "line")}`],
    ...workers === undefined ? [] : [plural(workers, "thread")],
    ...bounds,
  ];
  return `load: ${show(endpoint.target)}: ${what.join(", ")}`;
}
