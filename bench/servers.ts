/** Benchmarks echo servers with `loadgen`, in C, so that no client's runtime is measured. */
import {
  compile,
  deno,
  type Effort,
  has,
  here,
  median,
  printTable,
  run,
  type Running,
  startServer,
} from "./run.ts";

/** A load for `loadgen`: connections, lines in flight on each, and bytes per line. */
export interface Load {
  connections: number;
  depth: number;
  length: number;
}

/** A server and a load: lines per second in each round, and latencies in µs, medians. */
export interface ServerRow extends Load {
  peer: string;
  linesPerSecond: number[];
  p50: number;
  p90: number;
  p99: number;
  p999: number;
  max: number;
}

/** How to start a server, if what it needs is installed. */
interface Server {
  command?: (port: string) => string[];
  env?: Record<string, string>;
  /** The most connections to measure: one process each takes long to start. */
  max?: number;
}

const FAIR = { DENO_TOKIO_MAX_IO_EVENTS_PER_TICK: "100" };
/** The others listen on this address, too: on `::` an IPv4 client costs the kernel more. */
const OURS = ["--host=127.0.0.1", "--concurrency=10000", "--backlog=4096"];
const ours = (...flags: string[]): Server => ({
  command: (port) => deno("../server.ts", port, ...OURS, ...flags),
});
const plain = (...args: string[]) => deno("peers/plain_echo.ts", ...args);
const compiled = (program: string | undefined, max?: number): Server => ({
  command: program === undefined ? undefined : (port) => [program, port],
  max,
});
const installed = (program: string, args: (port: string) => string[], max?: number): Server => ({
  command: has(program) ? (port) => [program, ...args(port)] : undefined,
  max,
});

/** The upper limit: one thread, with as few system calls as possible. */
export const LIMIT = "C, epoll";

/** All servers, by name. */
export const SERVERS: Record<string, Server> = {
  "ours": ours(),
  "ours, --quiet": ours("--quiet"),
  "ours, --workers=2": ours("--workers=2"),
  "plain Deno": { command: plain },
  "plain Deno, 64 KiB": { command: (port) => plain(port, "65536") },
  "plain Deno, fair": { command: plain, env: FAIR },
  "node:net in Deno": { command: (port) => deno("peers/node_pipe.mjs", port) },
  "node:net in Node": installed("node", (port) => [here("peers/node_pipe.mjs"), port]),
  "node:net in Bun": installed("bun", (port) => [here("peers/node_pipe.mjs"), port]),
  [LIMIT]: compiled(await compile("peers/epoll_server.c")),
  "C, fork": compiled(await compile("peers/fork_server.c"), 1000),
  "Go": compiled(await compile("peers/echo_server.go")),
  "Python, asyncio": installed("python3", (port) => [here("peers/python_echo.py"), port]),
  "socat": installed(
    "socat",
    (port) => [`TCP-LISTEN:${port},fork,reuseaddr,backlog=4096,nodelay`, "PIPE"],
    200,
  ),
  "ncat": installed(
    "ncat",
    (port) => ["-l", "127.0.0.1", port, "-k", "-m", "4096", "-e", "/bin/cat"],
    200,
  ),
};

const loadgen = await compile("loadgen.c");

/** Runs `loadgen`, and returns the numbers it prints, by name. */
export async function generate(
  port: string,
  { connections, depth, length }: Load,
  seconds: number,
): Promise<Record<string, number>> {
  if (loadgen === undefined) throw new Error("loadgen needs gcc");
  const args = ["127.0.0.1", port, connections, length, depth, seconds].map(String);
  const report = await run([loadgen, ...args]);
  const pairs = report.split(" ").map((pair) => pair.split("="));
  return Object.fromEntries(pairs.map(([name, value]) => [name, Number(value)]));
}

/**
 * Measures the servers with each load. All are started again for each load, and then measured in
 * turn, round after round, while the others are idle.
 */
export async function measureServers(
  loads: Load[],
  names: string[],
  { seconds, rounds }: Effort,
): Promise<{ rows: ServerRow[]; missing: string[] }> {
  const rows: ServerRow[] = [];
  const missing = names.filter((name) => SERVERS[name].command === undefined);
  for (const load of loads) {
    await using stack = new AsyncDisposableStack();
    const running = new Map<string, Running>();
    const reports: Record<string, Record<string, number>[]> = {};
    const attempt = async (name: string, act: () => Promise<void>) => {
      try {
        await act();
      } catch (error) {
        running.delete(name);
        delete reports[name];
        missing.push(`${name} with ${show(load)} (${(error as Error).message})`);
      }
    };
    for (const name of names) {
      const { command, env, max = Infinity } = SERVERS[name];
      if (command === undefined || load.connections > max) continue;
      await attempt(name, async () => {
        running.set(name, stack.use(await startServer(name, command, env)));
      });
    }
    for (let round = 0; round < rounds; round++) {
      for (const [name, { port }] of running) {
        await attempt(name, async () => {
          (reports[name] ??= []).push(await generate(port, load, seconds * patience(load)));
        });
      }
    }
    const measured = Object.entries(reports).map(([peer, all]) => {
      const of = (name: string) => median(all.map((report) => report[name]));
      return {
        peer,
        ...load,
        linesPerSecond: all.map((report) => report["lines/s"]),
        p50: of("p50us"),
        p90: of("p90us"),
        p99: of("p99us"),
        p999: of("p999us"),
        max: of("max_us"),
      };
    });
    printLoad(load, measured);
    rows.push(...measured);
  }
  return { rows, missing };
}

/** The more connections, the longer: all should be accepted by the end of the warm-up. */
function patience({ connections }: Load): number {
  return 1 + connections / 400;
}

/** Describes a load. */
export function show({ connections, depth, length }: Load): string {
  return `${connections} connections, depth ${depth}, ${length} B`;
}

function printLoad(load: Load, rows: ServerRow[]): void {
  if (rows.length === 0) return;
  const limit = rows.find(({ peer }) => peer === LIMIT) ?? rows.at(-1)!;
  const rate = ({ linesPerSecond }: ServerRow) => median(linesPerSecond);
  const ms = (microseconds: number) => (microseconds / 1000).toPrecision(3);
  printTable(
    [show(load), "lines/s", `of ${limit.peer}`, "p50, ms", "p99", "p99.9", "max"],
    rows.map((row) => [
      row.peer,
      rate(row).toLocaleString("en"),
      (rate(row) / rate(limit)).toFixed(2),
      ...[row.p50, row.p99, row.p999, row.max].map(ms),
    ]),
  );
}
