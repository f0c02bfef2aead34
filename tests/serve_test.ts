/** serve, with a listener, connections and a clock of the test's own. */
import { getEventListeners } from "node:events";
import { assertEquals, assertRejects } from "@std/assert";
import {
  type Connfd,
  echo,
  EchoStats,
  serve,
  type ServeOptions,
  ServeStats,
} from "@netp/rio/server";
import { EchoServer } from "../server/echo_server.ts";
import { bytes, MemoryReader, text } from "./helpers.ts";
import { Clock, turn } from "./clock.ts";

const ADDR: Deno.NetAddr = { transport: "tcp", hostname: "127.0.0.1", port: 7 };

/** A connection on which nothing comes, and nothing that is written leaves unless `takes`. */
class FakeConn {
  readonly localAddr = ADDR;
  readonly remoteAddr = ADDR;
  reads = 0;
  closed = false;
  readonly #end = Promise.withResolvers<never>();

  constructor(readonly takes: boolean = true) {
    this.#end.promise.catch(() => {});
  }

  read(): Promise<number | null> {
    this.reads++;
    return this.#end.promise;
  }

  write(p: Uint8Array): Promise<number> {
    return this.takes ? Promise.resolve(p.length) : this.#end.promise;
  }

  closeWrite(): Promise<void> {
    return Promise.resolve();
  }

  [Symbol.dispose](): void {
    this.closed = true;
    this.#end.reject(new Deno.errors.Interrupted("closed"));
  }
}

/** A listener that gives what it is given: connections, and errors that `accept` throws. */
class FakeListenfd {
  closed = false;
  calls = 0;
  readonly #given: (FakeConn | Error)[];
  #waiting: PromiseWithResolvers<FakeConn> | undefined;

  constructor(...given: (FakeConn | Error)[]) {
    this.#given = given;
  }

  accept(): Promise<FakeConn> {
    this.calls++;
    const next = this.#given.shift();
    if (next instanceof Error) return Promise.reject(next);
    if (next !== undefined) return Promise.resolve(next);
    if (!this.closed) this.#waiting = Promise.withResolvers();
    return this.#waiting!.promise;
  }

  /** A client connects. */
  come(conn: FakeConn): void {
    this.#waiting!.resolve(conn);
  }

  close(): void {
    this.closed = true;
    this.#waiting ??= Promise.withResolvers();
    this.#waiting.promise.catch(() => {}); // nobody may be waiting
    this.#waiting.reject(new Deno.errors.BadResource("closed"));
  }
}

/** A listener that knows how to stop, with handshakes under way. */
class FakeTlsListenfd extends FakeListenfd {
  handshaking = 0;
  readonly stops: boolean[] = [];
  readonly stopped = Promise.withResolvers<void>();

  stop(hurried: boolean): Promise<void> {
    this.stops.push(hurried);
    return this.stopped.promise;
  }
}

/** Serves what is given, counts it, and ends it when it is disposed of. */
function serving<L extends FakeListenfd = FakeListenfd>(
  given: (FakeConn | Error)[] | L,
  handler: (connfd: Connfd) => Promise<void>,
  options: ServeOptions = {},
) {
  const listenfd = given instanceof FakeListenfd ? given : new FakeListenfd(...given) as L;
  const stop = new AbortController();
  const stats = new ServeStats();
  const errors: string[] = [];
  const served = serve(listenfd, handler, {
    concurrency: 1000,
    signal: stop.signal,
    stats,
    onError: (error) => errors.push((error as Error).message),
    ...options,
  });
  return { listenfd, stop, stats, errors, served };
}

const read = async (connfd: Connfd) => void await connfd.read(new Uint8Array(1));
const tooMany = () => new Error("Too many open files");

