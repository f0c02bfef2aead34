/**
 * Any bytes, cut into any chunks, read by any mix of calls, with stalls, aborts and
 * errors in between, against a reference that is slow and obviously right: what is
 * left of the input, and how much of it each call must take.
 */
import { assert, assertEquals } from "@std/assert";
import { MAXLINE, type Reader, Rio } from "@netp/rio/rio";
// Not in deno.json, whose packages `deno task` fetches whatever the task.
import * as fc from "npm:fast-check@^4.10.2";
import { noise } from "./helpers.ts";

/** What the reader does next: bytes to come in one read, an error, or a wait. */
type Event = number | "error" | "stall" | "nothing";
const NAMES = [
  "readlineb",
  "readline",
  "plain readline",
  "readnb",
  "takeLines",
  "iterator",
] as const;
/** What the user calls next. */
type Call = {
  name: typeof NAMES[number];
  /** Bytes for readnb, lines for the iterator, else maxlen, unless it is plain. */
  size: number;
  /** Whether to give up when the reader stalls, or to wait. */
  abort: boolean;
};

const NO_SIGNAL: Call["name"][] = ["plain readline", "iterator"];

class ScriptedError extends Error {}

/** A reader that does what a script says, and then reads the rest in one go. */
class ScriptedReader implements Reader {
  #stalled = Promise.withResolvers<void>();
  #released = Promise.withResolvers<void>();
  #pos = 0;
  waits = false;

  constructor(readonly input: Uint8Array, readonly script: Event[]) {}

