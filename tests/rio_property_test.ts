/**
 * Any bytes, cut into any chunks, read by any mix of calls, with stalls, aborts at any
 * microtask, errors, EOFs, second calls and transfers in between, against a reference that is
 * slow and obviously right: what is left of the input, and how much of it each call must take.
 */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { MAXLINE, type Reader, Rio, type RioOptions } from "@netp/rio/rio";
// Not in deno.json, whose packages `deno task` fetches whatever the task.
import * as fc from "npm:fast-check@^4.10.2";
import { noise } from "./helpers.ts";

/** What the reader does next: bytes to come in one read, an error, an EOF, a wait, or 0 bytes. */
type Event = number | "error" | "eof" | "stall" | "nothing";
const NAMES = [
  "readlineb",
  "plain readlineb",
  "readline",
  "plain readline",
  "readnb",
  "read",
  "takeLine",
  "takeLines",
  "iterator",
  "lines",
  "peek",
  "skip",
] as const;
/** What the user calls next. */
type Call = {
  name: typeof NAMES[number];
  /** Bytes for readnb, read, peek and skip, maxlen for readlineb, lines for an iterator. */
  size: number;
  /** Microtasks to the abort, if the call takes a signal. */
  abort: number | undefined;
  /** Whether to call again if it was given up, and not to go on with the next call. */
  again: boolean;
  /** Whether to transfer what was returned. */
  transfer: boolean;
  /** Whether to call again at once, which must fail if the call waits. */
  twice: boolean;
};
const NO_SIGNAL: Call["name"][] = ["plain readlineb", "plain readline", "iterator"];

class ScriptedError extends Error {}

function delimiterOf({ delimiter = "\n" }: RioOptions): Uint8Array {
  if (typeof delimiter === "string") return new TextEncoder().encode(delimiter);
  return typeof delimiter === "number" ? Uint8Array.of(delimiter) : delimiter;
}

/** A reader that does what a script says, and then reads the rest in one go. */
class ScriptedReader implements Reader {
  #stalled = Promise.withResolvers<void>();
  #released = Promise.withResolvers<void>();
  #pos = 0;
  /** How many bytes came before each EOF that the reader has told. */
  readonly eofs: number[] = [];
  waits = false;
  reads = 0;

  constructor(readonly input: Uint8Array, readonly script: Event[]) {}