// Idle since the first look, which has seen it read.
for (
  const [option, cause, end] of [["idleTimeout", "idle", 1200], [
    "maxTime",
    "expired",
    1000,
  ]] as const
) {
  Deno.test(`${option} ends a connection when it is over, and no tick before`, async () => {
    using clock = new Clock();
    const { listenfd, stats, served } = serving([new FakeConn()], read, { [option]: 1000 });
    await clock.pass(end - 1);
    assertEquals([stats.active, stats.closed[cause]], [1, 0]);
    await clock.pass(1);
    assertEquals([stats.active, stats.closed[cause]], [0, 1]);
    listenfd.close();
    await served;
  });
}

Deno.test("a connection that is written to isn't idle", async () => {
  using clock = new Clock();
  const { listenfd, stats, served } = serving([new FakeConn()], async (connfd) => {
    for (let i = 0; i < 100; i++) {
      await connfd.write(new Uint8Array(1));
      await new Promise((resolve) => setTimeout(resolve, 600));
    }
  }, { idleTimeout: 1000 });
  await clock.pass(60_000);
  assertEquals([stats.closed.done, stats.closed.idle], [1, 0]);
  listenfd.close();
  await served;
});

Deno.test("a small write sets TCP_NODELAY, large ones alone don't", async () => {
  for (const [length, noDelay] of [[4096, []], [4095, [true]]] as const) {
    const set: boolean[] = [];
    const options = { setKeepAlive() {}, setNoDelay: (noDelay: boolean) => set.push(noDelay) };
    const conn = Object.assign(new FakeConn(), options);
    const { listenfd, stats, served } = serving([conn], async (connfd) => {
      for (let i = 0; i < 2; i++) await connfd.write(new Uint8Array(length));
    });
    while (stats.closed.done === 0) await turn();
    assertEquals(set, [...noDelay]);
    listenfd.close();
    await served;
  }
});

Deno.test("a client that takes its bytes slowly has twenty seconds more", async () => {
  using clock = new Clock();
  const { listenfd, stats, served } = serving([new FakeConn(false)], async (connfd) => {
    await connfd.write(new Uint8Array(1));
  }, { idleTimeout: 1000 });
  await clock.pass(20_999);
  assertEquals(stats.active, 1);
  await clock.pass(201);
  assertEquals(stats.closed.idle, 1);
  listenfd.close();
  await served;
});

Deno.test("a client whose lines wait for standard output has twenty seconds more", async () => {
  for (const line of ["Connected", "server received"]) {
    using clock = new Clock();
    const conn = new FakeConn();
    conn.read = () => Promise.resolve(1);
    const print = (p: Uint8Array) =>
      text(p).startsWith(line) ? new Promise<void>(() => {}) : undefined;
    const options = {
      ...{ concurrency: 1, grace: 0, backlog: 1, idleTimeout: 1000, maxTime: Infinity },
      ...{ names: false, log: false, quiet: false },
    };
    const server = new EchoServer(options, { print }, () => {});
    const listenfd = new FakeListenfd(conn);
    const served = server.run(listenfd);
    await clock.pass(20_999);
    assertEquals(server.stats.active, 1, line);
    await clock.pass(201);
    assertEquals(server.stats.closed.idle, 1, line);
    listenfd.close();
    await served;
  }
});

Deno.test("a client that says nothing after its answer is idle, and no slow reader", async () => {
  using clock = new Clock();
  const { listenfd, stats, served } = serving([new FakeConn()], async (connfd) => {
    await connfd.write(new Uint8Array(1));
    await connfd.read(new Uint8Array(1));
  }, { idleTimeout: 1000 });
  await clock.pass(1200);
  assertEquals(stats.closed.idle, 1);
  listenfd.close();
  await served;
});

