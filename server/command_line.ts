/** The command line of the echo server. */
import {
  type CommandLine,
  type Flags,
  toHost,
  toInteger,
  toMilliseconds,
  UsageError,
} from "../cli/flags.ts";
import { PORT } from "../cli/program.ts";
import { LISTENQ } from "../server.ts";
import type { AdminAddr } from "./admin.ts";
import { blockList, type GateOptions, type PerClient } from "./gate.ts";

/** The command line of server.ts. */
export const COMMAND_LINE: CommandLine = {
  name: "server",
  about: `The echo server of CS:APP: prints each client and the length of each line, and writes the
lines back.`,
  positionals: [["port", `the port to listen on, 0 for any free one (default ${PORT})`]],
  flags: [
    ["host=ADDR", "the address to listen on (default: all, IPv6 and IPv4)"],
    ["unix=PATH", "listen on a Unix socket instead"],
    ["unix-mode=MODE", "the mode of its file, in octal: 666 lets all users connect"],
    ["cert=FILE", "speak TLS, with this certificate chain (PEM)"],
    ["key=FILE", "and its private key (PEM)"],
    ["backlog=N", `connections the kernel may queue (default ${LISTENQ})`],
    [
      "concurrency=N",
      "clients served at once; the others wait in the kernel's queue\n(default 1: the iterative server)",
    ],
    ["workers=N", "threads, each with its own --concurrency slots (default: one)"],
    ["idle-timeout=SEC", "close a connection idle for this long (default: no limit)"],
    ["max-seconds=SEC", "close a connection after this long (default: no limit)"],
    [
      "drain-delay=SEC",
      "go on accepting for this long after SIGINT or SIGTERM, with /ready at 503\n(default 0)",
    ],
    ["grace=SEC", "time for open connections after that (default 5)"],
    ["allow=CIDR[,CIDR]", "serve only clients with these addresses"],
    [
      "per-client=N[/BITS]",
      "connections a client may have at a time, in each thread; a client is\nan IPv4 address, or the first BITS of IPv6 (default: no limit; 64)",
    ],
    [
      "proxy-protocol=CIDR[,CIDR]",
      "accept only balancers with these addresses, which must send PROXY\nheaders (version 1 or 2), and show the clients' own addresses;\nunix: whoever connects to --unix",
    ],
    [
      "admin=[ADDR:]PORT",
      "answer GET /metrics, /ready and /stats here (default ADDR: 127.0.0.1)",
    ],
    ["names", "print the names of hosts and services, not their numbers"],
    ["log", "tell the end of each connection on standard error, with numbers, not names"],
    ["quiet", "print nothing on standard output"],
    ["stats", "print the counters as JSON at the end; SIGUSR2 prints them now"],
    ["trace", "show the lecture's calls on standard error, in order with standard output"],
  ],
  notes: "Exit codes: 0 done, 1 the network failed or the grace cut a connection, 2 usage.",
};

/** How a thread serves; can be posted to a worker. */
export interface ServerOptions extends GateOptions {
  concurrency: number;
  backlog: number;
  grace: number;
  idleTimeout: number;
  maxTime: number;
  names: boolean;
  log: boolean;
  quiet: boolean;
}

/** The server's command line, parsed. */
export interface ServerFlags {
  port: number;
  host: string | undefined;
  unix: string | undefined;
  unixMode: number | undefined;
  cert: string | undefined;
  key: string | undefined;
  /** How many threads; undefined: serve in the main thread. */
  workers: number | undefined;
  stats: boolean;
  /** The admin port, if asked for. */
  admin: AdminAddr | undefined;
  trace: boolean;
  /** Milliseconds from the signal to the drain. */
  drainDelay: number;
  options: ServerOptions;
}

/**
 * Checks and converts the flags.
 * @throws {UsageError} If a value is invalid or two flags conflict.
 */
