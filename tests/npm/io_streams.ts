/** A stand-in for what the tests use from `@std/io` to convert web streams. */
import type { Reader } from "./io_types.ts";

/** Reads from a web stream. */
export function readerFromStreamReader(stream: ReadableStreamDefaultReader<Uint8Array>): Reader {
  let rest = new Uint8Array();
  return {
    async read(p) {
      if (rest.length === 0) {
        const { value, done } = await stream.read();
        if (done) return null;
        rest = value.slice();
      }
      if (rest.length === 0) return p.length === 0 ? 0 : null; // as `Buffer` of `@std/io`
      const n = Math.min(p.length, rest.length);
      p.set(rest.subarray(0, n));
      rest = rest.subarray(n);
      return n;
    },
  };
}

/** Turns a reader into a web stream. */
export function toReadableStream(
  reader: Reader & { close?(): void },
): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream({
    async pull(controller) {
      const chunk = new Uint8Array(16_640);
      try {
        const n = await reader.read(chunk);
        if (n === null) {
          reader.close?.();
          return controller.close();
        }
        controller.enqueue(chunk.subarray(0, n));
      } catch (error) {
        controller.error(error);
        reader.close?.();
      }
    },
    cancel() {
      reader.close?.();
    },
  });
}
