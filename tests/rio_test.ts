import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { MAXLINE, Rio, RIO_BUFSIZE, rioReadn, rioWriten } from "@netp/rio/rio";
import { bytes, MemoryReader, text } from "./helpers.ts";

/** All that `readlineb` has to say of a reader. */
async function linesOf(rio: Rio, maxlen: number): Promise<string[]> {
  const buf = new Uint8Array(maxlen);
  const lines = [];
  for (let n; (n = await rio.readlineb(buf)) > 0;) {
    assertEquals(buf[n], 0, "the NUL");
    lines.push(text(buf.subarray(0, n)));
  }
  return lines;
}

Deno.test("the constants are those of csapp.h", () => {
  assertEquals([RIO_BUFSIZE, MAXLINE], [8192, 8192]);
});

Deno.test("rioReadn reads exactly n bytes, however they come", async () => {
  for (const size of [1, 2, 3, 100]) {
    const reader = MemoryReader.of("abcdefgh", size);
    const buf = new Uint8Array(8);
    assertEquals(await rioReadn(reader, buf, 5), 5);
    assertEquals(text(buf), "abcde\0\0\0");
    assertEquals(await rioReadn(reader, buf), 3, "short at EOF");
    assertEquals(text(buf), "fghde\0\0\0");
    assertEquals(await rioReadn(reader, buf), 0, "EOF at once");
  }
});

Deno.test("rioReadn takes n from 0 to the length of usrbuf", async () => {
  const reader = MemoryReader.of("abc", 1);
  const buf = new Uint8Array(2);
  assertEquals(await rioReadn(reader, buf, 0), 0);
  for (const n of [-1, 3, 1.5, NaN]) {
    await assertRejects(() => rioReadn(reader, buf, n), RangeError, `${n}`);
  }
  assertEquals(await rioReadn(reader, buf, 2), 2);
});

Deno.test("rioReadn throws on what the reader throws", async () => {
  const reader = new MemoryReader(["ab", new Error("cut")]);
  await assertRejects(() => rioReadn(reader, new Uint8Array(4)), Error, "cut");
});

Deno.test("rioWriten writes all, however little is taken", async () => {
  for (const size of [1, 2, 3, 100]) {
    let out = "";
    const writer = {
      write(p: Uint8Array) {
        const part = p.subarray(0, size);
        out += text(part);
        return Promise.resolve(part.length);
      },
    };
    assertEquals(await rioWriten(writer, bytes("hello\n")), 6);
    assertEquals(await rioWriten(writer, bytes("")), 0);
    assertEquals(out, "hello\n");
  }
});

Deno.test("rioWriten takes a write of 0 bytes for an error", async () => {
  const counts = [2, 0];
  const writer = { write: () => Promise.resolve(counts.shift()!) };
  await assertRejects(
    () => rioWriten(writer, bytes("hello\n")),
    Deno.errors.WriteZero,
    "0 of 4 bytes",
  );
});

Deno.test("a count that can't be is an error", async () => {
  for (const count of [-1, 7, 0.5, NaN]) {
    const fd = {
      read: () => Promise.resolve(count),
      write: () => Promise.resolve(count),
    };
    const buf = new Uint8Array(6);
    await assertRejects(() => rioWriten(fd, buf), Error, `${count}`);
    await assertRejects(() => rioReadn(fd, buf), Error, `${count}`);
    await assertRejects(() => new Rio(fd, 6).readnb(buf), Error, `${count}`);
  }
});

Deno.test("readlineb returns lines, whatever the chunks and the buffer", async () => {
  const input = "one\n\ntwo\0\r\n\xff\xfe\nlast";
  const lines = ["one\n", "\n", "two\0\r\n", "\xff\xfe\n", "last"];
  for (const chunk of [1, 2, 3, 5, 100]) {
    for (const bufsize of [1, 2, 3, 7, 8192, undefined]) {
      const rio = new Rio(MemoryReader.of(input, chunk), bufsize);
      assertEquals(await linesOf(rio, 100), lines);
      assertEquals(await linesOf(rio, 100), [], "EOF again");
    }
  }
});

