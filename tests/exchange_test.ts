/** The echo client's exchange, with a server and a clock of the test's own. */
import { assertEquals, assertRejects } from "@std/assert";
import { echoClient, openTlsClientfd } from "@netp/rio/client";
import { MAXLINE } from "@netp/rio/rio";
import { openListenfd } from "@netp/rio/server";
import { Comparison } from "../client/comparison.ts";
import { noise } from "./helpers.ts";
import { Clock, turn } from "./clock.ts";

/** A connection whose other end is the test. */
class FakeClientfd {
  sent = 0;
  finished = false;
  readonly #came: number[] = [];
  #wake = () => {};

  write(p: Uint8Array): Promise<number> {
    this.sent += p.length;
    return Promise.resolve(p.length);
  }

  closeWrite(): Promise<void> {
    this.finished = true;
    return Promise.resolve();
  }

  async read(p: Uint8Array): Promise<number | null> {
    while (this.#came.length === 0) await new Promise<void>((resolve) => this.#wake = resolve);
    const n = this.#came.shift()!;
    p.fill(0x78, 0, n);
    return n === 0 ? null : n;
  }

  /** The server answers so many bytes; 0 is its FIN. */
  answer(n: number): void {
    this.#came.push(n);
    this.#wake();
  }
}

/** An input of so many bytes `x` a read, `pause` milliseconds before each. */
function input(lengths: number[], pause = 0) {
  return {
    async read(p: Uint8Array) {
      if (pause > 0) await new Promise((resolve) => setTimeout(resolve, pause));
      const length = lengths.shift();
      if (length === undefined) return null;
      const n = Math.min(length, p.length);
      if (n < length) lengths.unshift(length - n);
      p.fill(0x78, 0, n);
      return n;
    },
  };
}

const output = { write: (p: Uint8Array) => Promise.resolve(p.length) };
/** What a promise rejects with, once it has. */
function failure(promise: Promise<unknown>) {
  const seen: { message?: string } = {};
  promise.catch((error) => seen.message = error.message);
  return seen;
}

Deno.test("the time runs for the server's FIN too, once all has come back", async () => {
  using clock = new Clock();
  const clientfd = new FakeClientfd();
  const failed = failure(echoClient(clientfd, input([3]), output, { timeout: 500 }));
  clientfd.answer(3);
  await clock.pass(499);
  assertEquals([clientfd.finished, failed.message], [true, undefined]);
  await clock.pass(1);
  assertEquals(failed.message, "no answer for 0.5 s: 3 of 3 bytes came back");
  clientfd.answer(0);
  await turn();
});

Deno.test("what is sent doesn't give the server more time, what comes does", async () => {
  using clock = new Clock();
  const clientfd = new FakeClientfd();
  const lengths = Array.from({ length: 9 }, () => 1);
  const failed = failure(echoClient(clientfd, input(lengths, 200), output, { timeout: 500 }));
  await clock.pass(600); // three were sent, the first 400 ms ago
  clientfd.answer(1);
  await clock.pass(499);
  assertEquals(failed.message, undefined);
  await clock.pass(2);
  assertEquals(failed.message, "no answer for 0.5 s: 1 of 5 bytes came back");
  clientfd.answer(0);
  await clock.pass(2000);
});

Deno.test("in lockstep each piece of a long line comes back before the next goes out", async () => {
  const clientfd = new FakeClientfd();
  const lengths = [3 * (MAXLINE - 1)];
  const client = echoClient(clientfd, input(lengths), output, { lockstep: true });
  for (let piece = 1; piece <= 3; piece++) {
    for (let i = 0; i < 5; i++) await turn();
    assertEquals(clientfd.sent, piece * (MAXLINE - 1));
    clientfd.answer(MAXLINE - 1);
  }
  clientfd.answer(0);
  await client;
});

Deno.test("who gives up between connect and handshake isn't kept", async () => {
  using listenfd = openListenfd(0, { host: "127.0.0.1" });
  const stop = new AbortController();
  const { startTls } = Deno;
  Deno.startTls = async (...args: Parameters<typeof startTls>) => {
    const tlsfd = await startTls(...args);
    stop.abort(new Error("enough"));
    return tlsfd;
  };
  try {
    const { port } = listenfd.addr;
    const opened = openTlsClientfd("127.0.0.1", port, { signal: stop.signal });
    using connfd = await listenfd.accept();
    await assertRejects(() => opened, Error, "enough");
    const buf = new Uint8Array(1000);
    while (await connfd.read(buf) !== null);
  } finally {
    Deno.startTls = startTls;
  }
});

/** Sends `sent` in parts, has `came` come back in others, and returns the comparison. */
function compare(sent: Uint8Array, came: Uint8Array, part: number, owed: number): Comparison {
  const comparison = new Comparison();
  for (let at = 0, back = 0; back < came.length;) {
    if (at < sent.length && at - back < owed) {
      comparison.sent(sent.subarray(at, at + part));
      at = Math.min(sent.length, at + part);
    } else {
      comparison.came(came.subarray(back, back + part + 7));
      back += part + 7;
    }
  }
  return comparison;
}

Deno.test("Comparison finds the first byte that differs, whatever is owed and in what parts", () => {
  const sent = noise(300_000);
  for (const owed of [1, 1000, 70_000, 300_000]) {
    for (const part of [999, 4096, 65_536]) {
      const same = compare(sent, sent, part, owed);
      assertEquals([same.same, same.difference], [sent.length, undefined]);
      for (const at of [0, 1, 65_535, 65_536, 299_999]) {
        const came = sent.slice();
        came[at] ^= 1;
        assertEquals(compare(sent, came, part, owed).difference, { from: at, to: at });
      }
    }
  }
});

Deno.test("Comparison finds a byte too many, and one block of what is owed beyond memory", () => {
  const extra = new Comparison();
  extra.sent(new Uint8Array(10));
  extra.came(new Uint8Array(11));
  assertEquals(extra.difference, { from: 10, to: 10 });

  // 16 MiB are kept as they are, the rest as sums of blocks, which grow with their number.
  const part = noise(1 << 20);
  const parts = 100;
  for (const wrong of [undefined, [90, 5], [90, 1 << 19], [99, (1 << 20) - 1]]) {
    const comparison = new Comparison();
    for (let i = 0; i < parts; i++) comparison.sent(part);
    for (let i = 0; i < parts; i++) {
      const came = part.slice();
      if (wrong?.[0] === i) came[wrong[1]] ^= 1;
      comparison.came(came);
    }
    if (wrong === undefined) {
      assertEquals([comparison.same, comparison.difference], [parts * part.length, undefined]);
    } else {
      const at = wrong[0] * part.length + wrong[1];
      const { from, to } = comparison.difference!;
      assertEquals([at >= from && at <= to, to - from + 1], [true, 131_072]);
    }
  }
});
