/** Each benchmark runs, for a moment: what it measures is nobody's promise. */
import { assert, assertEquals } from "@std/assert";
import { has, Program, ROOT } from "./helpers.ts";

/** Runs a file of `bench/` as its task does, and returns what it printed. */
async function bench(file: string, ...args: (string | number)[]): Promise<string> {
  const command = ["run", "--quiet", "--allow-all", `bench/${file}`, ...args.map(String)];
  await using program = new Program(Deno.execPath(), command);
  assertEquals(await program.code(), 0, program.stderr.text);
  return program.stdout.text;
}

/** The peers of the first table, with their first number. */
function table(text: string): Map<string, number> {
  const rows = text.split("\n\n")[0].split("\n").slice(2).map((line) => line.split(" | "));
  return new Map(rows.map(([peer, n]) => [peer.slice(2), Number(n.replaceAll(",", ""))]));
}

Deno.test({
  name: "deno task bench, and bench:plot of what it has written (needs gcc)",
  ignore: !has("gcc"),
  async fn() {
    const folder = await Deno.makeTempDir();
    const file = `${folder}/results.json`;
    try {
      const servers = table(await bench("bench.ts", 0.05, 1, file));
      for (const peer of ["ours", "plain Deno, fair", "C, epoll"]) assert(servers.get(peer)! > 0);
      const results = JSON.parse(await Deno.readTextFile(file));
      for (const part of ["servers", "curve", "clients", "load", "rio"]) {
        assert(results[part].length > 1, part);
      }
      assertEquals(Object.keys(results.machine), ["cpu", "cores", "gigabytes", "os"]);

      const page = `${folder}/page.md`;
      await Deno.writeTextFile(page, "<!-- servers -->\n<!-- /servers -->\n");
      await bench("plot.ts", file, folder, page);
      assert((await Deno.readTextFile(page)).includes("| plain Deno, fair"));
      for (const picture of ["throughput", "latency", "rio"]) {
        const svg = await Deno.readTextFile(`${folder}/${picture}.svg`);
        assert(svg.startsWith("<svg ") && svg.includes(results.date), picture);
        assert(!svg.includes("NaN"), picture);
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test({
  name: "deno task bench:server prints the curve (needs gcc)",
  ignore: !has("gcc"),
  async fn() {
    const text = await bench("curve.ts", 0.05, 1, 50, 130);
    assertEquals([...table(text).keys()], [
      "ours, --quiet",
      "plain Deno, fair",
    ]);
    assert(text.includes("| 130 connections, depth 1, 64 B |"));
  },
});

Deno.test({
  name: "deno task bench:rio prints every way to read (needs gcc)",
  ignore: !has("gcc"),
  async fn() {
    const ways = table(await bench("rio.ts", 0.05, 1, 64));
    for (const way of ["C, rio_readlineb", "ready, takeLines", "for await"]) {
      assert(ways.get(way)! > 0, way);
    }
  },
});

Deno.test("the results in the repository are those of the pictures and of the page", async () => {
  const { date, machine, versions } = JSON.parse(
    await Deno.readTextFile(`${ROOT}/bench/results.json`),
  );
  for (const picture of ["throughput", "latency", "rio"]) {
    const svg = await Deno.readTextFile(`${ROOT}/docs/img/${picture}.svg`);
    for (const text of [date, machine.cpu, versions.deno]) assert(svg.includes(text), text);
  }
  const page = await Deno.readTextFile(`${ROOT}/docs/performance.md`);
  assertEquals(page.includes(versions.deno) && page.includes(date), true);
});
