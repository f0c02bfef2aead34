/** Readers over web streams and Node's, and where they differ from others. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { PassThrough, Readable } from "node:stream";
import { readerFromNode, readerFromStream, type StreamReader } from "@netp/rio/readers";
import { Rio } from "@netp/rio/rio";
import { readerFromStreamReader } from "jsr:@std/io@^0.225.2/reader-from-stream-reader";
import { toReadableStream } from "jsr:@std/io@^0.225.2/to-readable-stream";
import { turn } from "./clock.ts";
import { bytes, text } from "./helpers.ts";

/** A web stream of these chunks, and the reason of its cancel. */
function webStream(chunks: string[], end: "close" | "open" | Error = "close") {
  const told: { cancelled?: unknown } = {};
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(bytes(chunk));
      if (end === "close") controller.close();
      else if (end instanceof Error) controller.error(end);
    },
    cancel(reason) {
      told.cancelled = reason;
    },
  });
  return { stream, told };
}

/** All that a reader has, in reads of up to `size` bytes. */
async function all(reader: { read(p: Uint8Array): Promise<number | null> }, size: number) {
  const p = new Uint8Array(size);
  let seen = "";
  for (let n; (n = await reader.read(p)) !== null;) {
    assert(n > 0);
    seen += text(p.subarray(0, n));
  }
  assertEquals(await reader.read(p), null, "EOF again");
  return seen;
}

const CHUNKS = ["", "one\ntw", "", "", "o\n", "three", ""];
const READERS: Record<string, () => StreamReader> = {
  "a web stream": () => readerFromStream(webStream(CHUNKS).stream),
  "chunks of Node": () => readerFromNode(Readable.from(CHUNKS.map((c) => bytes(c)))),
  "buffers of Node": () => {
    const stream = new PassThrough();
    for (const chunk of CHUNKS) stream.write(bytes(chunk));
    stream.end();
    return readerFromNode(stream);
  },
};

for (const [name, open] of Object.entries(READERS)) {
  Deno.test(`${name} comes whole, whatever is empty in it`, async () => {
    for (const size of [1, 2, 5, 100]) assertEquals(await all(open(), size), CHUNKS.join(""));
    const reader = open();
    assertEquals(await reader.read(new Uint8Array(0)), 0);
    const lines = await Array.fromAsync(new Rio(reader));
    assertEquals(lines.map(text), ["one\n", "two\n", "three"]);
  });

  Deno.test(`${name} that is cancelled has no more bytes`, async () => {
    const reader = open();
    {
      await using stream = reader;
      assertEquals(await stream.read(new Uint8Array(2)), 2);
    }
    assertEquals(await reader.read(new Uint8Array(2)), null);
  });
}

Deno.test("@std/io takes an empty chunk for the end, and never cancels", async () => {
  const { stream, told } = webStream(["a", "", "b"]);
  const reader = readerFromStreamReader(stream.getReader());
  const p = new Uint8Array(9);
  assertEquals([await reader.read(p), await reader.read(p), await reader.read(p)], [1, null, 1]);
  const rest = toReadableStream(
    new Rio(readerFromStreamReader(webStream(["a"]).stream.getReader())),
  );
  await rest.cancel("enough");
  assertEquals(told, {});
});

Deno.test("a web stream is told why it is cancelled, also while a read waits", async () => {
  const { stream, told } = webStream([], "open");
  const reader = readerFromStream(stream);
  const read = reader.read(new Uint8Array(1));
  await reader.cancel("enough");
  assertEquals([await read, told.cancelled], [null, "enough"]);
});

Deno.test("an error of a stream is thrown by every read after it", async () => {
  const broken = new PassThrough();
  const readers = [
    readerFromStream(webStream([], new Error("broken")).stream),
    readerFromNode(broken),
  ];
  broken.destroy(new Error("broken"));
  for (const reader of readers) {
    for (let i = 0; i < 2; i++) {
      await assertRejects(() => reader.read(new Uint8Array(1)), Error, "broken");
    }
  }
});

Deno.test("a stream of Node that was closed before its end is an error, one at its end isn't", async () => {
  const closed = new PassThrough();
  const reader = readerFromNode(closed);
  const read = reader.read(new Uint8Array(1));
  closed.destroy();
  await assertRejects(() => read, Error, "closed before its end");
  await assertRejects(
    () => readerFromNode(closed).read(new Uint8Array(1)),
    Error,
    "closed before its end",
  );
  const over = Readable.from([]);
  over.resume();
  await once(over, "close");
  assertEquals(await readerFromNode(over).read(new Uint8Array(1)), null);
});

Deno.test("a read of Node's stream that waits ends when it is cancelled", async () => {
  const stream = new PassThrough();
  const reader = readerFromNode(stream);
  const read = reader.read(new Uint8Array(1));
  await turn();
  await reader.cancel();
  assertEquals(await read, null);
  assert(stream.destroyed);
});

Deno.test("a chunk that is no bytes is an error", async () => {
  const stream = new PassThrough({ encoding: "utf8" });
  stream.end("text");
  await assertRejects(
    () => readerFromNode(stream).read(new Uint8Array(9)),
    TypeError,
    "a chunk is no Uint8Array but string",
  );
});

Deno.test("a socket of Node can be written to after EOF", async () => {
  const listener = createServer({ allowHalfOpen: true }).listen(0, "127.0.0.1");
  await once(listener, "listening");
  const accepted = once(listener, "connection");
  const client = connect({ port: (listener.address() as { port: number }).port });
  const [server] = await accepted as [Socket];
  client.end("question\n");
  assertEquals(await all(readerFromNode(server), 4), "question\n");
  server.end("answer\n");
  assertEquals(await all(readerFromNode(client), 100), "answer\n");
  listener.close();
  await once(listener, "close");
});
