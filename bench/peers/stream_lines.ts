/**
 * Deno's own way: a stream of text, split at newlines. Reads all that a sender sends
 * and prints "LINES BYTES SECONDS". Usage: stream_lines.ts PORT.
 */
const clientfd = await Deno.connect({ port: Number(Deno.args[0]) });
const start = performance.now();
let lines = 0, bytes = 0, rest = "";
for await (
  const chunk of clientfd.readable.pipeThrough(new TextDecoderStream())
) {
  const parts = (rest + chunk).split("\n");
  rest = parts.pop()!;
  for (const line of parts) {
    lines++;
    bytes += line.length + 1;
  }
}
console.log(lines, bytes, (performance.now() - start) / 1000);
