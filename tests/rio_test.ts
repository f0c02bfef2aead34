import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  chomp,
  MAXLINE,
  type Reader,
  Rio,
  RIO_BUFSIZE,
  rioReadn,
  rioWriten,
  type Writer,
} from "@netp/rio/rio";
import { turn } from "./clock.ts";
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

/** A reader whose reads end when the test says so. */
class SlowReader {
  reads: { room: Uint8Array; end: (part: string | Error | null) => void }[] = [];

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
    "Cannot write: 0 of 4 bytes were taken",
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
    await assertRejects(() => new Rio(fd, { bufsize: 6 }).readnb(buf), Error, `${count}`);
  }
});

Deno.test("a count of more bytes than were left is an error", async () => {
  const take = (...counts: number[]) => () => Promise.resolve(counts.shift()!);
  const buf = new Uint8Array(6);
  const message = "to 4, current value is 5";
  await assertRejects(() => rioReadn({ read: take(2, 5) }, buf), RangeError, message);
  await assertRejects(() => rioWriten({ write: take(2, 5) }, buf), RangeError, message);
});

Deno.test("readlineb returns lines, whatever the chunks and the buffer", async () => {
  const input = "one\n\ntwo\0\r\n\xff\xfe\nlast";
  const lines = ["one\n", "\n", "two\0\r\n", "\xff\xfe\n", "last"];
  for (const chunk of [1, 2, 3, 5, 100]) {
    for (const bufsize of [1, 2, 3, 7, 8192, undefined]) {
      const rio = new Rio(MemoryReader.of(input, chunk), { bufsize });
      assertEquals(await linesOf(rio, 100), lines);
      assertEquals(await linesOf(rio, 100), [], "EOF again");
    }
  }
});