Deno.test("readlineb breaks a line longer than maxlen - 1", async () => {
  const read = (maxlen: number) =>
    linesOf(new Rio(MemoryReader.of("abcdef\ngh\n", 4), 3), maxlen);
  assertEquals(await read(2), [..."abcdef\ngh\n"]);
  assertEquals(await read(4), ["abc", "def", "\n", "gh\n"]);
  assertEquals(await read(7), ["abcdef", "\n", "gh\n"]);
  assertEquals(await read(8), ["abcdef\n", "gh\n"]);
});

Deno.test("readlineb leaves usrbuf untouched at EOF, and what is behind the NUL", async () => {
  const rio = new Rio(MemoryReader.of("a\n", 9));
  const buf = new Uint8Array(5).fill(7);
  assertEquals(await rio.readlineb(buf), 2);
  assertEquals([...buf], [97, 10, 0, 7, 7]);
  buf.fill(7);
  assertEquals(await rio.readlineb(buf), 0);
  assertEquals([...buf], [7, 7, 7, 7, 7]);
});

Deno.test("readlineb takes maxlen from 2 to the length of usrbuf", async () => {
  const rio = new Rio(MemoryReader.of("ab\n", 9));
  const buf = new Uint8Array(3);
  for (const maxlen of [-1, 0, 1, 4, 2.5, NaN]) {
    await assertRejects(
      () => rio.readlineb(buf, maxlen),
      RangeError,
      `Cannot read a line: maxlen must be an integer from 2 to 3, current value is ${maxlen}`,
    );
  }
  assertEquals(await rio.readlineb(buf, 2), 1);
});

Deno.test("a Rio takes a bufsize of 1 or more", () => {
  for (const bufsize of [0, -1, 1.5, NaN]) {
    assertThrows(
      () => new Rio(MemoryReader.of("", 1), bufsize),
      RangeError,
      `${bufsize}`,
    );
  }
});

Deno.test("lines and counted reads may be mixed", async () => {
  for (const chunk of [1, 4, 100]) {
    const rio = new Rio(MemoryReader.of("5\nhel\nolast\nend", chunk), 4);
    const buf = new Uint8Array(20);
    assertEquals(await rio.readlineb(buf), 2);
    assertEquals(await rio.readnb(buf, 5), 5);
    assertEquals(text(buf.subarray(0, 5)), "hel\no");
    assertEquals(await rio.readnb(buf, 0), 0);
    assertEquals(await rio.readlineb(buf), 5);
    assertEquals(await rio.readnb(buf), 3, "short at EOF");
    assertEquals(await rio.readnb(buf), 0);
  }
});

Deno.test("an error in the middle keeps the bytes for the next call", async () => {
  for (const bufsize of [1, 2, 3, 4, 8192]) {
    const parts = ["abcd", new Error("cut"), "ef", new Error("again"), "g\nh"];
    const rio = new Rio(new MemoryReader(parts), bufsize);
    const buf = new Uint8Array(20);
    await assertRejects(() => rio.readlineb(buf), Error, "cut");
    await assertRejects(() => rio.readnb(buf, 7), Error, "again");
    assertEquals(await rio.readnb(buf, 2), 2);
    assertEquals(await rio.readlineb(buf, 20), 6);
    assertEquals(text(buf.subarray(0, 6)), "cdefg\n");
    assertEquals(await rio.readlineb(buf, 20), 1);
  }
});

Deno.test("a reader that returns 0 bytes again and again is an error", async () => {
  let reads = 0;
  const reader = {
    read(p: Uint8Array) {
      // Once in a while a byte: then it goes on.
      p[0] = 97;
      return Promise.resolve(reads++ < 198 && reads % 99 === 0 ? 1 : 0);
    },
  };
  const rio = new Rio(reader);
  const buf = new Uint8Array(10);
  await assertRejects(() => rio.readlineb(buf), Error, "0 bytes 100 times");
  assertEquals(reads, 298);
  assertEquals(await rio.readnb(buf, 2), 2, "the bytes are still there");
});

