/**
 * `deno task bench:rio`: how fast lines are read from a sender that never waits, over
 * a loopback socket. All peers run in turn, several rounds of a second each, and the
 * median counts. `deno task bench:rio 64 1000` takes these line lengths only.
 */
import { compile, median, run, start } from "./run.ts";

const LENGTHS = [16, 64, 1000, 8000];
const ROUNDS = 5;
const SECONDS = 1;

const deno = [Deno.execPath(), "run", "--allow-net"];
const peer = (name: string) => new URL(`peers/${name}`, import.meta.url).pathname;

const lengths = Deno.args.length > 0 ? Deno.args.map(Number) : LENGTHS;
const sender = await compile("sender.c");
const PEERS: Record<string, (port: string) => string[]> = {
  "C, byte by byte": await compile("rio_lines.c").then((c) => (port) => [
    c,
    port,
  ]),
  "rio, buffered": (port) => [...deno, peer("rio_lines.ts"), port, "buffered"],
  "rio, awaited": (port) => [...deno, peer("rio_lines.ts"), port, "awaited"],
  "Node, data event": (port) => ["node", peer("node_lines.mjs"), port, "data"],
  "Node, readline": (
    port,
  ) => ["node", peer("node_lines.mjs"), port, "readline"],
  "Deno, TextDecoderStream": (port) => [...deno, peer("stream_lines.ts"), port],
  "Python, rfile": (port) => ["python3", peer("python_lines.py"), port],
};
const JAVASCRIPT = /^(Node|Deno)/;

for (const length of lengths) {
  const rates: Record<string, number[]> = {};
  const [process, port] = await start([sender, `${length}`, `${SECONDS}`]);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, command] of Object.entries(PEERS)) {
      const [lines, bytes, seconds] = (await run(command(port))).split(" ")
        .map(Number);
      if (lines * length !== bytes) throw new Error(`${name} lost bytes`);
      (rates[name] ??= []).push(lines / seconds);
    }
  }
  process.kill();
  await process.status;

  const medians = Object.entries(rates).map(([name, rates]) => [name, median(rates)] as const);
  const c = medians[0][1];
  const best = Math.max(
    ...medians.filter(([name]) => JAVASCRIPT.test(name)).map(([, rate]) => rate),
  );
  console.log(
    `\n| ${length} B | lines/s | MB/s | of C | of the best JavaScript |`,
  );
  console.log("| --- | ---: | ---: | ---: | ---: |");
  for (const [name, rate] of medians) {
    const cells = [
      name,
      Math.round(rate).toLocaleString("en"),
      (rate * length / 1e6).toFixed(0),
      (rate / c).toFixed(2),
      (rate / best).toFixed(2),
    ];
    console.log(`| ${cells.join(" | ")} |`);
  }
}
