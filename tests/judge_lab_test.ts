/** docs/lab: what is handed out builds and earns little, a solution earns all. */
import { assert, assertEquals } from "@std/assert";
import { CASES } from "../tools/judge/cases.ts";
import { LINES } from "../tools/judge/lines.ts";
import { has, ROOT } from "./helpers.ts";
import { atOnce, judgeStarted, named, unexpected } from "./judge/trials.ts";

Deno.test({
  name: "the lab's starters build and earn little, its solutions all (needs gcc and make)",
  ignore: !has("gcc") || !has("make"),
  // A case that fails on a busy machine, and is tried again, may leave a connection on its way.
  sanitizeOps: false,
  sanitizeResources: false,
  async fn() {
    const bin = await Deno.makeTempDir();
    const run = `${Deno.execPath()} run --quiet --allow-net`;
    const make = async (source: string, program: string) => {
      const args = ["-s", "-f", `${ROOT}docs/lab/Makefile`, "CFLAGS=-Wall -Wextra -Werror -O1"];
      await Deno.mkdir(`${bin}/${program}`);
      await Deno.copyFile(`${ROOT}${source}`, `${bin}/${program}/server.c`);
      const { success } = await new Deno.Command("make", { args, cwd: `${bin}/${program}` })
        .output();
      assert(success, source);
      return `${bin}/${program}/server {port}`;
    };
    const starters = [
      await make("docs/lab/server.c", "starter"),
      `${run} ${ROOT}docs/lab/server.ts {port}`,
    ];
    const solutions = [
      await make("tests/lab/server.c", "solution"),
      `${run} ${ROOT}tests/lab/server.ts {port}`,
    ];
    await atOnce(starters, async (command) => {
      const results = await judgeStarted(command, LINES);
      assertEquals(named(results, "passed"), [], command);
    });
    await atOnce(solutions, async (command) => {
      const failed = named(await judgeStarted(command), "failed", "not tried");
      const retry = (cases: typeof CASES) => judgeStarted(command, cases);
      assertEquals(await unexpected(failed, [], retry, CASES), [], command);
    });
    await Deno.remove(bin, { recursive: true });
  },
});
