/**
 * Our reader: reads all that a sender sends and prints "LINES BYTES SECONDS".
 * Usage: rio_lines.ts PORT buffered|awaited.
 */
import { Rio } from "../../rio.ts";

async function buffered(rio: Rio): Promise<[lines: number, bytes: number]> {
  let lines = 0, bytes = 0;
  const lengths: number[] = [];
  while (await rio.ready()) {
    rio.takeLines(lengths);
    for (const length of lengths) {
      lines++;
      bytes += length;
    }
  }
  return [lines, bytes];
}

async function awaited(rio: Rio): Promise<[lines: number, bytes: number]> {
  let lines = 0, bytes = 0;
  for (let line; (line = await rio.readline()) !== null;) {
    lines++;
    bytes += line.length;
  }
  return [lines, bytes];
}

const [port, way] = Deno.args;
using clientfd = await Deno.connect({ port: Number(port) });
const start = performance.now();
const [lines, bytes] = await (way === "buffered" ? buffered : awaited)(
  new Rio(clientfd),
);
console.log(lines, bytes, (performance.now() - start) / 1000);
