/**
 * `deno task bench:rio [LENGTH...]`: how fast lines of 16, 64, 1000 and 8000 bytes, or of the
 * lengths given, are read from a sender that never waits, over a loopback socket: each way
 * of RIO beside the ways that people take elsewhere. All run in turn, seven rounds of half
 * a second each, and the median counts. Peers that are missing are named and left out.
 */
import { compile, has, median, run, start } from "./run.ts";

const LENGTHS = [16, 64, 1000, 8000];
const ROUNDS = 7;
const SECONDS = 0.5;
const C = "C, rio_readlineb";
const GO = "Go, ReadSlice";
/** Those that read by `for await`. */
const FOR_AWAIT = ["TextLineStream", "Node, readline for await"];

const peer = (name: string) => new URL(`peers/${name}`, import.meta.url).pathname;
const deno = [Deno.execPath(), "run", "--quiet", "--no-check", "--no-config", "--allow-all"];
const rio = (way: string) => (port: string, length: number) => [
  ...deno,
  peer("rio_lines.ts"),
  port,
  way,
  `${length}`,
];
const c = await compile("rio_lines.c");
const go = has("go") ? await compile("lines.go") : undefined;
type Peer = (port: string, length: number) => string[];
const node = (program: string, way: string): Peer | undefined =>
  has(program) ? (port) => [program, peer("node_lines.mjs"), port, way] : undefined;

const PEERS: Record<string, Peer | undefined> = {
  [C]: (port) => [c, port],
  [GO]: go === undefined ? undefined : (port) => [go, port],
  "ready, takeLines": rio("burst"),
  "ready, takeLine": rio("takeLine"),
  "for await": rio("forAwait"),
  "await readline": rio("readline"),
  "await readlineb": rio("readlineb"),
  "await readnb": rio("readnb"),
  "TextLineStream": (port) => [...deno, peer("stream_lines.ts"), port],
  "Node, readline event": node("node", "event"),
  "Node, readline for await": node("node", "forAwait"),
  "Node, data event": node("node", "data"),
  "Bun, readline for await": node("bun", "forAwait"),
  "Python, rfile": has("python3")
    ? (port) => ["python3", peer("python_lines.py"), port]
    : undefined,
};
const missing = new Set(Object.keys(PEERS).filter((name) => PEERS[name] === undefined));

const sender = await compile("sender.c");
for (const length of Deno.args.length > 0 ? Deno.args.map(Number) : LENGTHS) {
  const rates: Record<string, number[]> = {};
  const [process, port] = await start([sender, `${length}`, `${SECONDS}`]);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, command] of Object.entries(PEERS)) {
      if (missing.has(name)) continue;
      try {
        const output = await run(command!(port, length));
        const [lines, bytes, seconds] = output.split(" ").map(Number);
        if (lines * length !== bytes) throw new Error(`${name} lost bytes: ${output}`);
        (rates[name] ??= []).push(lines / seconds);
      } catch (error) {
        if (round > 0) throw error;
        missing.add(name);
      }
    }
  }
  process.kill();
  await process.status;

  const medians = new Map(Object.entries(rates).map(([name, rates]) => [name, median(rates)]));
  const best = Math.max(...FOR_AWAIT.map((name) => medians.get(name) ?? 0));
  const of = (rate: number, peer: number | undefined) => peer ? (rate / peer).toFixed(2) : "";
  console.log(`\n| ${length} B | million lines/s | MB/s | of C | of Go | of the best for await |`);
  console.log("| --- | ---: | ---: | ---: | ---: | ---: |");
  for (const [name, rate] of medians) {
    const cells = [
      name,
      (rate / 1e6).toPrecision(3),
      (rate * length / 1e6).toFixed(0),
      of(rate, medians.get(C)),
      of(rate, medians.get(GO)),
      of(rate, best),
    ];
    console.log(`| ${cells.join(" | ")} |`);
  }
}
if (missing.size > 0) console.log(`\nleft out, since they are missing: ${[...missing].join(", ")}`);