Deno.test("two reads at once are an error, and the first goes on", async () => {
  const buf = new Uint8Array(10);
  for (
    const read of [
      (rio: Rio) => rio.readnb(buf, 3),
      async (rio: Rio) => {
        assert(await rio.ready());
        rio.takeLines([]);
        return 3;
      },
    ]
  ) {
    const { promise, resolve } = Promise.withResolvers<void>();
    const reader = MemoryReader.of("abc", 3);
    const rio = new Rio({
      read: async (p) => {
        await promise;
        return await reader.read(p);
      },
    });
    const first = read(rio);
    await assertRejects(() => rio.readlineb(buf), Error, "under way");
    await assertRejects(() => rio.readnb(buf), Error, "under way");
    await assertRejects(() => rio.ready(), Error, "under way");
    resolve();
    assertEquals(await first, 3);
    assertEquals(await rio.readlineb(buf), 0);
  }
});

Deno.test("a wait that fails leaves the Rio as it was", async () => {
  const errors = [
    () => Promise.reject(new Error("later")),
    () => {
      throw new Error("at once");
    },
    () => Promise.resolve(-1),
  ];
  const reader = MemoryReader.of("line\n", 5);
  const rio = new Rio({ read: (p) => errors.shift()?.() ?? reader.read(p) });
  for (const message of ["later", "at once", "count -1"]) {
    await assertRejects(() => rio.ready(), Error, message);
  }
  assert(await rio.ready());
  assertEquals(text(rio.takeLines([])), "line\n");
});

Deno.test("memory is bounded by the buffer, whatever the peer sends", async () => {
  let largest = 0;
  let left = 1e6; // bytes without a newline
  const reader = {
    read(p: Uint8Array) {
      largest = Math.max(largest, p.buffer.byteLength);
      const n = Math.min(p.length, left);
      left -= n;
      return Promise.resolve(n || null);
    },
  };
  const rio = new Rio(reader, 16);
  const buf = new Uint8Array(100);
  let total = 0;
  for (let n; (n = await rio.readlineb(buf)) > 0;) total += n;
  assertEquals([total, largest], [1e6, 16]);
});

Deno.test("readline returns views of lines, and null at EOF", async () => {
  const rio = new Rio(MemoryReader.of(`a\n\nb${"c".repeat(300)}\nd`, 5));
  const lines = [];
  for (let line; (line = await rio.readline()) !== null;) {
    lines.push(text(line));
  }
  assertEquals(lines, ["a\n", "\n", `b${"c".repeat(300)}\n`, "d"]);
  assertEquals(await rio.readline(), null);
});

Deno.test("readline is bounded by maxlen, which is bounded by the buffer", async () => {
  const rio = new Rio(MemoryReader.of("abcdef\n", 100), 4);
  assertEquals(text((await rio.readline({ maxlen: 3 }))!), "ab");
  assertEquals(text((await rio.readline())!), "cdef");
  for (const maxlen of [0, 1, 6, 2.5, NaN]) {
    await assertRejects(
      () => rio.readline({ maxlen }),
      RangeError,
      `${maxlen}`,
    );
    await assertRejects(() => rio.ready({ maxlen }), RangeError, `${maxlen}`);
    assertThrows(() => rio.takeLines([], maxlen), RangeError, `${maxlen}`);
  }
  assertEquals(text((await rio.readline({ maxlen: 5 }))!), "\n");

  const long = new Rio(MemoryReader.of("x".repeat(70_000), 1000));
  assertEquals((await long.readline())!.length, MAXLINE - 1);
  assertEquals((await long.readline({ maxlen: 61_000 }))!.length, 60_999);
  await assertRejects(() => long.readline({ maxlen: 65_538 }), RangeError);
});

Deno.test("the iterator yields copies, and can be left and entered again", async () => {
  const reader = MemoryReader.of("a\nb\nc\nd", 100);
  const rio = new Rio(reader);
  const lines = [];
  for await (const line of rio) {
    lines.push(line);
    if (lines.length === 2) break;
  }
  const buf = new Uint8Array(10);
  assertEquals(await rio.readnb(buf, 1), 1, "the rest is in the buffer");
  for await (const line of rio) lines.push(line);
  assertEquals(lines.map(text), ["a\n", "b\n", "\n", "d"]);
});

