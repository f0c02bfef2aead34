/** The turns of many busy connections. */
import { assert, assertEquals } from "@std/assert";
import { Share, Turns } from "../net/turns.ts";
import { Clock, turn } from "./clock.ts";

/** Reads of many connections, which end when the test says so. */
class Reads {
  readonly begun: PromiseWithResolvers<number | null>[] = [];
  readonly #turns = new Turns();
  /** Whether reads throw instead of rejecting. */
  broken = false;
  readonly #conn = {
    read: () => {
      if (this.broken) throw new Error("at once");
      const read = Promise.withResolvers<number | null>();
      this.begun.push(read);
      return read.promise;
    },
  };

  constructor(readers: number) {
    this.#turns.readers = readers;
  }

  /** Asks for so many reads. */
  ask(n: number): Promise<number | null>[] {
    return Array.from(
      { length: n },
      () => this.#turns.read(this.#conn, new Uint8Array(1), new Share(500_000)),
    );
  }

  /** Asks for so many, and waits until they have begun. */
  async begin(n: number): Promise<void> {
    const all = this.begun.length + n;
    this.ask(n);
    while (this.begun.length < all) await turn();
    await turn();
  }

  /** Ends so many of those that have begun. */
  end(n: number): void {
    for (const read of this.begun.splice(0, n)) read.resolve(1);
  }
}

Deno.test("a few connections read at once, many in their turn", () => {
  for (const [readers, begun] of [[119, 119], [120, 0]]) {
    const reads = new Reads(readers);
    reads.ask(readers);
    assertEquals(reads.begun.length, begun);
  }
});

Deno.test("a turn begins no more reads than fit a poll", async () => {
  const reads = new Reads(200);
  reads.ask(200);
  for (const begun of [60, 120, 180, 200]) {
    await turn();
    assertEquals(reads.begun.length, begun);
  }
});

Deno.test({
  name: "a round isn't over while polls are full: somebody is left who was ready",
}, async () => {
  const reads = new Reads(200);
  await reads.begin(200);
  reads.ask(1); // of the next round
  await turn();
  await turn();
  for (let i = 0; i < 2; i++) {
    reads.end(60);
    await turn();
    await turn();
    assertEquals(reads.begun.length, 200 - 60 * (i + 1));
  }
  reads.end(10);
  await turn();
  await turn();
  assertEquals(reads.begun.length, 80 - 10 + 1);
});

Deno.test({
  name: "a round is over when the kernel was asked, and nobody was ready",
}, async () => {
  const reads = new Reads(200);
  await reads.begin(200);
  reads.ask(1);
  let turns = 0;
  for (; reads.begun.length === 200 && turns < 1000; turns++) await turn();
  assert(turns >= 61 && turns < 100, `${turns} turns`);
});

Deno.test("a read that fails makes room as any other", async () => {
  const reads = new Reads(200);
  const [first] = reads.ask(1);
  await turn();
  reads.begun[0].reject(new Error("reset"));
  assertEquals(await first.catch((error) => error.message), "reset");
  reads.ask(1);
  await turn();
  assertEquals(reads.begun.length, 2);
});

Deno.test("a read that throws rejects, and is over", async () => {
  const reads = new Reads(200);
  reads.broken = true;
  const [read] = reads.ask(1);
  assertEquals(await read.catch((error) => error.message), "at once");
  reads.broken = false;
  await reads.begin(1);
});

Deno.test("who has had his share pauses for the others; a single connection never does", async () => {
  using clock = new Clock();
  for (const [readers, pauses] of [[1, false], [2, true], [500, true]] as const) {
    const turns = new Turns();
    turns.readers = readers;
    const share = new Share(500_000);
    let reads = 0;
    const conn = { read: (p: Uint8Array) => Promise.resolve((reads++, p.length)) };
    const p = new Uint8Array(16_384);
    const echoing = (async () => {
      for (let i = 0; i < 100; i++) share.wrote((await turns.read(conn, p, share))!);
    })();
    for (let i = 0; i < 300; i++) await turn();
    assertEquals(reads < 100, pauses, `${readers}: ${reads}`);
    while (reads < 100) await clock.pass(1);
    await echoing;
  }
});