for (
  const [how, fail] of [["throws", () => {
    throw new Error("a bug");
  }], ["rejects", () => Promise.reject(new Error("a bug"))]] as const
) {
  Deno.test(`a callback that ${how} is told, and the server goes on`, async () => {
    const { write } = Deno.stderr;
    const told: string[] = [];
    Deno.stderr.write = (p) => {
      told.push(new TextDecoder().decode(p));
      return Promise.resolve(p.length);
    };
    try {
      const [served1, served2, cut] = [1, 2, 3].map(() => new FakeConn());
      const given = [new Error("accept"), served1, served2];
      const { listenfd, stop, stats, served } = serving(
        given,
        (connfd) => read(connfd).catch(() => Promise.reject(new Error("failed"))),
        { onError: fail, onClose: fail, concurrency: 2, grace: 0 },
      );
      while (stats.active < 2) await turn();
      served1[Symbol.dispose]();
      while (stats.active > 1 || told.length < 2) await turn();
      listenfd.come(cut);
      while (stats.active < 2) await turn();
      stop.abort();
      assertEquals(await served, stats);
      assertEquals([stats.closed.failed, stats.closed.cut, stats.acceptErrors], [1, 2, 1]);
      for (const text of told) assertEquals(text.split("\n")[0], "Error: a bug");
    } finally {
      Deno.stderr.write = write;
    }
  });
}

Deno.test("nobody is accepted before there is a slot", async () => {
  const conns = [1, 2].map(() => new FakeConn());
  const { listenfd, stats, served } = serving(conns, read, { concurrency: 1 });
  for (let i = 0; i < 5; i++) await turn();
  assertEquals([listenfd.calls, stats.accepted], [1, 1]);
  conns[0][Symbol.dispose]();
  for (let i = 0; i < 5; i++) await turn();
  assertEquals([listenfd.calls, stats.accepted], [2, 2]);
  conns[1][Symbol.dispose]();
  for (let i = 0; i < 5; i++) await turn();
  listenfd.close();
  await served;
});

Deno.test("the first cause is told, whatever ends the connection after it", async () => {
  using clock = new Clock();
  const times = { idleTimeout: 1000, maxTime: 1200 };
  // Seen through a handler that swallows its errors.
  const swallow = (connfd: Connfd) => read(connfd).catch(() => {});
  const { listenfd, stats, errors, served } = serving([new FakeConn()], swallow, times);
  await clock.pass(1200);
  assertEquals([stats.closed.idle, stats.closed.expired], [1, 0]);
  assertEquals(errors, ["idle for 1 s"]);
  listenfd.close();
  await served;
});

Deno.test("a client that has gone is none that failed", async () => {
  const { ConnectionReset, ConnectionAborted, BrokenPipe, UnexpectedEof } = Deno.errors;
  const gone = [ConnectionReset, ConnectionAborted, BrokenPipe, UnexpectedEof];
  const given = [...gone, Error].map(() => new FakeConn());
  const errors = [...gone.map((E) => new E("gone")), new Error("a bug")];
  const handler = () => Promise.reject(errors.shift());
  const { listenfd, stats, served } = serving(given, handler);
  while (stats.accepted < given.length || stats.active > 0) await turn();
  assertEquals([stats.closed.reset, stats.closed.failed], [4, 1]);
  listenfd.close();
  await served;
});

Deno.test("when a flood of clients is over, reads wait for no turn", async () => {
  const conns = Array.from({ length: 150 }, () => new FakeConn());
  const last = new FakeConn();
  const { listenfd, stats, served } = serving(conns, read);
  while (stats.active < conns.length) await turn();
  for (const conn of conns) conn[Symbol.dispose]();
  while (stats.active > 0) await turn();
  listenfd.come(last);
  let microtasks = 0;
  for (; last.reads === 0 && microtasks < 20; microtasks++) await Promise.resolve();
  assertEquals(last.reads, 1);
  last[Symbol.dispose]();
  while (stats.active > 0) await turn();
  listenfd.close();
  await served;
});

