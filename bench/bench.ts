/**
 * `deno task bench [SECONDS] [ROUNDS] [FILE]`: all benchmarks. By default each cell takes 0.3
 * seconds in three rounds, and longer with many connections or for programs that start cold. Prints
 * medians and ratios, and writes everything to `bench/results.json` or `FILE`. It takes fifteen minutes.
 */
import { type ClientRow, measureClients } from "./clients.ts";
import { curve as curveOf, CURVE_SERVERS } from "./curve.ts";
import { type LoadRow, measureLoad } from "./load.ts";
import { LENGTHS, measureRio, type RioRow } from "./rio.ts";
import { type Effort, effort, has, here, printMissing } from "./run.ts";
import { type Load, measureServers, type ServerRow, SERVERS } from "./servers.ts";
import { TABLES } from "./tables.ts";

/** The contents of `results.json`. */
export interface Results extends Effort {
  date: string;
  /** How long the run took. */
  minutes: number;
  machine: { cpu: string; cores: number; gigabytes: number; os: string };
  versions: Record<string, string>;
  /** What couldn't be measured, and why. */
  missing: string[];
  servers: ServerRow[];
  curve: ServerRow[];
  clients: ClientRow[];
  load: LoadRow[];
  rio: RioRow[];
}

/** Connections, lines in flight on each, bytes of a line. */
const SERVER_LOADS = [
  [1, 1, 64],
  [50, 1, 64],
  [200, 1, 64],
  [1000, 1, 64],
  [3000, 1, 64],
  [50, 16, 64],
  [1, 128, 64],
  [50, 1, 8000],
  [1000, 1, 8000],
  [50, 16, 8000],
];
const CLIENT_LOADS = [[1, 1, 64], [50, 1, 64], [1000, 1, 64], [50, 16, 64], [50, 16, 8000]];
const PEERS = Object.keys(SERVERS);
const FILE_SIZE = 100_000_000;

const given = effort(0.3, 3);
/** Whether this is only a smoke test. */
const quick = given.seconds < 0.1;
const file = Deno.args[2] ?? here("results.json");
const loads = (shapes: number[][]): Load[] =>
  shapes.map(([connections, depth, length]) => ({ connections, depth, length }))
    .filter(({ connections, depth }) => !quick || connections + depth === 51);

const start = performance.now();
const servers = await measureServers(loads(SERVER_LOADS), PEERS, given);
// Ratios of a tenth are what it shows: longer and more often than the rest.
const exact = { seconds: given.seconds * 2, rounds: given.rounds * 2 };
const curve = await measureServers(curveOf(quick ? [50] : undefined), CURVE_SERVERS, exact);
const clients = await measureClients(quick ? FILE_SIZE / 100 : FILE_SIZE, given.rounds);
// Clients and readers in JavaScript start cold each time, unlike servers.
const warm = { ...given, seconds: given.seconds * 4 };
const load = await measureLoad(loads(CLIENT_LOADS), warm);
const rio = await measureRio(quick ? [64] : LENGTHS, warm);
const missing = [servers, curve, clients, load, rio].flatMap((part) => part.missing);
printMissing(missing);

const results: Results = {
  date: new Date().toISOString().slice(0, 10),
  minutes: (performance.now() - start) / 60_000,
  ...given,
  machine: machine(),
  versions: versions(),
  missing,
  servers: servers.rows,
  curve: curve.rows,
  clients: clients.rows,
  load: load.rows,
  rio: rio.rows,
};
console.log(`${TABLES.clients(results)}\n\n${TABLES.load(results)}\n`);
const short = (_: string, value: unknown) =>
  typeof value === "number" ? Number(value.toPrecision(5)) : value;
// One row per line.
const text = JSON.stringify(results, short, 1).replace(/\n {3,}/g, " ").replace(/\n {2}}/g, " }");
await Deno.writeTextFile(file, text + "\n");
console.log(`written to ${file}`);

function machine() {
  const cpu = /^model name\s*:\s*(.*)$/m.exec(read("/proc/cpuinfo"))?.[1] ?? Deno.build.arch;
  const gigabytes = Math.round(Deno.systemMemoryInfo().total / 2 ** 30);
  return {
    cpu,
    cores: navigator.hardwareConcurrency,
    gigabytes,
    os: `${Deno.build.os} ${Deno.osRelease()}`,
  };
}

function read(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}

/** The versions of the programs on this machine, as each prints it. */
function versions(): Record<string, string> {
  const commands: [name: string, command: string][] = [
    ["node", "node --version"],
    ["bun", "bun --version"],
    ["go", "go version"],
    ["gcc", "gcc -dumpfullversion"],
    ["python3", "python3 --version"],
    ["socat", "socat -V"],
    ["ncat", "ncat --version 2>&1"],
  ];
  const found: Record<string, string> = { deno: Deno.version.deno, v8: Deno.version.v8 };
  for (const [name, command] of commands) {
    if (!has(name)) continue;
    const { stdout } = new Deno.Command("sh", { args: ["-c", command] }).outputSync();
    found[name] = /\d+(\.\d+)+/.exec(new TextDecoder().decode(stdout))?.[0] ?? "?";
  }
  return found;
}