  async read(p: Uint8Array): Promise<number | null> {
    this.reads++;
    const event = this.script.shift() ?? Infinity;
    if (event === "error") throw new ScriptedError();
    if (event === "nothing") return 0;
    if (event === "eof") {
      this.eofs.push(this.#pos);
      return null;
    }
    if (event === "stall") {
      this.waits = true;
      this.#stalled.resolve();
      await this.#released.promise;
      return await this.read(p);
    }
    await Promise.resolve();
    const part = this.input.subarray(this.#pos).subarray(0, event).subarray(0, p.length);
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

/** What is left of the input, as the reference sees it. */
class Rest {
  readonly bytes: number[];

  readonly delimiter: Uint8Array;

  constructor(
    readonly reader: ScriptedReader,
    readonly options: RioOptions & { maxline: number },
  ) {
    this.bytes = [...reader.input];
    this.delimiter = delimiterOf(options);
  }

  /** Bytes before the next EOF. */
  get length(): number {
    const { eofs: [eof], input } = this.reader;
    if (eof === undefined) return this.bytes.length;
    const taken = input.length - this.bytes.length;
    // It came before the end of a line that was skipped: what is behind it counts again.
    if (eof < taken) this.bytes.unshift(...input.subarray(eof, taken));
    return Math.max(0, eof - taken);
  }

  /** Asserts that EOF comes next, and takes it; behind all bytes it comes again and again. */
  eof() {
    assertEquals(this.length, 0);
    this.reader.eofs.shift();
  }

  /** Bytes of the line that comes at `at`. */
  line(at = 0): number {
    const { bytes, delimiter, length } = this;
    for (let end = at + delimiter.length; end <= length; end++) {
      if (delimiter.every((byte, i) => bytes[end - delimiter.length + i] === byte)) return end - at;
    }
    return Math.max(length - at, 0);
  }

  /** Bytes of the piece of at most `limit` bytes that comes at `at`: it cuts no delimiter. */
  piece(limit: number, at = 0): number {
    const { bytes, delimiter } = this;
    const n = this.line(at);
    if (n <= limit && (n < limit || this.ends(at + n) || delimiter.length === 1)) return n;
    for (let cut = Math.min(delimiter.length - 1, limit); cut > 0; cut--) {
      const start = at + limit - cut;
      if (delimiter.subarray(0, cut).every((byte, i) => bytes[start + i] === byte)) {
        return limit - cut;
      }
    }
    return limit;
  }

  /** Whether a delimiter ends at `end`. */
  ends(end: number): boolean {
    const start = end - this.delimiter.length;
    return start >= 0 && this.delimiter.every((byte, i) => this.bytes[start + i] === byte);
  }

  /** Bytes of what comes at `at`, or null if it is a line too long and that is an error. */
  maxline(at = 0): number | null {
    const { maxline, tooLong } = this.options;
    if (tooLong !== "throw") return this.piece(maxline, at);
    const n = this.line(at);
    return n > maxline ? null : n;
  }

  /** Asserts that `bytes` come next, and takes them. */
  take(bytes: Uint8Array, expected: number, name: string) {
    assertEquals([...bytes], this.bytes.splice(0, expected), name);
  }

  /** Takes the line that is too long, whole. */
  skip() {
    this.bytes.splice(0, this.line());
  }
}

/** Calls once, and holds the result against what is left of the input. */
async function check(
  rio: Rio,
  { name, size, transfer }: Call,
  rest: Rest,
  max: number,
  signal: AbortSignal,
): Promise<void> {
  const give = (bytes: Uint8Array<ArrayBuffer>) => {
    bytes.fill(7); // it is the caller's
    if (transfer) structuredClone(bytes, { transfer: [bytes.buffer] });
  };
  const takeLine = (line: Uint8Array<ArrayBuffer> | null | undefined) => {
    if (!line) return rest.eof();
    const expected = rest.maxline()!;
    assert(line.length > 0);
    rest.take(line, expected, name);
    give(line);
  };
  try {
    if (name === "readnb" || name === "read") {
      const usrbuf = new Uint8Array(size);
      const n = name === "read"
        ? await rio.read(usrbuf, { signal })
        : await rio.readnb(usrbuf, size, { signal });
      const expected = Math.min(size, rest.length);
      if (name === "readnb") assertEquals(n, expected);
      else if (expected === 0) assertEquals(n, null);
      else assert(n !== null && n > 0 && n <= expected);
      if (expected === 0) return rest.eof();
      rest.take(usrbuf.subarray(0, n ?? 0), n ?? 0, name);
    } else if (name === "readlineb" || name === "plain readlineb") {
      const maxlen = Math.max(size, rest.delimiter.length + 1);
      const usrbuf = new Uint8Array(maxlen).fill(7);
      const n = name === "readlineb"
        ? await rio.readlineb(usrbuf, maxlen, { signal })
        : await rio.readlineb(usrbuf);
      assertEquals(n, rest.piece(maxlen - 1));
      assert(n === 0 ? usrbuf.every((byte) => byte === 7) : usrbuf[n] === 0);
      if (n === 0) return rest.eof();
      rest.take(usrbuf.subarray(0, n), n, name);
    } else if (name === "peek") {
      const n = Math.min(size, max);
      const filled = await rio.fill(n, { signal });
      const seen = rio.peek();
      assertEquals(rio.buffered, seen.length);
      assertEquals(rio.peek(size), seen.slice(0, size));
      if (!filled && seen.length === 0) return rest.eof();
      assertEquals(filled, n <= rest.length);
      assert(seen.length >= Math.min(n, rest.length));
      assertEquals([...seen], rest.bytes.slice(0, seen.length), name);
      give(seen);
    } else if (name === "skip") {
      const n = Math.min(size, max);
      if (!(await rio.fill(n, { signal })) && rio.buffered === 0) return rest.eof();
      const taken = Math.min(n, rio.buffered);
      rio.skip(taken);
      rest.bytes.splice(0, taken);
    } else if (name === "iterator" || name === "lines") {
      let lines = size;
      for await (const line of name === "lines" ? rio.lines({ signal }) : rio) {
        takeLine(line);
        if (--lines === 0) return;
      }
      rest.eof();
    } else if (name === "readline") {
      takeLine(await rio.readline({ signal }));
    } else if (name === "plain readline") {
      takeLine(await rio.readline());
    } else if (name === "takeLine") {
      if (await rio.ready({ signal }) === 0) {
        assertEquals(rio.takeLine(), null);
        return rest.eof();
      }
      takeLine(rio.takeLine()!);
    } else {
      const ready = await rio.ready({ signal });
      const usrbuf = new Uint8Array(Math.max(size, rest.options.maxline));
      const lengths = [99];
      const n = rio.takeLines(usrbuf, lengths);
      let at = 0;
      for (const length of lengths) {
        assertEquals(length, rest.maxline(at));
        at += length;
      }
      assertEquals(at, n);
      assertEquals(lengths[0] ?? 0, ready);
      if (ready === 0) return rest.eof();
      rest.take(usrbuf.subarray(0, n), n, name);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.InvalidData)) throw error;
    assertEquals(rest.maxline(), null, "it is too long");
    rest.skip();
  }
}

/** Reads all of the input with the given calls, and then line by line. */
async function run(
  input: Uint8Array,
  script: Event[],
  calls: Call[],
  options: RioOptions,
): Promise<void> {
  const reader = new ScriptedReader(input, [...script]);
  const rio = new Rio(reader, options);
  const max = options.bufsize ?? Math.max(65_536, options.maxline ?? 0);
  const rest = new Rest(reader, {
    ...options,
    maxline: options.maxline ?? Math.min(MAXLINE - 1, max),
  });
  const errors = script.filter((event) => event === "error").length;
  let thrown = 0;
  const finish: Call = {
    name: "readline",
    size: 100,
    abort: undefined,
    again: true,
    transfer: false,
    twice: true,
  };
  for (let i = 0; i < calls.length || rest.bytes.length > 0; i++) {
    const call = calls[i] ?? finish;
    let abort = NO_SIGNAL.includes(call.name) ? undefined : call.abort;
    for (let done = false; !done;) {
      const left = [...rest.bytes];
      const { reads } = reader;
      const giveUp = new AbortController();
      const result = check(rio, call, rest, max, giveUp.signal)
        .then(() => done = true, (error) => error);
      if (call.twice && reader.reads > reads) {
        assertThrows(() => rio.peek(), Error, "another read");
        await assertRejects(() => rio.readline(), Error, "another read");
      }
      if (abort !== undefined) {
        for (let k = 0; k < abort; k++) await null;
        giveUp.abort(new ScriptedError());
        abort = undefined; // the next try waits
      } else {
        while (await Promise.race([result, reader.stalled]) === undefined) reader.release();
      }
      const error = await result;
      if (error === true) break;
      if (!(error instanceof ScriptedError)) throw error;
      if (!giveUp.signal.aborted) thrown++;
      if (call.name !== "iterator" && call.name !== "lines") {
        assertEquals(rest.bytes, left, "nothing is lost");
      }
      if (giveUp.signal.aborted && !call.again) break;
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
  { weight: 3, arbitrary: fc.constantFrom<Event>("error", "eof", "stall", "nothing") },
);
const calls = (max: number) =>
  fc.array(
    fc.record({
      name: fc.constantFrom(...NAMES),
      size: fc.integer({ min: 2, max }),
      abort: fc.option(fc.integer({ min: 0, max: 30 }), { nil: undefined }),
      again: fc.boolean(),
      transfer: fc.boolean(),
      twice: fc.boolean(),
    }),
    { maxLength: 20 },
  );
const options = fc.record({
  bufsize: fc.option(fc.integer({ min: 1, max: 40 }), { nil: undefined }),
  maxline: fc.option(fc.integer({ min: 1, max: 40 }), { nil: undefined }),
  tooLong: fc.constantFrom(undefined, "split" as const, "throw" as const),
  delimiter: fc.constantFrom(
    undefined,
    0,
    0x8a,
    0xff,
    "\n\v",
    "\n\n",
    Uint8Array.of(10, 10, 11),
    Uint8Array.of(10, 0, 10, 0xff),
  ),
}).map(({ bufsize, maxline, ...options }) => {
  const { length } = delimiterOf(options);
  const size = bufsize && Math.max(bufsize, length);
  return {
    ...options,
    bufsize: size,
    maxline: maxline && Math.max(Math.min(maxline, size ?? maxline), length),
  };
});

Deno.test("any bytes, chunks, calls, aborts, errors and options", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(byte, { maxLength: 200 }),
      fc.array(event, { maxLength: 30 }),
      calls(60),
      options,
      (input, script, calls, options) => run(Uint8Array.from(input), script, calls, options),
    ),
    { numRuns: 10_000 },
  );
});

Deno.test("several that take turns, each with its own bytes", async () => {
  const rio = fc.record({
    input: fc.array(byte, { maxLength: 200 }),
    script: fc.array(event, { maxLength: 10 }),
    calls: calls(60),
    options,
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(rio, { minLength: 2, maxLength: 12 }), // more than can have a place
      async (rios) => {
        await Promise.all(
          rios.map(({ input, script, calls, options }) =>
            run(Uint8Array.from(input), script, calls, options)
          ),
        );
      },
    ),
    { numRuns: 500 },
  );
});

Deno.test("large inputs, a buffer that grows, lines of all lengths", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 80_000 }),
      fc.integer({ min: 1, max: 50_000 }),
      fc.array(
        fc.oneof(fc.integer({ min: 1, max: 20_000 }), fc.constant(Infinity)),
        { maxLength: 20 },
      ),
      calls(30_000),
      fc.constantFrom(0x7f, 0xff),
      fc.record({
        maxline: fc.constantFrom(undefined, 100, 20_000, 100_000),
        tooLong: fc.constantFrom("split" as const, "throw" as const),
        delimiter: fc.constantFrom("\n", "x\n"),
      }),
      async (length, lines, script, calls, mask, options) => {
        const input = noise(length).map((b, i) =>
          (b * 7 + i) % lines === 0 ? 10 : (b & mask) === 10 ? 11 : b & mask
        );
        await run(input, script, calls, options);
      },
    ),
    { numRuns: 25 },
  );
});