Deno.test("takeLines takes what is there, without a promise", async () => {
  const rio = new Rio(new MemoryReader(["a\nbc\nd", "ef\n", "gh"]));
  const lengths: number[] = [];
  assertEquals([text(rio.takeLines(lengths)), lengths], ["", []]);
  assertEquals(await rio.ready(), true);
  assertEquals([text(rio.takeLines(lengths)), lengths], ["a\nbc\n", [2, 3]]);
  assertEquals([text(rio.takeLines(lengths)), lengths], ["", []]);
  assertEquals(await rio.ready({ maxlen: 3 }), true);
  assertEquals([text(rio.takeLines(lengths, 3)), lengths], ["def\n", [2, 2]]);
  assertEquals(await rio.ready(), true, "a last line without a newline");
  assertEquals(await rio.ready(), true, "it is still there");
  assertEquals([text(rio.takeLines(lengths)), lengths], ["gh", [2]]);
  assertEquals(await rio.ready(), false);
  assertEquals([text(rio.takeLines(lengths)), lengths], ["", []]);
});

Deno.test("a newline is found wherever it stands, whatever is before it", async () => {
  const lengths: number[] = [];
  for (const fill of ["x", "\x0b", "\x8a", "\xff"]) {
    for (let start = 1; start <= 4; start++) {
      // Each of them begins and ends at every place of a word, and of four words.
      const expected = [start];
      for (let n = 1; n <= 100; n++) expected.push(n, 4 - n % 4);
      for (let n = 1; n <= 100; n++) expected.push(n, 17 - n % 16);
      const input = expected.map((n) => fill.repeat(n - 1) + "\n").join("");
      const rio = new Rio(new MemoryReader([input]), input.length);
      assertEquals(await rio.ready(), true);
      assertEquals(text(rio.takeLines(lengths)), input);
      assertEquals(lengths, expected);
    }
  }
});

Deno.test("more may come after EOF, as from a terminal", async () => {
  const rio = new Rio(new MemoryReader(["ab", null, "cde", "f\n", null, "g"]));
  assertEquals(await rio.ready(), true, "ab, and EOF");
  assertEquals(await rio.readnb(new Uint8Array(3)), 3);
  assertEquals(text((await rio.readline())!), "def\n");
  assertEquals(await rio.readline(), null);
  assertEquals(text((await rio.readline())!), "g");
});

Deno.test("the buffer grows to 64 KiB while reads fill it, unless bufsize is given", async () => {
  const rooms = async (bytes: number, chunk: number, bufsize?: number) => {
    const rooms = new Set<number>();
    const reader = {
      read(p: Uint8Array) {
        rooms.add(p.buffer.byteLength);
        const n = Math.min(p.length, chunk, bytes);
        bytes -= n;
        return Promise.resolve(n || null);
      },
    };
    const rio = new Rio(reader, bufsize);
    while (await rio.readnb(new Uint8Array(1000)) > 0);
    return [...rooms];
  };
  assertEquals(await rooms(1e6, 1e6), [8192, 16384, 32768, 65536]);
  assertEquals(await rooms(1e6, 1e6, 4096), [4096]);
  assertEquals(await rooms(1e6, 1000), [8192], "reads that don't fill it");
});

/** A reader whose reads end when the test says so. */
class SlowReader {
  reads: { room: Uint8Array; end: (part: string | Error | null) => void }[] =
    [];

  read(p: Uint8Array): Promise<number | null> {
    const { promise, resolve, reject } = Promise.withResolvers<number | null>();
    this.reads.push({
      room: p,
      end(part) {
        if (part instanceof Error) reject(part);
        else {
          if (part !== null) p.set(bytes(part));
          resolve(part === null ? null : part.length);
        }
      },
    });
    return promise;
  }
}

Deno.test("a read that was given up rejects with the reason, and loses no byte", async () => {
  const reader = new SlowReader();
  const rio = new Rio(reader);
  const buf = new Uint8Array(20);
  const calls: ((signal: AbortSignal) => Promise<unknown>)[] = [
    (signal) => rio.readline({ signal }),
    (signal) => rio.ready({ signal }),
    (signal) => rio.readlineb(buf, 20, { signal }),
    (signal) => rio.readnb(buf, 20, { signal }),
  ];
  for (const call of calls) {
    const stop = new AbortController();
    const read = call(stop.signal);
    stop.abort(new Error("enough"));
    await assertRejects(() => read, Error, "enough");
    await assertRejects(
      () => call(AbortSignal.abort(new Error("before"))),
      Error,
      "before",
    );
  }
  assertEquals(reader.reads.length, 1, "the read in flight stays");
  const late = rio.readline();
  reader.reads[0].end("late\n");
  assertEquals(text((await late)!), "late\n");
});

