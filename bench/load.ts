/** Benchmarks load.ts beside `loadgen` in C, in turn, on the same server in the same run. */
import { deno, type Effort, median, run, startServer } from "./run.ts";
import { generate, LIMIT, type Load, SERVERS } from "./servers.ts";

/** A client and a load, with lines per second and CPU time per line in each round. */
export interface LoadRow extends Load {
  client: string;
  linesPerSecond: number[];
  /** Nanoseconds. */
  cpuPerLine: number[];
  /** Microseconds, medians. */
  p50: number;
  p999: number;
}

interface Report {
  rate: number;
  cpu: number;
  p50: number;
  p999: number;
}

type Client = (port: string, load: Load, seconds: number) => Promise<Report>;

const ours = (...flags: string[]): Client => async (port, load, seconds) => {
  const { connections, depth, length } = load;
  // Like loadgen, whose warm-up is the first fifth of all seconds.
  const shape = { connections, depth, length, seconds: seconds * 5 / 6 };
  const given = Object.entries(shape).map(([name, value]) => `--${name}=${value}`);
  const output = await run(
    deno("../tools/load.ts", "127.0.0.1", port, "--json", ...given, ...flags),
    {
      stderr: "null",
    },
  );
  const { summary } = JSON.parse(output.split("\n").at(-1)!);
  const { linesPerSecond: rate, busy, workers = 1, milliseconds } = summary;
  const cpu = busy * workers * 1e9 / rate;
  return { rate, cpu, p50: milliseconds.p50 * 1000, p999: milliseconds["p99.9"] * 1000 };
};

const CLIENTS: Record<string, Client> = {
  "loadgen, C": async (port, load, seconds) => {
    const report = await generate(port, load, seconds);
    return {
      rate: report["lines/s"],
      cpu: report["cpu_ns"],
      p50: report["p50us"],
      p999: report["p999us"],
    };
  },
  "load.ts": ours(),
  "load.ts --workers=2": ours("--workers=2"),
};

/** Measures both clients with each load, in turn. */
export async function measureLoad(
  loads: Load[],
  { seconds, rounds }: Effort,
): Promise<{ rows: LoadRow[]; missing: string[] }> {
  const { command } = SERVERS[LIMIT];
  if (command === undefined) return { rows: [], missing: ["load clients: the server needs gcc"] };
  const rows: LoadRow[] = [];
  for (const load of loads) {
    await using server = await startServer(LIMIT, command);
    const reports: Record<string, Report[]> = {};
    for (let round = 0; round < rounds; round++) {
      for (const [name, client] of Object.entries(CLIENTS)) {
        if (name.includes("workers") && load.connections === 1) continue;
        (reports[name] ??= []).push(await client(server.port, load, seconds));
      }
    }
    for (const [client, all] of Object.entries(reports)) {
      rows.push({
        client,
        ...load,
        linesPerSecond: all.map(({ rate }) => rate),
        cpuPerLine: all.map(({ cpu }) => cpu),
        p50: median(all.map(({ p50 }) => p50)),
        p999: median(all.map(({ p999 }) => p999)),
      });
    }
  }
  return { rows, missing: [] };
}
