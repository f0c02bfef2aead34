/**
 * Deno's own way: `for await` over `TextLineStream` of `@std/streams`. Reads all that a sender
 * sends and prints "LINES BYTES SECONDS". Usage: stream_lines.ts PORT.
 */
// In a constant, so that Deno neither fetches nor checks the package where JSR is unreachable.
const specifier: string = "jsr:@std/streams@^1.0.0/text-line-stream";
const { TextLineStream } = await import(specifier);

const clientfd = await Deno.connect({ hostname: "127.0.0.1", port: Number(Deno.args[0]) });
const start = performance.now();
let lines = 0, bytes = 0;
const stream: AsyncIterable<string> = clientfd.readable.pipeThrough(new TextDecoderStream())
  .pipeThrough(new TextLineStream());
for await (const line of stream) {
  lines++;
  bytes += line.length + 1;
}
console.log(lines, bytes, (performance.now() - start) / 1000);