  async read(p: Uint8Array): Promise<number | null> {
    const event = this.script.shift() ?? Infinity;
    if (event === "error") throw new ScriptedError();
    if (event === "nothing") return 0;
    if (event === "stall") {
      this.waits = true;
      this.#stalled.resolve();
      await this.#released.promise;
      return await this.read(p);
    }
    await Promise.resolve();
    const part = this.input.subarray(this.#pos).subarray(0, event)
      .subarray(0, p.length);
    p.set(part);
    this.#pos += part.length;
    return part.length || null;
  }

  /** Resolves when a read waits. */
  get stalled(): Promise<void> {
    return this.#stalled.promise;
  }

  release(): void {
    this.#released.resolve();
    this.#stalled = Promise.withResolvers();
    this.#released = Promise.withResolvers();
    this.waits = false;
  }
}

/** Bytes of the line, or piece of at most `limit` bytes, that `rest` begins with. */
function lineLength(rest: number[], limit: number): number {
  const newline = rest.indexOf(10);
  return Math.min(newline < 0 ? rest.length : newline + 1, limit, rest.length);
}

/** Calls once, and holds the result against what is left of the input. */
async function check(
  rio: Rio,
  { name, size }: Call,
  rest: number[],
  bufsize: number,
  signal: AbortSignal,
): Promise<void> {
  const limit = Math.min(MAXLINE - 1, bufsize);
  const take = (bytes: Uint8Array, expected: number) => {
    assertEquals([...bytes], rest.splice(0, expected), name);
  };
  if (name === "readnb") {
    const usrbuf = new Uint8Array(size);
    const expected = Math.min(size, rest.length);
    const n = await rio.readnb(usrbuf, size, { signal });
    assertEquals(n, expected);
    take(usrbuf.subarray(0, n), expected);
  } else if (name === "readlineb") {
    const usrbuf = new Uint8Array(size).fill(7);
    const expected = lineLength(rest, size - 1);
    const n = await rio.readlineb(usrbuf, size, { signal });
    assertEquals(n, expected);
    assert(n === 0 ? usrbuf.every((byte) => byte === 7) : usrbuf[n] === 0);
    take(usrbuf.subarray(0, n), expected);
  } else if (name === "plain readline") {
    const line = await rio.readline();
    assertEquals(line === null, rest.length === 0);
    if (line !== null) take(line, lineLength(rest, limit));
  } else if (name === "iterator") {
    let lines = size;
    for await (const line of rio) {
      take(line, lineLength(rest, limit));
      line.fill(7); // it is the caller's
      if (--lines === 0) return;
    }
    assertEquals(rest.length, 0);
  } else {
    const maxlen = Math.min(size, bufsize + 1);
    const expected = lineLength(rest, maxlen - 1);
    if (name === "readline") {
      const line = await rio.readline({ maxlen, signal });
      assertEquals(line === null, rest.length === 0);
      if (line !== null) take(line, lineLength(rest, maxlen - 1));
      return;
    }
    assertEquals(await rio.ready({ maxlen, signal }), expected > 0);
    const lengths = [99];
    const lines = rio.takeLines(lengths, maxlen);
    const expecteds = [];
    for (let left = lines.length, at = 0; left > 0;) {
      const length = lineLength(rest.slice(at), maxlen - 1);
      expecteds.push(length);
      left -= length;
      at += length;
    }
    assertEquals(lengths, expecteds);
    assertEquals(lengths.length > 0, expected > 0);
    take(lines, lines.length);
  }
}

/** Reads all of the input with the given calls, and then line by line. */
async function run(
  input: Uint8Array,
  script: Event[],
  calls: Call[],
  bufsize: number | undefined,
): Promise<void> {
  const reader = new ScriptedReader(input, [...script]);
  const rio = new Rio(reader, bufsize);
  const rest = [...input];
  const errors = script.filter((event) => event === "error").length;
  let thrown = 0;
  const finish: Call = { name: "readline", size: 100, abort: false };
  for (let i = 0; i < calls.length || rest.length > 0; i++) {
    const call = calls[i] ?? finish;
    let { abort } = call;
    for (let done = false; !done;) {
      const left = [...rest];
      const giveUp = new AbortController();
      const result = check(rio, call, rest, bufsize ?? 65536, giveUp.signal)
        .then(() => done = true, (error) => error);
      while (await Promise.race([result, reader.stalled]) === undefined) {
        if (!abort || NO_SIGNAL.includes(call.name)) {
          reader.release();
          continue;
        }
        abort = false; // the next try waits
        giveUp.abort(new ScriptedError());
        break;
      }
      const error = await result;
      if (error === true) break;
      if (!(error instanceof ScriptedError)) throw error;
      if (!giveUp.signal.aborted) thrown++;
      if (call.name !== "iterator") assertEquals(rest, left, "nothing is lost");
    }
  }
  if (reader.waits) reader.release();
  assert(thrown <= errors);
}

// Newlines, what stands beside them in a word of four bytes, and everything else.
const byte = fc.oneof(
  { weight: 3, arbitrary: fc.constant(0x0a) },
  { weight: 2, arbitrary: fc.constantFrom(0x0b, 0x09, 0x8a, 0x00, 0xff) },
  { weight: 6, arbitrary: fc.integer({ min: 0, max: 255 }) },
);
const event: fc.Arbitrary<Event> = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: 1, max: 40 }) },
  {
    weight: 3,
    arbitrary: fc.constantFrom<Event>("error", "stall", "nothing"),
  },
);
const calls = (max: number) =>
  fc.array(
    fc.record({
      name: fc.constantFrom(...NAMES),
      size: fc.integer({ min: 2, max }),
      abort: fc.boolean(),
    }),
    { maxLength: 20 },
  );

Deno.test("any bytes, chunks, calls, aborts, errors and buffer sizes", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(byte, { maxLength: 200 }),
      fc.array(event, { maxLength: 30 }),
      calls(60),
      fc.option(fc.integer({ min: 1, max: 40 }), { nil: undefined }),
      (input, script, calls, bufsize) =>
        run(Uint8Array.from(input), script, calls, bufsize),
    ),
    { numRuns: 10_000 },
  );
});

Deno.test("large inputs, a buffer that grows, lines of all lengths", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 30_000 }),
      fc.integer({ min: 1, max: 4000 }),
      fc.array(
        fc.oneof(fc.integer({ min: 1, max: 20_000 }), fc.constant(Infinity)),
        { maxLength: 20 },
      ),
      calls(30_000),
      fc.constantFrom(0x7f, 0xff),
      async (length, lines, script, calls, mask) => {
        const input = noise(length).map((b, i) =>
          (b * 7 + i) % lines === 0 ? 10 : (b & mask) === 10 ? 11 : b & mask
        );
        await run(input, script, calls, undefined);
      },
    ),
    { numRuns: 40 },
  );
});
