import { assertEquals, assertRejects, assertThrows } from "@std/assert";
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
  const { promise, resolve } = Promise.withResolvers<number>();
  const rio = new Rio({ read: () => promise });
  const buf = new Uint8Array(10);
  const first = rio.readnb(buf, 3);
  await assertRejects(() => rio.readlineb(buf), Error, "under way");
  await assertRejects(() => rio.readnb(buf), Error, "under way");
  resolve(3);
  assertEquals(await first, 3);
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
