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
      assertMatch(text, /\nscore: 0 of 6\n$/);
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
    const served = await make("judge", `JUDGE=${ROOT}tools/judge.ts --only=required`);
    assertMatch(served.text, /\nscore: 5 of 5\n$/);
    await atOnce(servers, async (command) => {
      const failed = named(await judgeStarted(command), "failed", "not tried");
      const retry = (cases: typeof CASES) => judgeStarted(command, cases);
      assertEquals(await unexpected(failed, [], retry, CASES), [], command);
    });

    // One mistake that fails many cases, &connfd, is told in the first.
    const text = await Deno.readTextFile(`${ROOT}tests/lab/server.c`);
    const shared = text.replaceAll("free(", "(void)(")
      .replace("int *connfdp = malloc(sizeof *connfdp)", "static int connfd, *connfdp = &connfd");
    await Deno.writeTextFile(`${lab}/server.c`, shared);
    assert((await make("--always-make", "server")).success);
    const cases = CASES.filter(({ name }) => /at once are all|one after the other/.test(name));
    const results = await judgeStarted(servers[0], cases);
    assertMatch(results[0].name, /^clients that come at once/);
    assertEquals(named(results, "failed"), cases.map(({ name }) => name));
    assertEquals(results[1].follows, results[0].name);
    await Deno.remove(lab, { recursive: true });
  },
});
