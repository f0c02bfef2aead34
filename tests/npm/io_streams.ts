/** A stand-in for what the recipes use from `@std/io` to convert web streams. */
import type { Reader } from "./io_types.ts";

/** Reads from a web stream. */
export function readerFromStreamReader(stream: ReadableStreamDefaultReader<Uint8Array>): Reader {
  let rest = new Uint8Array();
  return {
    async read(p) {
      while (rest.length === 0) {
        const { value, done } = await stream.read();
        if (done) return null;
        rest = value.slice();
      }
      const n = Math.min(p.length, rest.length);
      p.set(rest.subarray(0, n));
      rest = rest.subarray(n);
      return n;
    },
  };
}

/** Turns a reader into a web stream. */
export function toReadableStream(reader: Reader): ReadableStream<Uint8Array> {
  return new ReadableStream({
    async pull(controller) {
      const chunk = new Uint8Array(4096);
      const n = await reader.read(chunk);
      if (n === null) controller.close();
      else controller.enqueue(chunk.subarray(0, n));
    },
  });
}
