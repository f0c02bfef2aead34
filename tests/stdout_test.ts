/** Standard output: when it is written, and what becomes of it when it fails; what is told. */
import { assert, assertEquals } from "@std/assert";
import { Stdout } from "../cli/stdout.ts";
import { Output } from "../server/output.ts";
import { Report } from "../server/report.ts";
import { bytes, text } from "./helpers.ts";
import { Clock, turn } from "./clock.ts";

/** A standard output whose writes end when the test says so, and are seen as they are then. */
class Sink {
  text = "";
  readonly #writes: (() => void)[] = [];

  write(p: Uint8Array): Promise<number> {
    return new Promise((resolve) => {
      this.#writes.push(() => {
        this.text += text(p);
        resolve(p.length);
      });
    });
  }

  /** Ends the writes that were begun, until there are no more. */
  async end(): Promise<void> {
    await turn();
    for (let write; (write = this.#writes.shift()) !== undefined;) {
      write();
      await turn();
    }
  }
}

Deno.test("Stdout writes a line at once on a terminal, else within a fiftieth of a second", async () => {
  using clock = new Clock();
  for (const [byLine, delay] of [[true, 0], [false, 20]] as const) {
    const sink = new Sink();
    const stdout = new Stdout(sink, byLine);
    stdout.print(bytes("a line\n"));
    if (delay > 0) {
      await clock.pass(delay - 1);
      await sink.end();
      assertEquals(sink.text, "");
      await clock.pass(1);
    }
    await sink.end();
    assertEquals(sink.text, "a line\n");
  }
});

Deno.test("Stdout's flush ends when all is written, whoever else has it written", async () => {
  const sink = new Sink();
  const stdout = new Stdout(sink, false);
  stdout.print(bytes("a"));
  const flushes = [stdout.flush()];
  stdout.print(bytes("b"));
  flushes.push(stdout.flush(), stdout.flush());
  const seen = Promise.all(flushes.map((flushed) => flushed.then(() => sink.text)));
  await sink.end();
  assertEquals(await seen, ["a", "ab", "ab"]);
});

Deno.test("Stdout loses nothing, and mixes nothing up, whoever prints and flushes at once", async () => {
  const sink = new Sink();
  const stdout = new Stdout(sink, false);
  let ended = 0;
  let lines = 0;
  const printers = Array.from({ length: 6 }, async (_, i) => {
    const line = String(i).repeat(9999 + 4000 * i) + "\n";
    for (let n = 0; n < 30; n++) {
      await stdout.print(bytes(line));
      lines++;
      if (n % (i + 2) === 0) await stdout.flush();
    }
    ended++;
  });
  while (ended < printers.length) await sink.end();
  await Promise.all([stdout.flush(), sink.end()]);
  const whole = sink.text.split("\n").filter((line) =>
    line === line[0]?.repeat(9999 + 4000 * Number(line[0]))
  );
  assertEquals([lines, whole.length], [180, 180]);
});

Deno.test("Output tells its fault once, and serves on; a reader that has gone is none", async () => {
  for (
    const [error, whole] of [
      [new Deno.errors.BrokenPipe("Broken pipe"), true],
      [new Error("No space left on device"), false],
    ] as const
  ) {
    const told: string[] = [];
    const stdout = new Stdout({ write: () => Promise.reject(error) }, true);
    const output = new Output(stdout, (line) => told.push(line));
    const message = `server: standard output: ${error.message}`;
    for (let i = 0; i < 3; i++) await output.print(bytes("a line\n"));
    assertEquals([await output.end(1000), told], [whole, [message]]);
  }
});

Deno.test("Output waits for those who print, and not for ever", async () => {
  using clock = new Clock();
  const told: string[] = [];
  const sink = new Sink();
  const output = new Output(new Stdout(sink, false), (line) => told.push(line));
  output.print(bytes("x".repeat(60_000)));
  output.print(bytes("y".repeat(60_000)));
  const end = output.end(1000);
  await sink.end();
  assertEquals([await end, sink.text.length, told], [true, 120_000, []]);

  output.print(bytes("a line\n"));
  const late = output.end(1000);
  await clock.pass(1000);
  assertEquals([await late, told], [false, ["server: standard output: nobody reads it"]]);
});

Deno.test("who gives up a wait for standard output leaves nothing behind (needs --expose-gc)", async () => {
  const { gc } = globalThis as unknown as { gc(): void };
  for (const byLine of [true, false]) {
    const stdout = new Stdout(new Sink(), byLine); // whose writes never end
    const line = bytes("x".repeat(4095) + "\n");
    const waiting = stdout.print(line, 20); // a block is on its way, another is full
    waiting?.catch(() => {});
    const giveUp = async () => {
      const giver = new AbortController();
      const wait = stdout.print(line, 17, giver);
      const given = wait!.then(() => "printed", (error) => error.message);
      giver.abort(new Error("closed"));
      assertEquals(await given, "closed");
    };
    for (let i = 0; i < 100; i++) await giveUp();
    gc();
    const before = Deno.memoryUsage().heapUsed;
    for (let i = 0; i < 5000; i++) await giveUp();
    gc();
    const grown = (Deno.memoryUsage().heapUsed - before) / 5000;
    assert(grown < 100, `${grown} bytes each`);
  }
});

Deno.test("Report tells ten faults a second, and how many more there were, again and again", async () => {
  using clock = new Clock();
  const told: string[] = [];
  const stdout = { print: () => undefined };
  const report = new Report(
    { names: false, log: false, quiet: true },
    stdout,
    (line) => told.push(line),
  );
  for (let second = 1; second <= 2; second++) {
    for (let i = 0; i < 12; i++) report.fault(new Error("a fault"));
    assertEquals(told.length, 10);
    await clock.pass(1000);
    assertEquals(told.splice(0).at(-1), "server: and 2 more faults");
  }
  // One client's faults don't hide another's, and those of many clients are bounded too.
  const client = (n: number): Deno.NetAddr => (
    { transport: "tcp", hostname: `192.0.2.${n}`, port: 1 }
  );
  for (let i = 0; i < 50; i++) report.fault(new Error("a fault"), client(1));
  report.fault(new Error("another"), client(2));
  assertEquals(told.length, 11);
  assertEquals(told.at(-1), "server: 192.0.2.2:1: another");
  for (let i = 0; i < 200; i++) report.fault(new Error("a fault"), client(i));
  assertEquals(told.length, 100);
  await clock.pass(1000);
  assertEquals(told.splice(0).at(-1), "server: and 151 more faults");
  // A host has a /64 of IPv6 addresses, and is one client with all of them.
  for (let i = 1; i < 300; i++) {
    const hostname = `2001:db8::${i}`;
    report.fault(new Error("a fault"), { transport: "tcp", hostname, port: 1 });
  }
  report.fault(new Error("another"), client(2));
  assertEquals(told.splice(0).slice(10), ["server: 192.0.2.2:1: another"]);
  await clock.pass(5000);
  assertEquals(told, ["server: and 289 more faults"]);
});
