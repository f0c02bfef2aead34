/**
 * `deno task bench:server [ROUNDS]`: our server beside its peers under `loadgen`, three
 * rounds of two seconds each in turn, standard output to a file; the median counts.
 */
import { compile, freePort, median, run, serverOn } from "./run.ts";

const ROUNDS = Number(Deno.args[0] ?? 3);
const SECONDS = 2;
const LOADS = [
  { name: "50 clients, depth 1", load: [50, 64, 1] },
  { name: "50 clients, depth 16", load: [50, 64, 16] },
  { name: "1 client, depth 128", load: [1, 64, 128] },
  { name: "1 client, 8000 B, depth 8", load: [1, 8000, 8] },
  { name: "1 client, depth 1", load: [1, 64, 1] },
];

const here = (name: string) => new URL(name, import.meta.url).pathname;
const deno = [Deno.execPath(), "run", "--quiet", "--allow-net"];
const ours = [...deno, here("../server.ts")];
const loadgen = await compile("../loadgen.c");
const fork = await compile("fork_server.c");
const SERVERS: Record<string, (port: string) => string[]> = {
  "C, fork": (port) => [fork, port],
  "Node, pipe": (port) => ["node", here("peers/node_pipe.mjs"), port],
  "ours": (port) => [...ours, port, "--concurrency=10000"],
  "plain Deno": (port) => [...deno, here("peers/plain_echo.ts"), port],
  "ours, quiet": (port) => [...ours, port, "--concurrency=10000", "--quiet"],
};

console.log(
  `| lines/s | ${Object.keys(SERVERS).join(" | ")} | of C | of Node | quiet, of plain |`,
);
console.log(`| --- |${" ---: |".repeat(Object.keys(SERVERS).length + 3)}`);
for (const { name, load } of LOADS) {
  const rates: Record<string, number[]> = {};
  for (let round = 0; round < ROUNDS; round++) {
    for (const [server, command] of Object.entries(SERVERS)) {
      const port = `${freePort()}`;
      await using _ = await serverOn(port, command(port));
      const report = await run(
        [loadgen, "127.0.0.1", port, ...load.map(String), `${SECONDS}`],
      );
      (rates[server] ??= []).push(Number(/lines\/s=(\S+)/.exec(report)![1]));
    }
  }
  const [c, node, rio, plain, quiet] = Object.values(rates).map(median);
  const cells = [
    name,
    ...[c, node, rio, plain, quiet].map((rate) => rate.toLocaleString("en")),
    ...[rio / c, rio / node, quiet / plain].map((ratio) => ratio.toFixed(2)),
  ];
  console.log(`| ${cells.join(" | ")} |`);
}