Deno.test("accept that fails is tried again after a pause, and told once in a row", async () => {
  using clock = new Clock();
  const given = [tooMany(), tooMany(), new FakeConn(), tooMany()];
  const { listenfd, errors, stop, served } = serving(given, () => Promise.resolve());
  await clock.pass(0);
  assertEquals([listenfd.calls, errors.length], [1, 1]);
  await clock.pass(99);
  assertEquals(listenfd.calls, 1);
  await clock.pass(1);
  assertEquals([listenfd.calls, errors.length], [2, 1]);
  await clock.pass(200);
  assertEquals([listenfd.calls, errors.length], [5, 2], "a connection came between them");
  stop.abort();
  await clock.pass(1000);
  await served;
});

Deno.test("a client that reset in the queue is no fault, and costs no pause", async () => {
  using clock = new Clock();
  const given = [new Deno.errors.NotConnected("reset"), new FakeConn()];
  const { listenfd, errors, stats, served } = serving(given, read, { grace: 0 });
  await clock.pass(0);
  assertEquals([errors, stats.active, listenfd.calls], [[], 1, 3]);
  listenfd.close();
  await clock.pass(0);
  await assertStillServed(served, stats);
});

/** Asserts that the last connection is waited for, and closes it. */
async function assertStillServed(served: Promise<ServeStats>, stats: ServeStats): Promise<void> {
  assertEquals(stats.active, 1);
  let ended = false;
  served.then(() => ended = true);
  await turn();
  assertEquals(ended, false);
}

Deno.test("after the signal, behind a whole backlog, the listener closes when nobody waits", async () => {
  using clock = new Clock();
  const given = Array.from({ length: 99 }, () => new FakeConn());
  const { listenfd, stats, served } = serving(given, () => Promise.resolve(), {
    signal: AbortSignal.abort(),
    backlog: 3,
  });
  for (let i = 0; i < 1000 && !listenfd.closed; i++) await turn();
  assertEquals(listenfd.closed, true, "at once: no time has passed");
  await served;
  assertEquals([stats.accepted, stats.closed.done, stats.closed.cut], [99, 99, 0]);
  await clock.pass(0);
});

Deno.test("who comes without end is served until the grace ends, and then cut and counted", async () => {
  using clock = new Clock();
  const listenfd = new FakeListenfd();
  const accept = listenfd.accept.bind(listenfd);
  listenfd.accept = () => listenfd.closed ? accept() : Promise.resolve(new FakeConn());
  const { stats, stop, served } = serving(listenfd, () => Promise.resolve(), {
    grace: 1000,
    backlog: 3,
  });
  stop.abort();
  while (stats.closed.done < 9) await turn();
  await clock.pass(999);
  assertEquals([listenfd.closed, stats.closed.cut], [false, 0]);
  await clock.pass(1);
  await served;
  const { closed: { done, cut } } = stats;
  assertEquals([listenfd.closed, stats.accepted], [true, done + cut]);
});

Deno.test("after the signal who shakes hands has a place besides the backlog", async () => {
  const listenfd = new FakeTlsListenfd();
  listenfd.handshaking = 1;
  const { stop, stats, served } = serving(listenfd, () => Promise.resolve(), { backlog: 3 });
  await turn();
  stop.abort();
  for (let n = 1; n <= 6; n++) {
    listenfd.come(new FakeConn());
    while (stats.accepted < n) await turn();
    assertEquals(listenfd.stops, n < 6 ? [false] : [false, true]);
  }
  listenfd.close();
  await served;
});

Deno.test("half of the grace is for those who have come by then: the port closes", async () => {
  using clock = new Clock();
  const listenfd = new FakeTlsListenfd();
  const { stop, served } = serving(listenfd, () => Promise.resolve(), { grace: 1000 });
  await turn();
  stop.abort();
  for (let ms = 20; ms < 500; ms += 20) { // never quiet, and far from a whole backlog
    await clock.pass(20);
    listenfd.come(new FakeConn());
  }
  assertEquals(listenfd.stops, [false]);
  await clock.pass(20);
  assertEquals(listenfd.stops, [false, true]);
  listenfd.close();
  await served;
  await clock.pass(1000);
  assertEquals(listenfd.stops, [false, true]);
});

