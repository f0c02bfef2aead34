/**
 * Line readers of Node and Bun: node:readline, by its event or with `for await`, and a
 * splitter of the `data` event. Reads all that a sender sends and prints "LINES BYTES
 * SECONDS". Usage: node_lines.mjs PORT event|forAwait|data.
 */
import { connect } from "node:net";
import { createInterface } from "node:readline";

const [port, way] = process.argv.slice(2);
const socket = connect(Number(port), "127.0.0.1");
const start = performance.now();
let lines = 0, bytes = 0;
function line(length) {
  lines++;
  bytes += length;
}
function end() {
  console.log(lines, bytes, (performance.now() - start) / 1000);
}
if (way === "event") {
  createInterface({ input: socket }).on("line", (text) => line(text.length + 1)).on("close", end);
} else if (way === "forAwait") {
  for await (const text of createInterface({ input: socket })) line(text.length + 1);
  end();
} else {
  let rest = Buffer.alloc(0);
  socket.on("data", (chunk) => {
    const data = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk;
    let pos = 0;
    for (let at; (at = data.indexOf(10, pos)) >= 0; pos = at + 1) {
      line(data.subarray(pos, at + 1).length);
    }
    rest = data.subarray(pos);
  });
  socket.on("close", end);
}
