/** The turns of many busy connections. */
import { assert, assertEquals } from "@std/assert";
import { Turns } from "../net/turns.ts";
import { type Conn, Connfd } from "../server/connfd.ts";
import { turn } from "./clock.ts";

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

  constructor(connections: number) {
    this.#turns.connections = connections;
  }

  /** Asks for so many reads. */
  ask(n: number): Promise<number | null>[] {
    return Array.from(
      { length: n },
      () => this.#turns.read(this.#conn, new Uint8Array(1)),
    );
  }

  /** Asks for as many as there are connections, and waits until they have begun. */
  async begin(): Promise<void> {
    this.ask(this.#turns.connections);
    while (this.begun.length < this.#turns.connections) await turn();
    await turn();
  }

  /** Ends so many of those that have begun; each reader asks again. */
  end(n: number): void {
    for (const read of this.begun.splice(0, n)) read.resolve(1);
    this.ask(n);
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
  const reads = new Reads(400);
  await reads.begin();
  for (const left of [280, 160]) {
    reads.end(120);
    for (let turns = 0; turns < 2; turns++) await turn();
    assertEquals(reads.begun.length, left);
  }
  reads.end(10);
  for (let turns = 0; turns < 2; turns++) await turn();
  assert(reads.begun.length > 160 - 10);
});

Deno.test({
  name: "a round is over when the kernel was asked, and nobody was ready",
}, async () => {
  const reads = new Reads(400);
  await reads.begin();
  reads.end(120);
  let turns = 0;
  for (; reads.begun.length === 280 && turns < 1000; turns++) await turn();
  assert(turns >= 61 && turns < 100, `${turns} turns`);
});

Deno.test("nobody waits for who isn't ready, when few are busy", async () => {
  const reads = new Reads(200);
  await reads.begin();
  for (let line = 0; line < 10; line++) {
    reads.end(1);
    for (let turns = 0; turns < 3; turns++) await turn();
    assertEquals(reads.begun.length, 200);
  }
});

Deno.test("a read that fails makes room as any other", async () => {
  const reads = new Reads(200);
  const [first] = reads.ask(1);
  for (let turns = 0; turns < 3; turns++) await turn();
  reads.begun[0].reject(new Error("reset"));
  assertEquals(await first.catch((error) => error.message), "reset");
  reads.ask(1);
  for (let turns = 0; turns < 3; turns++) await turn();
  assertEquals(reads.begun.length, 2);
});

Deno.test("a read that throws rejects, and is over", async () => {
  const reads = new Reads(200);
  reads.broken = true;
  const [read] = reads.ask(1);
  assertEquals(await read.catch((error) => error.message), "at once");
  reads.broken = false;
  reads.ask(1);
  while (reads.begun.length === 0) await turn();
});

Deno.test("who asks for the kernel's answer waits until it must have been asked", async () => {
  const turns = new Turns();
  let waited = 0;
  let answered = false;
  turns.asked().then(() => answered = true);
  for (; !answered; waited++) await turn();
  assert(waited >= 61 && waited < 100, `${waited} turns`);
});

Deno.test("who has had his share waits for the others; a single connection never does", async () => {
  for (const [readers, waits] of [[1, false], [2, true], [500, true]] as const) {
    const turns = new Turns();
    turns.connections = readers;
    let reads = 0;
    const conn = {
      read: (p: Uint8Array) => Promise.resolve((reads++, p.length)),
      write: (p: Uint8Array) => Promise.resolve(p.length),
    };
    const connfd = new Connfd(conn as unknown as Conn, turns);
    const p = new Uint8Array(65_536);
    const echoing = (async () => {
      for (let i = 0; i < 100; i++) await connfd.write(p.subarray(0, (await connfd.read(p))!));
    })();
    for (let i = 0; i < 10; i++) await turn();
    assertEquals(reads < 100, waits, `${readers}: ${reads}`);
    await echoing;
  }
});

Deno.test("who sends in bulk needs no turns while few do; who closes no longer does", async () => {
  const turns = new Turns();
  turns.connections = 300;
  const began: number[] = [];
  const connfds = Array.from({ length: 62 }, (_, i) => {
    const conn = {
      read: (p: Uint8Array) => Promise.resolve((began.push(i), p.length)),
      write: (p: Uint8Array) => Promise.resolve(p.length),
      [Symbol.dispose]() {},
    };
    return new Connfd(conn as unknown as Conn, turns);
  });
  const p = new Uint8Array(8000);
  const readAll = (some: Connfd[]) => Promise.all(some.map((connfd) => connfd.read(p)));
  for (const connfd of connfds) await connfd.write(p);
  const many = readAll(connfds);
  assertEquals(began.length, 0, "62 take turns");
  await many;
  for (const connfd of connfds.splice(0, 2)) {
    connfd.close();
    await connfd.write(p); // of a handler that was given up
    connfd.close();
  }
  began.length = 0;
  const few = readAll(connfds);
  assertEquals(began.length, 60, "60 don't");
  await few;
});
