/** The module that rio.ts searches with, its text form, and the loop that takes its place. */
import { assertEquals, assertRejects } from "@std/assert";
// Not in deno.json, whose packages `deno task` fetches whatever the task.
import wabt from "npm:wabt@^1.0.39";
import { Rio } from "@netp/rio/rio";
import { MemoryReader, noise, ROOT, text } from "./helpers.ts";

/** The bytes that rio.ts has as text. */
async function moduleBytes(): Promise<Uint8Array<ArrayBuffer>> {
  const code = await Deno.readTextFile(`${ROOT}/rio.ts`);
  const [, base64] = /const WASM = `([^`]*)`/.exec(code)!;
  return Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
}

Deno.test("the bytes in rio.ts are rio.wat, assembled", async () => {
  const { parseWat } = await wabt();
  const wat = parseWat("rio.wat", await Deno.readTextFile(`${ROOT}/tests/rio.wat`), { simd: true });
  assertEquals([...await moduleBytes()], [...wat.toBinary({}).buffer]);
  wat.destroy();
});

Deno.test("rio.wat finds each of the 256 bytes wherever it stands, and none behind the end", async () => {
  const { instance } = await WebAssembly.instantiate(await moduleBytes());
  const memory = new Uint8Array((instance.exports.memory as WebAssembly.Memory).buffer);
  const search = instance.exports.search as (length: number, byte: number, out: number) => number;
  const out = 65_536;
  const positions = new Uint16Array(memory.buffer, out, 65_536);
  const found = (length: number, byte: number) => [
    ...positions.subarray(0, search(length, byte, out)),
  ];
  const expected = (length: number, byte: number) =>
    Array.from(memory.subarray(0, length).entries()).filter(([, b]) => b === byte).map(([at]) =>
      at
    );
  memory.set(noise(1000));
  for (let byte = 0; byte < 256; byte++) {
    assertEquals(found(1000, byte), expected(1000, byte), `byte ${byte}`);
  }
  memory.fill(10, 0, 300);
  for (let length = 1; length < 300; length++) {
    assertEquals(found(length, 10), expected(length, 10), `${length} bytes`);
  }
  memory.fill(10, 0, 65_536);
  assertEquals(found(65_536, 10), expected(65_536, 10));
  assertEquals(found(65_536, 11), []);
});

Deno.test("without WebAssembly, a loop finds the same lines; without Deno, errors keep their names", async () => {
  const names = ["Deno", "WebAssembly"];
  const whole = names.map((name) => Object.getOwnPropertyDescriptor(globalThis, name)!);
  for (const name of names) delete (globalThis as Record<string, unknown>)[name];
  const bare = await import("../rio.ts?bare");
  names.forEach((name, i) => Object.defineProperty(globalThis, name, whole[i]));
  const input = text(noise(300_000));
  for (const delimiter of ["\n", "\r\n", 0]) {
    const linesOf = async (rio: AsyncIterable<Uint8Array>) =>
      (await Array.fromAsync(rio)).map(text);
    const lines = await linesOf(new bare.Rio(MemoryReader.of(input, 9000), { delimiter }));
    assertEquals(lines, await linesOf(new Rio(MemoryReader.of(input, 9000), { delimiter })));
    assertEquals(lines.join(""), input);
  }
  const rio = new bare.Rio(new MemoryReader(["too long"]), { maxline: 3, tooLong: "throw" });
  const tooLong = await assertRejects(() => rio.readline(), Error);
  const full = { write: () => Promise.resolve(0) };
  const writeZero = await assertRejects(() => bare.rioWriten(full, new Uint8Array(1)), Error);
  assertEquals([tooLong.name, writeZero.name], ["InvalidData", "WriteZero"]);
});
