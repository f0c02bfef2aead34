/** docs/lab: what is handed out builds and earns little, a solution earns all. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { CASES } from "../tools/judge/cases.ts";
import { LINES } from "../tools/judge/lines.ts";
import { has, ROOT } from "./helpers.ts";
import { atOnce, judgeStarted, named, unexpected } from "./judge/trials.ts";

Deno.test({
  name: "the lab's starters build and earn little, its solutions all, in a folder with nothing " +
    "else (needs gcc and make)",
  ignore: !has("gcc") || !has("make"),
  async fn() {
    const lab = await Deno.makeTempDir();
    for (const file of ["Makefile", "server.c", "server.ts"]) {
      await Deno.copyFile(`${ROOT}docs/lab/${file}`, `${lab}/${file}`);
    }
    const make = async (...args: string[]) => {
      const flags = ["CFLAGS=-Wall -Wextra -Werror -O1", `DENO=${Deno.execPath()}`];
      const command = new Deno.Command("make", { args: [...args, ...flags], cwd: lab });
      const { success, stdout } = await command.output();
      return { success, text: new TextDecoder().decode(stdout) };
    };
    const judge = `JUDGE=${ROOT}tools/judge.ts --only=NUL`;
    const tried = await Promise.all([make("judge", judge), make("judge-ts", judge)]);
    for (const { success, text } of tried) {
      assert(!success);
      assertMatch(text, /\nscore: 0 of 1\n$/);
    }

    const run = `${Deno.execPath()} run --quiet --allow-net`;
    const servers = [`${lab}/server {port}`, `${run} ${lab}/server.ts {port}`];
    await atOnce(servers, async (command) => {
      const results = await judgeStarted(command, LINES);
      assertEquals(named(results, "passed"), [], command);
    });
    for (const file of ["server.c", "server.ts"]) {
      await Deno.copyFile(`${ROOT}tests/lab/${file}`, `${lab}/${file}`);
    }
    assert((await make("--always-make", "server")).success);
    await atOnce(servers, async (command) => {
      const failed = named(await judgeStarted(command), "failed", "not tried");
      const retry = (cases: typeof CASES) => judgeStarted(command, cases);
      assertEquals(await unexpected(failed, [], retry, CASES), [], command);
    });
    await Deno.remove(lab, { recursive: true });
  },
});