export function serverFlags({ positionals: [port], values, set }: Flags): ServerFlags {
  const { unix, cert, key } = values;
  const integer = (name: string, max: number) => {
    const value = values[name];
    return value === undefined ? undefined : toInteger(`--${name}`, value, 1, max);
  };
  const time = (name: string, min?: number) => {
    const value = values[name];
    return value === undefined ? undefined : toMilliseconds(`--${name}`, value, min);
  };
  const addresses = (name: string) => {
    const value = values[name];
    if (name === "proxy-protocol" && value === "unix" && unix !== undefined) return value;
    try {
      if (value !== undefined) blockList(value);
    } catch (error) {
      throw new UsageError(
        `--${name} must be addresses or CIDR blocks, not ${(error as Error).message}`,
      );
    }
    return value;
  };
  const flags = {
    port: toInteger("port", port ?? String(PORT), 0, 65535),
    host: values.host === undefined ? undefined : toHost("--host", values.host),
    unix,
    unixMode: values["unix-mode"] === undefined ? undefined : mode(values["unix-mode"]),
    cert,
    key,
    workers: integer("workers", 1024),
    stats: set.has("stats"),
    admin: values.admin === undefined ? undefined : adminAddr(values.admin),
    trace: set.has("trace"),
    drainDelay: time("drain-delay", 0) ?? 0,
    options: {
      concurrency: integer("concurrency", 1_000_000) ?? 1,
      backlog: integer("backlog", 65535) ?? LISTENQ,
      grace: time("grace", 0) ?? 5000,
      idleTimeout: time("idle-timeout") ?? Infinity,
      maxTime: time("max-seconds") ?? Infinity,
      proxies: addresses("proxy-protocol"),
      allow: addresses("allow"),
      perClient: values["per-client"] === undefined ? undefined : perClient(values["per-client"]),
      names: set.has("names"),
      log: set.has("log"),
      quiet: set.has("quiet"),
    },
  };
  if ((cert === undefined) !== (key === undefined)) {
    throw new UsageError("--cert and --key go together");
  }
  if (unix?.startsWith("@")) {
    throw new UsageError(`--unix=${unix}: no abstract sockets; for a file write ./${unix}`);
  }
  if (unix === undefined && flags.unixMode !== undefined) {
    throw new UsageError("--unix-mode goes with --unix");
  }
  if (unix !== undefined && port !== undefined) {
    throw new UsageError(`port ${port} doesn't go with --unix=${unix}`);
  }
  const rules = flags.options.proxies === "unix" ? [] : ["allow", "per-client", "proxy-protocol"];
  for (const name of ["host", "backlog", "cert", "workers", ...rules]) {
    if (unix !== undefined && values[name] !== undefined) {
      throw new UsageError(`--${name} doesn't go with --unix=${unix}`);
    }
  }
  if (flags.trace && flags.workers !== undefined) {
    throw new UsageError(`--trace doesn't go with --workers=${flags.workers}`);
  }
  return flags;
}

function mode(text: string): number {
  if (/^0?[0-7]{3}$/.test(text)) return parseInt(text, 8);
  throw new UsageError(`--unix-mode must be three octal digits, such as 660, not ${text}`);
}

function perClient(text: string): PerClient {
  const [max, prefix = "64", ...more] = text.split("/");
  if (more.length > 0) throw new UsageError(`--per-client must be N or N/BITS, not ${text}`);
  return {
    max: toInteger("--per-client", max, 1, 1_000_000),
    prefix: toInteger("--per-client: BITS", prefix, 1, 128),
  };
}

function adminAddr(text: string): AdminAddr {
  const [, ipv6, host = "127.0.0.1", port] =
    /^(?:(?:\[([\da-fA-F:.]+)\]|([^:[\]/]+)):)?(\d{1,5})$/.exec(text) ?? [];
  if (Number(port) <= 65535) return { hostname: ipv6 ?? host, port: Number(port) };
  throw new UsageError(`--admin must be PORT or ADDR:PORT, not ${text}`);
}
