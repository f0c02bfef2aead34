/** The results of the benchmarks, and what is made of them; `.ci/run` runs the benchmarks. */
import { assertEquals } from "@std/assert";
import { Program, ROOT, tempDir } from "./helpers.ts";

Deno.test("the pictures and the tables are what bench:plot makes of the results", async () => {
  await using dir = await tempDir();
  const read = (path: string) => Deno.readTextFile(path);
  const page = `${dir.path}/page.md`;
  const kept = await read(`${ROOT}/docs/performance.md`);
  await Deno.writeTextFile(page, kept);
  await using plot = new Program(Deno.execPath(), [
    ...["run", "--quiet", "--allow-all", "bench/plot.ts"],
    ...["bench/results.json", dir.path, page],
  ]);
  assertEquals(await plot.code(), 0, plot.stderr.text);
  const words = (text: string) => text.split(/\s+/);
  assertEquals(words(await read(page)), words(kept));
  for (const picture of ["throughput", "latency", "rio"]) {
    const drawn = await read(`${dir.path}/${picture}.svg`);
    assertEquals(drawn, await read(`${ROOT}/docs/img/${picture}.svg`), picture);
  }
});
