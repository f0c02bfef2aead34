/**
 * `deno task bench:rio [SECONDS] [ROUNDS] [LENGTH...]`: how fast RIO and other line readers read
 * lines of 16, 64, 1000 and 8000 bytes, or of the lengths given, over a loopback socket from a
 * sender that never waits.
 */
import {
  compile,
  deno,
  type Effort,
  effort,
  has,
  here,
  median,
  printMissing,
  printTable,
  run,
  start,
} from "./run.ts";

/** Bytes per line, one table each. */
export const LENGTHS = [16, 64, 1000, 8000];
const C = "C, rio_readlineb";
const GO = "Go, ReadSlice";
/** The readers that use `for await`. */
const FOR_AWAIT = ["TextLineStream", "Node, readline for await"];

/** A way to read lines, with lines per second in each round. */
export interface RioRow {
  peer: string;
  length: number;
  linesPerSecond: number[];
}

type Peer = (port: string, length: number) => string[];
const rio = (way: string): Peer => (port, length) =>
  deno("peers/rio_lines.ts", port, way, `${length}`);
const node = (program: string, way: string): Peer | undefined =>
  has(program) ? (port) => [program, here("peers/node_lines.mjs"), port, way] : undefined;
const compiled = (program: string | undefined): Peer | undefined =>
  program === undefined ? undefined : (port) => [program, port];

const PEERS: Record<string, Peer | undefined> = {
  [C]: compiled(await compile("peers/rio_lines.c")),
  [GO]: compiled(await compile("peers/lines.go")),
  "ready, takeLines": rio("burst"),
  "ready, takeLine": rio("takeLine"),
  "for await": rio("forAwait"),
  "await readline": rio("readline"),
  "await readlineb": rio("readlineb"),
  "await readnb": rio("readnb"),
  "TextLineStream": (port) => deno("peers/stream_lines.ts", port),
  "Node, readline event": node("node", "event"),
  "Node, readline for await": node("node", "forAwait"),
  "Node, data event": node("node", "data"),
  "Bun, readline for await": node("bun", "forAwait"),
  "Python, rfile": has("python3")
    ? (port) => ["python3", here("peers/python_lines.py"), port]
    : undefined,
};

/** Measures each way to read lines, in turn. */
export async function measureRio(
  lengths: number[],
  { seconds, rounds }: Effort,
): Promise<{ rows: RioRow[]; missing: string[] }> {
  const missing = new Set(Object.keys(PEERS).filter((name) => PEERS[name] === undefined));
  const sender = await compile("peers/sender.c");
  if (sender === undefined) return { rows: [], missing: ["all readers: the sender needs gcc"] };
  const rows: RioRow[] = [];
  for (const length of lengths) {
    const rates: Record<string, number[]> = {};
    const [process, port] = await start([sender, `${length}`, `${seconds}`]);
    for (let round = 0; round < rounds; round++) {
      for (const [name, command] of Object.entries(PEERS)) {
        if (missing.has(name)) continue;
        try {
          const output = await run(command!(port, length));
          const [lines, bytes, time] = output.split(" ").map(Number);
          if (lines === 0 || lines * length !== bytes) {
            throw new Error(`${name} lost bytes: ${output}`);
          }
          (rates[name] ??= []).push(lines / time);
        } catch (error) {
          if (round > 0) throw error;
          missing.add(name);
        }
      }
    }
    process.kill();
    await process.status;
    const measured = Object.entries(rates).map(([peer, linesPerSecond]) => ({
      peer,
      length,
      linesPerSecond,
    }));
    printLength(length, measured);
    rows.push(...measured);
  }
  return { rows, missing: [...missing] };
}

function printLength(length: number, rows: RioRow[]): void {
  const medians = new Map(rows.map(({ peer, linesPerSecond }) => [peer, median(linesPerSecond)]));
  const best = Math.max(...FOR_AWAIT.map((name) => medians.get(name) ?? 0));
  const of = (rate: number, peer: number | undefined) => peer ? (rate / peer).toFixed(2) : "";
  printTable(
    [`${length} B`, "million lines/s", "MB/s", "of C", "of Go", "of the best for await"],
    [...medians].map(([name, rate]) => [
      name,
      (rate / 1e6).toPrecision(3),
      (rate * length / 1e6).toFixed(0),
      of(rate, medians.get(C)),
      of(rate, medians.get(GO)),
      of(rate, best),
    ]),
  );
}

if (import.meta.main) {
  const lengths = Deno.args.slice(2).map(Number);
  const { missing } = await measureRio(lengths.length > 0 ? lengths : LENGTHS, effort(1.5, 3));
  printMissing(missing);
}
