/**
 * What holds in every runtime: `node checks.ts`, `bun checks.ts`, `deno run --allow-net checks.ts`.
 * Prints how many checks passed; ends with 1 at the first that fails.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { chomp, Rio, rioReadn, rioWriten } from "../../rio.ts";
import { readerFromNode, readerFromStream } from "../../net/readers.ts";

const encode = (text: string) => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array | null) => new TextDecoder().decode(bytes ?? new Uint8Array(0));

/** A socket as a writer. */
function writer(socket: Socket) {
  return {
    write: (p: Uint8Array) =>
      new Promise<number>((resolve, reject) => {
        socket.write(p, (error) => error ? reject(error) : resolve(p.length));
      }),
  };
}

/** Runs a check with both ends of a connection. */
async function connected(
  check: (client: Socket, server: Socket) => Promise<void>,
): Promise<void> {
  const listener = createServer({ allowHalfOpen: true }).listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address() as { port: number };
  const accepted = once(listener, "connection");
  const client = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  const [server] = await accepted as [Socket];
  try {
    await check(client, server);
  } finally {
    client.destroy();
    server.destroy();
    listener.close();
  }
}

const CHECKS: Record<string, () => Promise<void>> = {
  "lines and counted bytes over a socket, and an answer after EOF": () =>
    connected(async (client, server) => {
      const served = (async () => {
        const rio = new Rio(readerFromNode(server));
        const lines = [];
        const head = await rio.readline();
        const body = new Uint8Array(Number(decode(chomp(head!))));
        assert.equal(await rio.readnb(body), body.length);
        for await (const line of rio) lines.push(decode(line));
        await rioWriten(writer(server), encode(`${decode(body)}|${lines.join("|")}`));
        server.end();
      })();
      for (const part of ["1", "1\r\nhello\nworld", "one\ntwo\n", "three"]) {
        await rioWriten(writer(client), encode(part));
      }
      client.end();
      const answer = new Uint8Array(100);
      const n = await rioReadn(readerFromNode(client), answer);
      assert.equal(decode(answer.subarray(0, n)), "hello\nworld|one\n|two\n|three");
      await served;
    }),

  "bursts of short lines, and long ones, whole": () =>
    connected(async (client, server) => {
      const lines = Array.from({ length: 20_000 }, (_, i) => `${i}${"x".repeat(i % 90)}\n`);
      lines.push("y".repeat(200_000) + "\n");
      const sent = rioWriten(writer(server), encode(lines.join(""))).then(() => server.end());
      const rio = new Rio(readerFromNode(client), { maxline: 2 ** 20, tooLong: "throw" });
      const usrbuf = new Uint8Array(2 ** 20);
      const lengths: number[] = [];
      const seen: string[] = [];
      while (await rio.ready()) {
        const text = decode(usrbuf.subarray(0, rio.takeLines(usrbuf, lengths)));
        for (let i = 0, at = 0; i < lengths.length; at += lengths[i++]) {
          seen.push(text.slice(at, at + lengths[i]));
        }
      }
      assert.deepEqual(seen, lines);
      await sent;
    }),

  "a read that is given up loses no byte": () =>
    connected(async (client, server) => {
      const rio = new Rio(readerFromNode(client));
      await rioWriten(writer(server), encode("half a "));
      await rio.fill(7);
      const late = rio.readline({ signal: AbortSignal.timeout(1) });
      await assert.rejects(late, { name: "TimeoutError" });
      await rioWriten(writer(server), encode("line\n"));
      assert.equal(decode(await rio.readline()), "half a line\n");
    }),

  "a line that is too long, and a write of nothing, have errors of their own": async () => {
    const reader = readerFromStream(new Blob(["too long\nshort\n"]).stream());
    const rio = new Rio(reader, { maxline: 6, tooLong: "throw" });
    await assert.rejects(rio.readline(), { name: "InvalidData" });
    assert.equal(decode(await rio.readline()), "short\n");
    const full = { write: () => Promise.resolve(0) };
    await assert.rejects(rioWriten(full, encode("a")), { name: "WriteZero" });
  },

  "a web stream is cancelled, and an empty chunk is no EOF": async () => {
    let cancelled: unknown;
    const stream = new ReadableStream<Uint8Array>({
      start(controller) {
        for (const part of ["a\r", "", "\nb\nc\r\n"]) controller.enqueue(encode(part));
      },
      cancel: (reason) => void (cancelled = reason),
    });
    const reader = readerFromStream(stream);
    const lines = new Rio(reader, { delimiter: "\r\n" }).lines();
    assert.equal(decode((await lines.next()).value), "a\r\n");
    assert.equal(decode((await lines.next()).value), "b\nc\r\n");
    await reader.cancel("enough");
    assert.equal(cancelled, "enough");
    assert.equal((await lines.next()).done, true);
  },
};

for (const [name, check] of Object.entries(CHECKS)) {
  try {
    await check();
  } catch (error) {
    console.error(`failed: ${name}`);
    throw error;
  }
}
console.log(`${Object.keys(CHECKS).length} passed, 0 failed`);