Deno.test("readlineb breaks a line longer than maxlen - 1", async () => {
  const read = (maxlen: number) =>
    linesOf(new Rio(MemoryReader.of("abcdef\ngh\n", 4), { bufsize: 3 }), maxlen);
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

Deno.test("readnb takes n from 0 to the length of usrbuf", async () => {
  const rio = new Rio(MemoryReader.of("ab\n", 9));
  for (const n of [-1, 4, 1.5, NaN]) {
    await assertRejects(
      () => rio.readnb(new Uint8Array(3), n),
      RangeError,
      `Cannot read bytes: n must be an integer from 0 to 3, current value is ${n}`,
    );
  }
  assertEquals(await rio.readnb(new Uint8Array(3)), 3);
});

Deno.test("a Rio takes a bufsize from 1 to 2^30", () => {
  for (const bufsize of [0, -1, 1.5, NaN, 2 ** 30 + 1, 2 ** 31]) {
    assertThrows(
      () => new Rio(MemoryReader.of("", 1), { bufsize }),
      RangeError,
      `Cannot make a Rio: bufsize must be an integer from 1 to 1073741824, current value is ${bufsize}`,
    );
  }
});

Deno.test("lines and counted reads may be mixed", async () => {
  for (const chunk of [1, 4, 100]) {
    const rio = new Rio(MemoryReader.of("5\nhel\nolast\nend", chunk), { bufsize: 4 });
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
    const rio = new Rio(new MemoryReader(parts), { bufsize });
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

/** Every way to read what comes next: its text, and "" at EOF. */
const WAYS: Record<string, (rio: Rio, signal?: AbortSignal) => Promise<string>> = {
  async readlineb(rio, signal) {
    const buf = new Uint8Array(MAXLINE);
    return text(buf.subarray(0, await rio.readlineb(buf, MAXLINE, signal && { signal })));
  },
  async readnb(rio, signal) {
    const buf = new Uint8Array(8);
    return text(buf.subarray(0, await rio.readnb(buf, 8, signal && { signal })));
  },
  async read(rio, signal) {
    const buf = new Uint8Array(100);
    return text(buf.subarray(0, await rio.read(buf, signal && { signal }) ?? 0));
  },
  async readline(rio, signal) {
    return text(await rio.readline(signal && { signal }) ?? new Uint8Array(0));
  },
  async "for await"(rio) {
    for await (const line of rio) return text(line);
    return "";
  },
  async takeLine(rio, signal) {
    return await rio.ready(signal && { signal }) ? text(rio.takeLine()!) : "";
  },
  async takeLines(rio, signal) {
    if (!(await rio.ready(signal && { signal }))) return "";
    const buf = new Uint8Array(MAXLINE);
    return text(buf.subarray(0, rio.takeLines(buf, [])));
  },
  async peek(rio, signal) {
    await rio.fill(8, signal && { signal });
    const buf = new Uint8Array(rio.peek().length);
    const seen = text(rio.peek());
    if (buf.length > 0) assertEquals(await rio.readnb(buf), buf.length);
    assertEquals(text(buf), seen);
    return seen;
  },
};
/** Those that wait first, and then take. */
const TWO_STEPS = ["takeLine", "takeLines", "peek"];
const SIGNAL_WAYS = Object.entries(WAYS).filter(([way]) => way !== "for await");

for (const [way, next] of Object.entries(WAYS)) {
  Deno.test(`a read beside one that waits is an error, and takes nothing: ${way}`, async () => {
    // The first has to wait.
    const reader = new SlowReader();
    const waiting = new Rio(reader);
    const first = next(waiting);
    for (const [, other] of Object.entries(WAYS)) {
      await assertRejects(() => other(waiting), Error, "another read");
    }
    assertThrows(() => waiting.takeLine(), Error, "another read");
    assertThrows(() => waiting.takeLines(new Uint8Array(MAXLINE), []), Error, "another read");
    assertThrows(() => waiting.peek(), Error, "another read");
    reader.reads[0].end("8 bytes\n");
    assertEquals(await first, "8 bytes\n");

    // The first waits for more than a line that is buffered.
    const slow = new SlowReader();
    const short = new Rio(slow);
    const nine = short.readnb(new Uint8Array(9));
    slow.reads[0].end("8 bytes\n");
    for (let i = 0; i < 9; i++) await null;
    await assertRejects(() => next(short), Error, "another read");
    slow.reads[1].end("!");
    assertEquals(await nine, 9);

    // The reader itself begins one.
    const parts = ["8 by", "tes\n"];
    const within: Promise<unknown>[] = [];
    const reentered: Rio = new Rio({
      read(p) {
        within.push(assertRejects(() => reentered.readline(), Error, "another read"));
        p.set(bytes(parts[0]));
        return Promise.resolve(parts.shift()!.length);
      },
    });
    if (way !== "read") assertEquals(await next(reentered), "8 bytes\n");
    else assertEquals(await next(reentered) + await next(reentered), "8 bytes\n");
    assertEquals(within.length, 2);
    await Promise.all(within);

    // Both find their bytes in the buffer: each gets its own, in order.
    const rio = new Rio(new MemoryReader(["8 bytes\n8 more.\n"]));
    await rio.fill(16);
    const both = await Promise.all([next(rio), rio.readline()]);
    if (TWO_STEPS.includes(way)) {
      assertEquals(text(both[1]!), "8 bytes\n"); // while the first had only looked
      assertEquals(both[0], "8 more.\n");
    } else {
      assertEquals(both[0] + text(both[1] ?? bytes("")), "8 bytes\n8 more.\n");
    }
  });

  Deno.test(`an EOF is reported once, after all bytes before it: ${way}`, async () => {
    for (const first of ["ready", "fill", "takeLines", undefined]) {
      const rio = new Rio(new MemoryReader(["abc", null, "def\n", null, null, "g", null]));
      if (first === "ready") await rio.ready();
      if (first === "fill") await rio.fill(4);
      if (first === "takeLines") rio.takeLines(new Uint8Array(MAXLINE), []);
      const told = [];
      for (let i = 0; i < 7; i++) told.push(await next(rio));
      assertEquals(told, ["abc", "", "def\n", "", "", "g", ""], `${first} before it`);
    }
  });
}

Deno.test("bytes are taken in the step in which they land: another read has its own, or is refused", async () => {
  const parts = ["8 by", "tes\n", "8 more.\n", "8 again\n"];
  const reads: ((rio: Rio) => Promise<string>)[] = [
    ...Object.entries(WAYS).filter(([way]) => !TWO_STEPS.includes(way)).map(([, next]) => next),
    async (rio) => {
      const buf = new Uint8Array(100);
      return text(buf.subarray(0, await rio.readnb(buf, 20)));
    },
  ];
  for (const read of reads) {
    for (let begin = 0; begin < 20; begin++) {
      const rio = new Rio(new MemoryReader(parts));
      const first = read(rio);
      for (let i = 0; i < begin; i++) await null;
      const second = rio.readline().then(
        (line) => text(line ?? new Uint8Array(0)),
        ({ message }) => {
          assert(message.includes("another read"), message);
          return "";
        },
      );
      let told = await first + await second;
      for await (const line of rio) told += text(line);
      assertEquals(told, parts.join(""), `after ${begin} microtasks`);
    }
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
  for (const message of ["later", "at once", "current value is -1"]) {
    await assertRejects(() => rio.ready(), Error, message);
  }
  assert(await rio.ready());
  assertEquals(text(rio.takeLine()!), "line\n");
});

Deno.test("a read in parts that is aborted stays whole, whenever another begins", async () => {
  for (let abort = 0; abort < 12; abort++) {
    for (let begin = 0; begin < 12; begin++) {
      const reader = new MemoryReader(["abcd", "efgh", "ijkl", "mnop"]);
      let failing = true;
      const fail = (count: number | null) => {
        if (count !== null || !failing) return count;
        failing = false;
        throw new Error("gone");
      };
      const read = (p: Uint8Array) => reader.read(p).then(fail);
      const rio = new Rio({ read }, { bufsize: 4 });
      const buf = new Uint8Array(20);
      await assertRejects(() => rio.readnb(buf), Error, "gone"); // 16 bytes are put back
      const controller = new AbortController();
      const options = { signal: controller.signal };
      const wait = async (microtasks: number) => {
        for (let i = 0; i < microtasks; i++) await null;
      };
      const [first, second] = await Promise.allSettled([
        rio.readnb(buf, 20, options).then((n) => text(buf.subarray(0, n))),
        wait(begin).then(() => rio.readline()).then((line) => text(line!)),
        wait(abort).then(() => controller.abort()),
      ]);
      let rest = "";
      for await (const line of rio) rest += text(line);
      const taken = [first, second].map((read) => read.status === "fulfilled" ? read.value : "");
      assertEquals(taken.join("") + rest, "abcdefghijklmnop", `${abort} ${begin}`);
    }
  }
});

Deno.test("a read may return its count at once, as JavaScript allows", async () => {
  const read = (p: Uint8Array) => p.fill(0x0a).length as unknown as Promise<number>;
  assertEquals(text((await new Rio({ read }).readline())!), "\n");
});

Deno.test("an abort by the reader itself isn't missed", async () => {
  const controller = new AbortController();
  const read = () => {
    controller.abort(new Error("enough"));
    return new Promise<number>(() => {});
  };
  const { signal } = controller;
  await assertRejects(() => new Rio({ read }).readline({ signal }), Error, "enough");

  // What the read itself threw goes to the next call.
  const aborted = new AbortController();
  const failing = new Rio({
    read() {
      aborted.abort(new Error("enough"));
      return Promise.reject(new Error("gone"));
    },
  });
  await assertRejects(() => failing.readline({ signal: aborted.signal }), Error, "enough");
  await turn(); // an unhandled rejection would end the test
  await assertRejects(() => failing.readline(), Error, "gone");
});

Deno.test("what a failed read has added to the buffer is given back", async () => {
  let room = 0;
  let left = 1_000_000;
  const read = (p: Uint8Array) => {
    if (left <= 0) {
      left = 1_000_000;
      return Promise.reject(new Error("gone"));
    }
    room = p.length;
    const count = Math.min(30_000, p.length);
    left -= count;
    return Promise.resolve(count);
  };
  const rio = new Rio({ read });
  await assertRejects(() => rio.readnb(new Uint8Array(2_000_000)), Error, "gone");
  const buf = new Uint8Array(20_000);
  for (let i = 0; i < 100; i++) {
    await rio.fill(60_000).catch(() => false);
    await rio.readnb(buf).catch(() => 0);
  }
  assert(room <= 65_536, `${room} bytes of room`);
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
  const rio = new Rio(reader, { bufsize: 16 });
  const buf = new Uint8Array(100);
  let total = 0;
  for (let n; (n = await rio.readlineb(buf)) > 0;) total += n;
  assertEquals([total, largest], [1e6, 16]);
});

Deno.test("a readnb of more than the buffer holds that fails keeps every byte, and no memory", async () => {
  const reader = new MemoryReader(["x".repeat(100_000), new Error("cut"), "y"]);
  let room = 0;
  const rio = new Rio({
    read(p) {
      room = p.buffer.byteLength;
      return reader.read(p);
    },
  }, { bufsize: 1000 });
  const usrbuf = new Uint8Array(100_001);
  await assertRejects(() => rio.readnb(usrbuf), Error, "cut");
  assertEquals(await rio.readnb(usrbuf), 100_001);
  assertEquals(text(usrbuf), "x".repeat(100_000) + "y");
  assertEquals(await rio.read(usrbuf), null);
  assertEquals(room, 1000, "what the failed call had added is given back");
});

Deno.test("readline returns lines, which stay as they are, and null at EOF", async () => {
  const rio = new Rio(MemoryReader.of(`a\n\nb${"c".repeat(300)}\nd`, 5));
  const lines = [];
  for (let line; (line = await rio.readline()) !== null;) lines.push(line);
  assertEquals(lines.map(text), ["a\n", "\n", `b${"c".repeat(300)}\n`, "d"]);
  assertEquals(await rio.readline(), null);
});

Deno.test("maxline bounds a line, and the buffer bounds maxline", async () => {
  const lines = async (input: string, maxline?: number, bufsize?: number) => {
    const found = [];
    for await (const line of new Rio(MemoryReader.of(input, 1000), { maxline, bufsize })) {
      found.push(text(line));
    }
    return found;
  };
  assertEquals(await lines("abcdef\ngh\n", 3), ["abc", "def", "\n", "gh\n"]);
  assertEquals(await lines("abcdef\ngh\n", 7), ["abcdef\n", "gh\n"]);
  assertEquals(await lines("abcdef\n", undefined, 4), ["abcd", "ef\n"]);
  const long = "x".repeat(70_000);
  assertEquals((await lines(long)).map((line) => line.length)[0], MAXLINE - 1);
  assertEquals((await lines(long, 65_536)).map((line) => line.length), [65_536, 4464]);
  for (const maxline of [0, 5, 2.5, NaN]) {
    assertThrows(
      () => new Rio(MemoryReader.of("", 1), { bufsize: 4, maxline }),
      RangeError,
      `Cannot make a Rio: maxline must be an integer from 1 to 4, current value is ${maxline}`,
    );
  }
});

Deno.test("a line too long is an error if the maker says so, and the next call is behind it", async () => {
  for (const chunk of [1, 2, 3, 7, 100]) {
    const input = `abc\n${"x".repeat(50)}\nGET\n0123456789\nend`;
    const told = async (next: (rio: Rio) => Promise<string>) => {
      const rio = new Rio(MemoryReader.of(input, chunk), { maxline: 4, tooLong: "throw" });
      const told = [];
      for (let end = 0; end < 2;) {
        try {
          told.push(await next(rio));
          if (told.at(-1) === "") end = 2;
        } catch (error) {
          assert(error instanceof Deno.errors.InvalidData);
          assertEquals(error.message, "Cannot read a line: no delimiter in its first 4 bytes");
          told.push("too long");
        }
      }
      return told.join("|");
    };
    const expected = "abc\n|too long|GET\n|too long|end|";
    for (const way of ["readline", "for await", "takeLine", "takeLines"]) {
      assertEquals(await told(WAYS[way]), expected, `${way}, chunks of ${chunk}`);
    }
    // What comes behind the line is what bytes are read from too.
    const rio = new Rio(MemoryReader.of(input, chunk), { maxline: 4, tooLong: "throw" });
    await rio.readline();
    await assertRejects(() => rio.ready(), Deno.errors.InvalidData);
    const buf = new Uint8Array(4);
    assertEquals(await rio.readnb(buf), 4);
    assertEquals(text(buf), "GET\n");
    assertEquals(await rio.readlineb(buf, 4), 3, "readlineb has its own bound");
  }
});

Deno.test("a line too long behind others is left to the next call", async () => {
  const rio = new Rio(new MemoryReader(["a\nb\ntoo long\nc\n"]), { maxline: 3, tooLong: "throw" });
  const lengths: number[] = [];
  const buf = new Uint8Array(10);
  await rio.ready();
  assertEquals([text(buf.subarray(0, rio.takeLines(buf, lengths))), lengths], ["a\nb\n", [2, 2]]);
  assertThrows(() => rio.takeLines(buf, lengths), Deno.errors.InvalidData, "first 3 bytes");
  assertEquals(text(rio.takeLine()!), "c\n");
});

Deno.test("a line too long that EOF ends is behind us at EOF", async () => {
  const rio = new Rio(new MemoryReader(["too long", " still", null, "a\n"]), {
    maxline: 3,
    tooLong: "throw",
  });
  await assertRejects(() => rio.readline(), Deno.errors.InvalidData);
  assertEquals(await rio.readline(), null);
  assertEquals(text((await rio.readline())!), "a\n");
});

Deno.test("the delimiter of a line too long comes in two reads", async () => {
  for (const reads of [["too long\r", "\nok\r\n"], ["too long", "\r", "\n", "ok\r\n"]]) {
    const rio = new Rio(new MemoryReader(reads), {
      maxline: 4,
      tooLong: "throw",
      delimiter: "\r\n",
    });
    await assertRejects(() => rio.readline(), Deno.errors.InvalidData);
    assertEquals(text((await rio.readline())!), "ok\r\n");
  }
});

Deno.test("the delimiter is any byte", async () => {
  for (const delimiter of [0, 13, 58, 128, 255]) {
    const end = String.fromCharCode(delimiter);
    const input = `a\n${end}${end}b${"c".repeat(40)}${end}d`;
    const rio = new Rio(MemoryReader.of(input, 7), { delimiter });
    const lines = [];
    for await (const line of rio) lines.push(text(line));
    assertEquals(lines, [`a\n${end}`, end, `b${"c".repeat(40)}${end}`, "d"]);
  }
  for (const delimiter of [-1, 256, 0.5]) {
    assertThrows(() => new Rio(MemoryReader.of("", 1), { delimiter }), RangeError, "delimiter");
  }
});

Deno.test("chomp cuts off the end of a line, and nothing else", () => {
  const ENDINGS: [line: string, chomped: string][] = [
    ["a\n", "a"],
    ["a\r\n", "a"],
    ["a", "a"],
    ["a\r", "a\r"],
    ["\n", ""],
    ["\r\n", ""],
    ["", ""],
    ["\r", "\r"],
    ["a\n\n", "a\n"],
    ["a\r\r\n", "a\r"],
    ["\na", "\na"],
  ];
  for (const [line, chomped] of ENDINGS) {
    assertEquals(text(chomp(bytes(line))), chomped, JSON.stringify(line));
  }
});

Deno.test("a Rio is a reader: what is left can be handed on", async () => {
  for (const chunk of [1, 3, 100]) {
    const outer = new Rio(MemoryReader.of("head\r\nbody: 1\n2\nend", chunk));
    assertEquals(text((await outer.readline())!), "head\r\n");
    const inner = new Rio(outer, { bufsize: 4 });
    assertEquals(await inner.read(new Uint8Array(0)), 0, "no bytes are no EOF");
    assertEquals(text((await inner.readline())!), "body");
    assertEquals(text((await inner.readline())!), ": 1\n");
    const lines = [];
    for await (const line of inner) lines.push(text(line));
    assertEquals(lines, ["2\n", "end"]);
    assertEquals(await inner.read(new Uint8Array(0)), 0);
    assertEquals(await inner.read(new Uint8Array(1)), null);
  }
});

Deno.test("fill waits for n bytes and takes none; peek shows them", async () => {
  for (const chunk of [1, 3, 100]) {
    const rio = new Rio(MemoryReader.of("abcdef\ng", chunk), { bufsize: 8 });
    assertEquals(text(rio.peek()), "");
    for (const n of [1, 3, 3, 8]) {
      assertEquals(await rio.fill(n), true);
      assertEquals(text(rio.peek().subarray(0, n)), "abcdef\ng".slice(0, n));
    }
    assertEquals(text((await rio.readline())!), "abcdef\n");
    assertEquals([await rio.fill(), await rio.fill(2)], [true, false], "EOF is before it");
    assertEquals(text(rio.peek()), "g");
    assertEquals(text((await rio.readline())!), "g");
    assertEquals(await rio.fill(), false);
    for (const n of [0, 9, 1.5]) {
      await assertRejects(
        () => rio.fill(n),
        RangeError,
        `Cannot fill the buffer: n must be an integer from 1 to 8, current value is ${n}`,
      );
    }
  }
});

Deno.test("next of an iterator may be called ahead for buffered lines, and for no others", async () => {
  const rio = new Rio(new MemoryReader(["a\nb\n", "c\n"]));
  await rio.fill();
  const lines = rio[Symbol.asyncIterator]();
  const ahead = await Promise.allSettled([1, 2, 3, 4].map(() => lines.next()));
  assertEquals(ahead.map((result) => result.status), [
    "fulfilled",
    "fulfilled",
    "fulfilled",
    "rejected",
  ]);
  assertEquals(
    ahead.slice(0, 3).map((result) =>
      text((result as PromiseFulfilledResult<IteratorYieldResult<Uint8Array>>).value.value)
    ),
    ["a\n", "b\n", "c\n"],
  );
});

Deno.test("the iterator yields lines, and can be left and entered again", async () => {
  const rio = new Rio(MemoryReader.of("a\nb\nc\nd", 100));
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

Deno.test("what is returned stays, and takes nothing away if it is transferred", async () => {
  const input = "first\nsecond\nthird\nfourth\nfifth\nsixth\nseventh\nlast\n";
  const WAYS_TO_SEE: ((rio: Rio) => Promise<Uint8Array<ArrayBuffer>>)[] = [
    async (rio) => (await rio.readline())!,
    async (rio) => await rio.ready() ? rio.takeLine()! : new Uint8Array(0),
    async (rio) => (await rio[Symbol.asyncIterator]().next()).value,
  ];
  for (const chunk of [3, 100]) {
    const rio = new Rio(MemoryReader.of(input, chunk));
    const seen = [];
    for (let i = 0; i < 8; i++) {
      const before = rio.peek();
      const line = await WAYS_TO_SEE[i % 3](rio);
      seen.push(text(line));
      line.fill(0x21); // it is ours
      if (i % 2 === 0) structuredClone(line, { transfer: [line.buffer] });
      if (before.length > 0) structuredClone(before, { transfer: [before.buffer] });
      assertEquals(rio.peek().buffer.detached, false);
    }
    assertEquals(seen.join(""), input);
    assertEquals(await rio.readline(), null);
  }

  const rio = new Rio(MemoryReader.of(input, 20));
  const lines = [];
  for await (const line of rio) lines.push(line);
  assertEquals(lines.map(text).join(""), input, "they stay as they are");
});

Deno.test("takeLines takes what is there and fits, without a promise", async () => {
  const rio = new Rio(new MemoryReader(["a\nbc\nd", "ef\n", "gh"]), { maxline: 4 });
  const buf = new Uint8Array(5);
  const lengths: number[] = [99, 99];
  const take = () => [text(buf.subarray(0, rio.takeLines(buf, lengths))), lengths];
  assertEquals(take(), ["", []]);
  assertEquals(await rio.ready(), 2);
  assertEquals(take(), ["a\nbc\n", [2, 3]]);
  assertEquals(take(), ["", []]);
  assertEquals(await rio.ready(), 4);
  assertEquals(take(), ["def\n", [4]]);
  assertEquals(await rio.ready(), 2, "a last line without a newline");
  assertEquals(await rio.ready(), 2, "it is still there");
  assertEquals(take(), ["gh", [2]]);
  assertEquals(await rio.ready(), 0);
  assertEquals(take(), ["", []]);
  assertThrows(
    () => rio.takeLines(new Uint8Array(3), lengths),
    RangeError,
    "Cannot take lines: the length of usrbuf must be an integer from 4 to ",
  );

  const burst = new Rio(new MemoryReader(["a\nb\nc\nd\n"]), { maxline: 2 });
  await burst.ready();
  const fits = new Uint8Array(5);
  assertEquals(burst.takeLines(fits, lengths), 4, "half a line never fits");
  assertEquals(burst.takeLines(fits, lengths), 4);
  assertEquals(text(fits.subarray(0, 4)), "c\nd\n");
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
      const rio = new Rio(new MemoryReader([input]), { bufsize: input.length });
      assertEquals(await rio.ready(), start);
      const buf = new Uint8Array(input.length);
      assertEquals(rio.takeLines(buf, lengths), input.length);
      assertEquals(text(buf), input);
      assertEquals(lengths, expected);
    }
  }
});

Deno.test("a read that fills the buffer makes it 64 KiB, one that doesn't gives them back, unless bufsize is given", async () => {
  const rooms = async (reads: number[], bufsize?: number) => {
    const rooms: number[] = [];
    const reader = {
      read(p: Uint8Array) {
        if (rooms.at(-1) !== p.buffer.byteLength) rooms.push(p.buffer.byteLength);
        const n = reads.shift();
        return Promise.resolve(n === undefined ? null : Math.min(n, p.length));
      },
    };
    const rio = new Rio(reader, { bufsize });
    while (await rio.readnb(new Uint8Array(1024)) > 0);
    return rooms;
  };
  const burst = Array(20).fill(1e6);
  assertEquals(await rooms([...burst, 1024, 1024]), [8192, 65_536, 8192]);
  assertEquals(await rooms([...burst, 50_000, 1]), [8192, 65_536, 8192]);
  assertEquals(await rooms([...burst, 1024, 1e6, 1]), [8192, 65_536, 8192, 65_536, 8192]);
  assertEquals(await rooms([...burst], 4096), [4096]);
  assertEquals(await rooms(Array(1000).fill(1024)), [8192], "reads that don't fill it");

  // It keeps what is left, and room behind that.
  const reader = new MemoryReader(["x".repeat(8192), "y".repeat(8192), "z"]);
  const rio = new Rio({
    read(p) {
      assert(p.length > 0);
      return reader.read(p);
    },
  });
  await rio.fill(16_384);
  await rio.readnb(new Uint8Array(8192));
  assertEquals(await rio.fill(8193), true);
  assertEquals(text(rio.peek()), "y".repeat(8192) + "z");
});

Deno.test("a read that was given up rejects with the reason, and loses no byte", async () => {
  const reader = new SlowReader();
  const rio = new Rio(reader);
  for (const [, next] of SIGNAL_WAYS) {
    const stop = new AbortController();
    const read = next(rio, stop.signal);
    stop.abort(new Error("enough"));
    await assertRejects(() => read, Error, "enough");
    await assertRejects(() => next(rio, AbortSignal.abort(new Error("before"))), Error, "before");
  }
  assertEquals(reader.reads.length, 1, "the read in flight stays");
  const late = rio.readline();
  reader.reads[0].end("late\n");
  assertEquals(text((await late)!), "late\n");
});

for (const [way, next] of SIGNAL_WAYS) {
  Deno.test(`a signal that has aborted before gives up what is buffered too: ${way}`, async () => {
    const rio = new Rio(new MemoryReader(["8 bytes\n"]));
    await rio.fill(8);
    await assertRejects(() => next(rio, AbortSignal.abort(new Error("before"))), Error, "before");
    assertEquals(await next(rio), "8 bytes\n");
  });

  Deno.test(`an abort is seen at every microtask, and loses no byte: ${way}`, async () => {
    for (let microtasks = 0; microtasks < 40; microtasks++) {
      // Two reads bring no line and less than 8 bytes; the third is never answered.
      const parts = ["ab", "cd"];
      const late = Promise.withResolvers<number | null>();
      let room: Uint8Array = new Uint8Array(0);
      let reads = 0;
      const rio = new Rio({
        read(p) {
          const part = parts.shift();
          room = p;
          reads++;
          if (part === undefined) return late.promise;
          p.set(bytes(part));
          return Promise.resolve(part.length);
        },
      });
      const stop = new AbortController();
      let outcome = "pending";
      const read = next(rio, stop.signal);
      read.then((text) => outcome = `read ${text}`, (error) => outcome = error.message);
      for (let i = 0; i < microtasks; i++) await null;
      stop.abort(new Error("enough"));
      const started = reads;
      for (let i = 0; i < 50; i++) await null;
      assertEquals(reads, started, "a read was started after the abort");
      if (way !== "read") assertEquals(outcome, "enough", `after ${microtasks} microtasks`);
      else assert(/enough|read ab/.test(outcome), outcome);
      const rest = rio.readline();
      for (let i = 0; i < 50; i++) await null;
      room.set(bytes("ef\n"));
      late.resolve(3);
      assertEquals((outcome.slice(5) + text((await rest)!)).slice(-7), "abcdef\n");
    }
  });
}

Deno.test("bytes that came before the read was given up stay too", async () => {
  const reader = new SlowReader();
  const rio = new Rio(reader, { bufsize: 2 });
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

Deno.test("lines that were buffered can be taken while a read that was given up is under way", async () => {
  const reader = new SlowReader();
  const rio = new Rio(reader);
  const first = rio.fill();
  reader.reads[0].end("a\nb");
  await first;
  const stop = new AbortController();
  const read = rio.fill(4, { signal: stop.signal });
  stop.abort();
  await assertRejects(() => read, DOMException);
  assertEquals(text(rio.takeLine()!), "a\n");
  assertEquals(rio.takeLine(), null);
  const late = rio.readline();
  reader.reads[1].end("cdef\n");
  assertEquals(text((await late)!), "bcdef\n");
});

Deno.test("a read that fails after it was given up throws to the next call", async () => {
  const reader = new SlowReader();
  const rio = new Rio(reader, { bufsize: 2 });
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

Deno.test("the buffer grows to what maxline needs, by doubling, and shrinks back", async () => {
  const long = "x".repeat(2 ** 20 - 1) + "\n";
  for (const tooLong of ["split", "throw"] as const) {
    const source = MemoryReader.of(long + "short\n" + long + "end\n", 2 ** 18);
    const rooms = new Set<number>();
    const rio = new Rio({
      read(p) {
        rooms.add(p.buffer.byteLength);
        return source.read(p);
      },
    }, { maxline: 2 ** 20, tooLong });
    const lines = [];
    for await (const line of rio) lines.push(line.length);
    assertEquals(lines, [2 ** 20, 6, 2 ** 20, 4]);
    const sizes = [...rooms].sort((a, b) => a - b);
    assertEquals(sizes.slice(0, 5), [8192, 2 ** 16, 2 ** 17, 2 ** 18, 2 ** 19]);
    assert(sizes.at(-1)! <= 2 ** 20 + 1, `${sizes}`);
    assertEquals(await rio.fill(), false);
    rooms.clear();
    assertEquals(await rio.fill(), false);
    assertEquals([...rooms], [8192], "it has shrunk");
  }
  const rio = new Rio(MemoryReader.of(long, 2 ** 18), { maxline: 2 ** 20 - 1, tooLong: "throw" });
  await assertRejects(() => rio.readline(), Deno.errors.InvalidData, "first 1048575 bytes");
  assertEquals(await rio.readline(), null);
});

Deno.test("a buffer that has grown stays while reads need it, and shrinks after a small one", async () => {
  const reads = [8192, 40_000, 65_536, 20_000, 9000, 100, 100];
  const rooms: ArrayBufferLike[] = [];
  const rio = new Rio({
    read(p) {
      rooms.push(p.buffer);
      const n = Math.min(reads.shift() ?? 0, p.length);
      p.fill(0x0a, 0, n);
      return Promise.resolve(n || null);
    },
  });
  const lengths: number[] = [];
  while (await rio.ready()) rio.takeLines(new Uint8Array(65_536), lengths);
  assertEquals(rooms.map((room) => room.byteLength), [
    8192,
    ...Array(5).fill(65_536),
    8192,
    8192,
  ]);
  assertEquals(new Set(rooms).size, 3, "one of each size, and the small one anew");
});

Deno.test("a line of maxline bytes isn't too long, whatever ends it", async () => {
  for (const chunk of [1, 2, 4, 9]) {
    for (const bufsize of [4, 100, undefined]) {
      const read = (input: string) =>
        new Rio(MemoryReader.of(input, chunk), { maxline: 4, tooLong: "throw", bufsize });
      const rio = read("aaaa");
      assertEquals(text((await rio.readline())!), "aaaa");
      assertEquals(await rio.readline(), null);
      assertEquals(text((await read("aaa\nb").readline())!), "aaa\n");
      for (const input of ["aaaa\n", "aaaaa"]) {
        const long = read(input);
        await assertRejects(() => long.readline(), Deno.errors.InvalidData, "first 4 bytes");
        assertEquals(await long.readline(), null);
      }
    }
  }
});

Deno.test("tooLong is one of its two words", () => {
  for (const tooLong of ["Throw", "", null, true]) {
    assertThrows(
      () => new Rio(MemoryReader.of("", 1), { tooLong: tooLong as "throw" }),
      RangeError,
      `Cannot make a Rio: tooLong must be "split" or "throw", current value is ${tooLong}`,
    );
  }
});

Deno.test("a usrbuf that is transferred or shrinks while a read waits loses nothing", async () => {
  const ways: ((rio: Rio, buf: Uint8Array) => Promise<number | null>)[] = [
    (rio, buf) => rio.readlineb(buf),
    (rio, buf) => rio.readnb(buf),
    (rio, buf) => rio.read(buf),
  ];
  for (const way of ways) {
    for (const bufsize of [4, 100]) {
      for (const shrink of [false, true]) {
        const reader = new SlowReader();
        const rio = new Rio(reader, { bufsize });
        const memory = new ArrayBuffer(12, { maxByteLength: 12 });
        const read = way(rio, new Uint8Array(memory));
        let settled = false;
        const settle = () => settled = true;
        read.then(settle, settle);
        if (shrink) memory.resize(1);
        else structuredClone(memory, { transfer: [memory] });
        for (const part of ["abcd", "efgh", "ijkl"]) {
          if (!settled) reader.reads.at(-1)!.end(part);
          await turn();
        }
        await assertRejects(() => read, TypeError, "usrbuf was transferred or shrunk");
        const rest = new Uint8Array(4);
        assertEquals(await rio.readnb(rest), 4);
        assertEquals(text(rest), "abcd");
        assert(rio.buffered === 0 || text(rio.peek()) === "efghijkl".slice(0, rio.buffered));
      }
    }
  }
});

Deno.test("peek(n) copies the first n, skip(n) takes them, buffered says how many there are", async () => {
  const rio = new Rio(new MemoryReader(["abcdef\ngh\n"]));
  assertEquals([rio.buffered, text(rio.peek(3))], [0, ""]);
  await rio.fill(3);
  assertEquals(rio.buffered, 10);
  assertEquals(text(rio.peek(3)), "abc");
  assertEquals(rio.peek(3).buffer.byteLength, 3);
  assertEquals(text(rio.peek(0)), "");
  assertEquals(text(rio.peek(99)), "abcdef\ngh\n");
  for (const n of [-1, 1.5, NaN]) assertThrows(() => rio.peek(n), RangeError, "Cannot peek: n");
  for (const n of [-1, 1.5, NaN, 11]) {
    assertThrows(() => rio.skip(n), RangeError, "Cannot skip: n must be an integer from 0 to 10");
  }
  rio.skip(0);
  rio.skip(4);
  assertEquals(rio.buffered, 6);
  assertEquals(text(rio.takeLine()!), "ef\n");
  rio.skip(3);
  assertEquals(await rio.readline(), null);
  const slow = new Rio(new SlowReader());
  slow.readline();
  assertThrows(() => slow.skip(0), Error, "another read");
});

Deno.test("a delimiter may be several bytes, and nothing less", async () => {
  const input = "a\nb\rc\r\r\nd\n\r\n\r\n\r";
  const lines = ["a\nb\rc\r\r\n", "d\n\r\n", "\r\n", "\r"];
  for (const delimiter of ["\r\n", bytes("\r\n")]) {
    for (const chunk of [1, 2, 3, 100]) {
      const rio = new Rio(MemoryReader.of(input, chunk), { delimiter });
      assertEquals((await Array.fromAsync(rio)).map(text), lines);
    }
  }
  // It doesn't begin within the one before.
  const rio = new Rio(MemoryReader.of("xaaaaab", 2), { delimiter: "aa" });
  assertEquals((await Array.fromAsync(rio)).map(text), ["xaa", "aa", "ab"]);
  for (const delimiter of ["", new Uint8Array(0)]) {
    assertThrows(() => new Rio(MemoryReader.of("", 1), { delimiter }), RangeError, "delimiter");
  }
  assertThrows(
    () => new Rio(MemoryReader.of("", 1), { delimiter: "\r\n", maxline: 1 }),
    RangeError,
    "maxline must be an integer from 2",
  );
  await assertRejects(
    () => new Rio(MemoryReader.of("", 1), { delimiter: "\r\n" }).readlineb(new Uint8Array(2)),
    RangeError,
    "maxlen must be an integer from 3",
  );
});

Deno.test("a piece ends before a delimiter of several bytes, never within it", async () => {
  for (const chunk of [1, 2, 3, 100]) {
    const read = (tooLong: "split" | "throw") =>
      new Rio(MemoryReader.of("abc\r\nabcd\rab\r\nend\r", chunk), {
        delimiter: "\r\n",
        maxline: 4,
        tooLong,
      });
    const lines = (await Array.fromAsync(read("split"))).map(text);
    assertEquals(lines, ["abc", "\r\n", "abcd", "\rab", "\r\n", "end", "\r"]);
    const rio = read("split");
    const buf = new Uint8Array(5);
    const pieces = [];
    for (let n; (n = await rio.readlineb(buf)) > 0;) pieces.push(text(buf.subarray(0, n)));
    assertEquals(pieces, lines);
    // A line that is too long ends with its delimiter, wherever that is cut.
    const strict = read("throw");
    for (let i = 0; i < 2; i++) {
      await assertRejects(() => strict.readline(), Deno.errors.InvalidData, "first 4 bytes");
    }
    assertEquals(text((await strict.readline())!), "end\r");
  }
});

Deno.test("chomp cuts off a given delimiter, and nothing else", () => {
  const LINES: [line: string, delimiter: string | number, chomped: string][] = [
    ["a\r\n", "\r\n", "a"],
    ["a\n", "\r\n", "a\n"],
    ["a\r\n", "\n", "a\r"],
    ["a\0", 0, "a"],
    ["a\n", 0, "a\n"],
    ["--end", "--end", ""],
    ["end", "--end", "end"],
    ["", "\n", ""],
  ];
  for (const [line, delimiter, chomped] of LINES) {
    assertEquals(text(chomp(bytes(line), delimiter)), chomped);
    const given = typeof delimiter === "string" ? bytes(delimiter) : delimiter;
    assertEquals(text(chomp(bytes(line), given)), chomped);
  }
});

Deno.test("lines are iterated until a signal aborts, and no byte is lost", async () => {
  const reader = new SlowReader();
  const rio = new Rio(reader);
  const stop = new AbortController();
  const seen: string[] = [];
  const lines = rio.lines({ signal: stop.signal });
  assert(lines[Symbol.asyncIterator]() === lines);
  const loop = (async () => {
    for await (const line of lines) seen.push(text(line));
  })();
  reader.reads[0].end("a\nb\nc");
  await turn();
  stop.abort(new Error("enough"));
  await assertRejects(() => loop, Error, "enough");
  assertEquals(seen, ["a\n", "b\n"]);
  await assertRejects(() => lines.next(), Error, "enough");
  const rest = rio.readline();
  reader.reads[1].end("d\n");
  assertEquals(text((await rest)!), "cd\n");
});

Deno.test("a write or read of a peer that does nothing can be given up", async () => {
  const calls: ((fd: Reader & Writer, signal: AbortSignal) => Promise<number>)[] = [
    (fd, signal) => rioWriten(fd, new Uint8Array(8), { signal }),
    (fd, signal) => rioReadn(fd, new Uint8Array(8), 8, { signal }),
  ];
  for (const call of calls) {
    let begun = 0;
    let settle = (_: number | Error) => {};
    const begin = () => {
      begun++;
      return new Promise<number>((resolve, reject) => {
        settle = (count) => typeof count === "number" ? resolve(count) : reject(count);
      });
    };
    const fd = { read: begin, write: begin };
    await assertRejects(() => call(fd, AbortSignal.abort(new Error("before"))), Error, "before");
    assertEquals(begun, 0);
    const stop = new AbortController();
    const given = call(fd, stop.signal);
    settle(3);
    await turn();
    assertEquals(begun, 2);
    stop.abort(new Error("enough"));
    await assertRejects(() => given, Error, "enough");
    settle(new Error("later")); // unhandled, it would end the test
    await turn();
    assertEquals(begun, 2);
    const own = new AbortController(); // aborted by what is called
    const aborting = () => {
      own.abort(new Error("enough"));
      return begin();
    };
    const itself = call({ read: aborting, write: aborting }, own.signal);
    await assertRejects(() => itself, Error, "enough");
    settle(8);
    const whole = call(fd, new AbortController().signal);
    settle(8);
    assertEquals(await whole, 8);
    const failed = call(fd, new AbortController().signal);
    settle(new Error("gone"));
    await assertRejects(() => failed, Error, "gone");
  }
});

Deno.test("a client that doesn't read is given up", async () => {
  using listenfd = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  using _clientfd = await Deno.connect({ port: listenfd.addr.port });
  using connfd = await listenfd.accept();
  const stop = new AbortController();
  let written = 0;
  const much = new Uint8Array(2 ** 24); // more than the kernel holds
  const fd = {
    async write(p: Uint8Array) {
      const n = await connfd.write(p);
      written += n;
      queueMicrotask(() => stop.abort(new Error("enough")));
      return n;
    },
  };
  await assertRejects(() => rioWriten(fd, much, { signal: stop.signal }), Error, "enough");
  assert(written < much.length);
});

const { gc } = globalThis as { gc?: () => void };
Deno.test({
  name: "giving up again and again costs no memory (needs --expose-gc)",
  ignore: gc === undefined,
  async fn() {
    const reader = new SlowReader();
    const rio = new Rio(reader, { bufsize: 4 });
    const buf = new Uint8Array(100);
    const first = rio.readnb(buf, 2);
    reader.reads[0].end("abc");
    await first;
    const ROUND = 10_000;
    const heaps: number[] = [];
    for (let i = 0; i <= 4 * ROUND; i++) {
      if (i % ROUND === 0) {
        await turn();
        gc!();
        heaps.push(Deno.memoryUsage().heapUsed);
      }
      const stop = new AbortController();
      const read = rio.readnb(buf, 9, { signal: stop.signal });
      stop.abort();
      await read.catch(() => {});
    }
    // What stays each time grows in every round; what is compiled, or not collected yet, doesn't.
    const grown = Math.min(...heaps.slice(1).map((heap, i) => heap - heaps[i])) / ROUND;
    assert(grown < 30, `${grown} bytes each`);
    reader.reads[1].end("d\n");
    assertEquals(await rio.readlineb(buf), 3);
    assertEquals(text(buf.subarray(0, 3)), "cd\n");
  },
});
