/**
 * Readers over the streams of other interfaces: `ReadableStream`, and Node's `Readable`. The file
 * runs in Deno, Node and Bun.
 *
 * @module
 */
import type { Reader } from "../rio.ts";

/** A reader over a stream. Leaving an `await using` cancels the stream. */
export interface StreamReader extends Reader, AsyncDisposable {
  /** Ends the stream before its end: its source is told so, and a read that waits has EOF. */
  cancel(reason?: unknown): Promise<void>;
}

/** What {@linkcode readerFromNode} needs of a stream: Node's `Readable` has it. */
export interface NodeReadable {
  /** Takes all bytes that have come; `null` if there are none. */
  read(): unknown;
  /** Adds a listener. */
  on(event: string, listener: (error?: unknown) => void): unknown;
  /** Closes it. */
  destroy(): unknown;
  /** Whether "end" has been emitted. */
  readonly readableEnded: boolean;
  /** Whether it has been closed. */
  readonly destroyed: boolean;
}

/**
 * Reads from a web stream: the body of a `Response`, a `Blob`, what comes out of a
 * `DecompressionStream`. The stream is locked from then on.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { readerFromStream } from "@netp/rio/readers";
 * import { Rio } from "@netp/rio/rio";
 *
 * await using reader = readerFromStream(new Blob(["a line\nand more"]).stream());
 * assertEquals((await new Rio(reader).readline())?.length, 7);
 * ```
 */
export function readerFromStream(stream: ReadableStream<Uint8Array>): StreamReader {
  const reader = stream.getReader();
  return fromChunks(
    async () => (await reader.read()).value ?? null,
    (reason) => reader.cancel(reason),
  );
}

/**
 * Reads from a stream of Node: a `net.Socket`, `process.stdin`, a file. Unlike its own iterator,
 * this leaves a socket open at EOF, for what is still to be written, if it has `allowHalfOpen`.
 * @throws {Error} From a read: what the stream's `error` event tells, or if it was closed before
 * its end.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Readable } from "node:stream";
 * import { readerFromNode } from "@netp/rio/readers";
 * import { Rio } from "@netp/rio/rio";
 *
 * await using reader = readerFromNode(Readable.from([new Uint8Array([97, 10, 98])]));
 * assertEquals((await new Rio(reader).readline())?.length, 2);
 * ```
 * @example
 * ```ts
 * import { createServer } from "node:net";
 * import { readerFromNode } from "@netp/rio/readers";
 * import { Rio } from "@netp/rio/rio";
 *
 * const server = createServer({ allowHalfOpen: true }, async (socket) => {
 *   let lines = 0;
 *   for await (const _ of new Rio(readerFromNode(socket))) lines++;
 *   socket.end(`${lines} lines\n`);
 * });
 * server.close();
 * ```
 */
export function readerFromNode(stream: NodeReadable): StreamReader {
  let ended = stream.readableEnded;
  let failure = stream.destroyed ? closed() : undefined;
  let wake = () => {};
  stream.on("readable", () => wake());
  stream.on("end", () => {
    ended = true;
    wake();
  });
  stream.on("error", (error) => {
    failure ??= error;
    wake();
  });
  stream.on("close", () => {
    failure ??= closed();
    wake();
  });
  return fromChunks(async () => {
    for (;;) {
      if (ended) return null;
      const chunk = stream.read();
      if (chunk !== null) return chunk;
      if (failure !== undefined) throw failure;
      await new Promise<void>((resolve) => wake = resolve);
    }
  }, () => {
    ended = true;
    stream.destroy();
    wake();
    return Promise.resolve();
  });
}

function closed(): unknown {
  return new Error("Cannot read: the stream was closed before its end");
}

/** A reader of chunks, which may be of any length; `next` returns `null` at EOF. */
function fromChunks(
  next: () => Promise<unknown>,
  cancel: (reason?: unknown) => Promise<void>,
): StreamReader {
  let rest: Uint8Array = new Uint8Array(0);
  return {
    async read(p) {
      while (rest.length === 0 && p.length > 0) { // an empty chunk is no EOF
        const chunk = await next();
        if (chunk === null) return null;
        if (!(chunk instanceof Uint8Array)) {
          throw new TypeError(`Cannot read: a chunk is no Uint8Array but ${typeof chunk}`);
        }
        rest = chunk;
      }
      const n = Math.min(rest.length, p.length);
      p.set(rest.subarray(0, n));
      rest = rest.subarray(n);
      return n;
    },
    cancel(reason) {
      rest = rest.subarray(rest.length);
      return cancel(reason);
    },
    [Symbol.asyncDispose]() {
      return this.cancel();
    },
  };
}