Deno.test("bytes that came before the read was given up stay too", async () => {
  const reader = new SlowReader();
  const rio = new Rio(reader, 2);
  const buf = new Uint8Array(20);
  const stop = new AbortController();
  const read = rio.readlineb(buf, 20, { signal: stop.signal });
  for (const part of ["ab", "cd", "e"]) {
    reader.reads.at(-1)!.end(part);
    await new Promise((resolve) => setTimeout(resolve));
  }
  stop.abort();
  await assertRejects(() => read, DOMException, "abort");
  const room = reader.reads.at(-1)!.room;
  assert(room.length > 0);
  reader.reads.at(-1)!.end("\n");
  assertEquals(await rio.readlineb(buf), 6);
  assertEquals(text(buf.subarray(0, 6)), "abcde\n");
  assertEquals(reader.reads.length, 4);
});

Deno.test("a read that fails after it was given up throws to the next call", async () => {
  const reader = new SlowReader();
  const rio = new Rio(reader, 2);
  const buf = new Uint8Array(20);
  const give = async () => {
    const stop = new AbortController();
    const read = rio.readnb(buf, 9, { signal: stop.signal });
    await new Promise((resolve) => setTimeout(resolve));
    stop.abort();
    await assertRejects(() => read, DOMException);
  };
  const first = rio.readnb(buf, 3);
  reader.reads[0].end("ab");
  await new Promise((resolve) => setTimeout(resolve));
  reader.reads[1].end("c");
  assertEquals(await first, 3);
  await give();
  await give();
  // Nobody waits for it: it must not be taken for unhandled.
  reader.reads[2].end(new Error("reset"));
  await new Promise((resolve) => setTimeout(resolve));
  await assertRejects(() => rio.readline(), Error, "reset");
  const next = rio.readline();
  reader.reads[3].end(null);
  assertEquals(await next, null);
});

Deno.test("a read that ends takes its listener off the signal", async () => {
  const { signal } = new AbortController();
  let listeners = 0;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  Object.assign(signal, {
    addEventListener(type: string, listener: () => void) {
      listeners++;
      add(type, listener);
    },
    removeEventListener(type: string, listener: () => void) {
      listeners--;
      remove(type, listener);
    },
  });
  const rio = new Rio(MemoryReader.of("a\nb\nc\n", 1));
  for (const n of [1, 2, 3]) {
    assertEquals((await rio.readline({ signal }))?.length, 2, `line ${n}`);
  }
  assertEquals(listeners, 0);
});

Deno.test("AbortSignal.timeout is a deadline, and the connection lives on", async () => {
  using listenfd = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  using clientfd = await Deno.connect({ port: listenfd.addr.port });
  using connfd = await listenfd.accept();
  const rio = new Rio(connfd);
  await clientfd.write(bytes("half a "));
  const error = await assertRejects(
    () => rio.readline({ signal: AbortSignal.timeout(20) }),
    DOMException,
  );
  assertEquals(error.name, "TimeoutError");
  await clientfd.write(bytes("line\n"));
  assertEquals(text((await rio.readline())!), "half a line\n");
});

const { gc } = globalThis as { gc?: () => void };
Deno.test({
  name: "giving up again and again costs no memory (needs --expose-gc)",
  ignore: gc === undefined,
  async fn() {
    const reader = new SlowReader();
    const rio = new Rio(reader, 4);
    const buf = new Uint8Array(100);
    const first = rio.readnb(buf, 2);
    reader.reads[0].end("abc");
    await first;
    const heap = () => {
      gc!();
      return Deno.memoryUsage().heapUsed;
    };
    let before = 0;
    for (let i = 0; i < 30_000; i++) {
      if (i === 10_000) before = heap();
      const stop = new AbortController();
      const read = rio.readnb(buf, 9, { signal: stop.signal });
      stop.abort();
      await read.catch(() => {});
    }
    const bytesEach = (heap() - before) / 20_000;
    assert(bytesEach < 30, `${bytesEach} bytes each`);
    reader.reads[1].end("d\n");
    assertEquals(await rio.readlineb(buf), 3);
    assertEquals(text(buf.subarray(0, 3)), "cd\n");
  },
});