Deno.test("who shakes hands when the listener's owner closes it isn't the server's to count", async () => {
  const listenfd = new FakeTlsListenfd();
  const { stats, served } = serving(listenfd, () => Promise.resolve());
  await turn();
  listenfd.handshaking = 1;
  listenfd.close();
  await served;
  assertEquals([stats.accepted, stats.closed.cut], [0, 0]);
});

Deno.test("after the signal the listener stays while somebody comes", async () => {
  using clock = new Clock();
  const { listenfd, stop, stats, served } = serving([], () => Promise.resolve());
  await clock.pass(0);
  stop.abort();
  await clock.pass(40);
  listenfd.come(new FakeConn());
  await clock.pass(40);
  assertEquals([listenfd.closed, stats.accepted], [false, 1]);
  await clock.pass(60);
  assertEquals(listenfd.closed, true);
  await served;
});

Deno.test("serve leaves no listener on the signal", async () => {
  const { listenfd, stop, served } = serving([], () => Promise.resolve());
  assertEquals(getEventListeners(stop.signal, "abort").length, 1);
  await turn();
  listenfd.close();
  await served;
  assertEquals(getEventListeners(stop.signal, "abort").length, 0);
});

Deno.test("at the end of the grace all are closed and counted: served, waiting, shaking hands", async () => {
  using clock = new Clock();
  const conns = [1, 2, 3].map(() => new FakeConn());
  const listenfd = new FakeTlsListenfd(...conns.slice(0, 1));
  const { stop, stats, served } = serving(listenfd, read, {
    concurrency: 1,
    grace: 1000,
  });
  await clock.pass(0);
  stop.abort();
  // They come out of the queue, and wait for a slot.
  for (const conn of conns.slice(1)) {
    await clock.pass(10);
    listenfd.come(conn);
  }
  listenfd.handshaking = 2;
  await clock.pass(900);
  assertEquals([stats.active, stats.waiting, listenfd.closed], [1, 2, false]);
  await clock.pass(100);
  assertEquals(listenfd.stops, [false, true, true]);
  listenfd.stopped.resolve();
  await served;
  assertEquals([stats.accepted, stats.closed.cut, stats.active, stats.waiting], [5, 5, 0, 0]);
  assertEquals(conns.map(({ closed }) => closed), [true, true, true]);
});

Deno.test("a queue that can't be emptied, for want of descriptors say, is closed all the same", async () => {
  using clock = new Clock();
  const listenfd = new FakeTlsListenfd();
  listenfd.handshaking = 2;
  const { stop, stats, served } = serving(listenfd, read, { grace: 1000 });
  stop.abort();
  await clock.pass(1999);
  assertEquals(listenfd.closed, false);
  await clock.pass(1);
  await served;
  assertEquals([stats.accepted, stats.closed.cut], [2, 2]);
});

Deno.test("a listener that its owner closes while its queue is emptied leaves no timer", async () => {
  const given = [1, 2, 3].map(() => new FakeConn());
  const { stats, served } = serving(
    [...given, new Deno.errors.BadResource("closed by its owner")],
    () => Promise.resolve(),
    { signal: AbortSignal.abort(), backlog: 0 },
  );
  await served;
  assertEquals(stats.accepted, 3);
});

Deno.test("echo counts bytes that were written, and no others", async () => {
  const stats = new EchoStats();
  const reader = new MemoryReader(["hello\n"]);
  const connfd = {
    read: (p: Uint8Array) => reader.read(p),
    write: () => Promise.reject(new Deno.errors.BrokenPipe("gone")),
  };
  await assertRejects(() => echo(connfd, { stats }), Deno.errors.BrokenPipe);
  assertEquals([stats.lines, stats.bytesIn, stats.bytesOut], [1, bytes("hello\n").length, 0]);
});
