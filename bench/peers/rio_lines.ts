/**
 * One of the ways to read with our `Rio`: reads all that a sender sends and prints "LINES BYTES
 * SECONDS". Usage: rio_lines.ts PORT WAY [LENGTH], where LENGTH is that of records in bytes.
 */
import { MAXLINE, Rio } from "../../rio.ts";

type Count = Promise<[lines: number, bytes: number]>;

const usrbuf = new Uint8Array(65_536);
const WAYS: Record<string, (rio: Rio, length: number) => Count> = {
  async burst(rio) {
    let lines = 0, bytes = 0;
    const lengths: number[] = [];
    while (await rio.ready()) {
      rio.takeLines(usrbuf, lengths);
      for (const length of lengths) {
        lines++;
        bytes += length;
      }
    }
    return [lines, bytes];
  },
  async takeLine(rio) {
    let lines = 0, bytes = 0;
    while (await rio.ready()) {
      for (let line; (line = rio.takeLine()) !== null; lines++) bytes += line.length;
    }
    return [lines, bytes];
  },
  async forAwait(rio) {
    let lines = 0, bytes = 0;
    for await (const line of rio) {
      lines++;
      bytes += line.length;
    }
    return [lines, bytes];
  },
  async readline(rio) {
    let lines = 0, bytes = 0;
    for (let line; (line = await rio.readline()) !== null; lines++) bytes += line.length;
    return [lines, bytes];
  },
  async readlineb(rio) {
    let lines = 0, bytes = 0;
    for (let n; (n = await rio.readlineb(usrbuf, MAXLINE)) > 0; lines++) bytes += n;
    return [lines, bytes];
  },
  async readnb(rio, length) {
    let lines = 0, bytes = 0;
    for (let n; (n = await rio.readnb(usrbuf, length)) > 0; lines++) bytes += n;
    return [lines, bytes];
  },
};

const [port, way, length] = Deno.args;
using clientfd = await Deno.connect({ hostname: "127.0.0.1", port: Number(port) });
const start = performance.now();
const [lines, bytes] = await WAYS[way](new Rio(clientfd), Number(length));
console.log(lines, bytes, (performance.now() - start) / 1000);
