/** judge --all: a folder of submissions, whatever they do. */
import { assertEquals, assertMatch } from "@std/assert";
import { csv, table } from "../tools/judge/class.ts";
import type { Row } from "../tools/judge/report.ts";
import { exists, has, LINUX, Program, runProgram } from "./helpers.ts";

const judgeAll = (folder: string, ...flags: string[]) =>
  new Program(Deno.execPath(), [
    ...["run", "--quiet", "--allow-all", "tools/judge.ts", `--all=${folder}`],
    ...flags,
  ]);

/** A number of seconds that nobody else sleeps. */
const unique = () => `9${Math.floor(Math.random() * 1e9)}`;

/** The command lines, with this in them, of processes that run. */
function running(text: string): string[] {
  return Array.from(Deno.readDirSync("/proc"), ({ name }) => {
    try {
      return Deno.readTextFileSync(`/proc/${name}/cmdline`);
    } catch {
      return ""; // no process, or one that has ended
    }
  }).filter((line) => line.startsWith("sleep\0") && line.includes(text));
}

Deno.test({
  name: "judge --all tries each submission, whatever the others do, and nothing of them is left " +
    "(needs prlimit and setsid)",
  ignore: !has("prlimit") || !has("setsid"),
  async fn() {
    const folder = await Deno.makeTempDir();
    const serve = `for await (const c of Deno.listen({ port: Number(Deno.args[0]) })) {
      c.readable.pipeTo(c.writable).catch(() => {});
    }`;
    // A daemon that has left its parent, its session and its environment.
    const seconds = unique();
    const daemon = `"setsid", { args: ["--fork", "env", "-i", "sleep", "${seconds}"] }`;
    const submissions = {
      "crash, 1.js": `Deno.exit(3)`,
      "flood.js": `setInterval(() => console.log("x".repeat(1e5))); ${serve}`,
      "it's a folder/main.js": serve,
      "leaves.js": `await new Deno.Command(${daemon}).spawn().status; ${serve}`,
      "no main/other.js": serve,
    };
    await Deno.mkdir(`${folder}/it's a folder`);
    await Deno.mkdir(`${folder}/no main`);
    for (const [name, text] of Object.entries(submissions)) {
      await Deno.writeTextFile(`${folder}/${name}`, text);
    }
    await Deno.symlink("nowhere", `${folder}/gone.js`);
    const judge = judgeAll(
      folder,
      "--build=if [ -d {file} ]; then cp {file}/main.js {out}; else cp {file} {out}; fi",
      `--start=${Deno.execPath()} run -A --ext=js {out} {port}`,
      "--only=a line comes back",
      `--reports=${folder}/.reports`,
      "--csv",
    );
    const { code, stdout, stderr } = await runProgram(judge);
    assertEquals([code, stderr], [1, ""]);
    const [missing, ...rows] = stdout.split("\r\n").reverse().slice(1);
    assertEquals(rows.reverse(), [
      "submission,basic,robust,concurrent,score,fix this first",
      `"crash, 1.js",0/5,0/0,0/0,0/5,a line comes back`,
      "flood.js,5/5,0/0,0/0,5/5,",
      `gone.js,0,0,0,0,No such file or directory: realpath '${folder}/gone.js'`,
      "it's a folder,5/5,0/0,0/0,5/5,",
      "leaves.js,5/5,0/0,0/0,5/5,",
    ]);
    assertMatch(missing, /^no main,0,0,0,0,the build ended with exit code 1: cp: .*main\.js/);
    assertEquals(running(seconds), []);
    const page = (name: string) => Deno.readTextFile(`${folder}/.reports/${name}.txt`);
    assertMatch(await page("crash, 1.js"), /saw: +the server ended with exit code 3\n/);
    assertMatch(await page("no main"), /\n\ncp: .*main\.js.*\n$/);
    await Deno.remove(folder, { recursive: true });
  },
});

Deno.test("a row says why cases weren't tried, if none has failed", () => {
  const row = { level: "basic", points: 1, did: "", means: "", read: "", ms: 0 } as const;
  const rows: Row[] = [
    { ...row, name: "a", verdict: "passed" },
    { ...row, name: "b", verdict: "not tried", saw: "judge was ended by SIGINT" },
  ];
  const cells = ["one.c", "1/2", "0/0", "0/0", "1/2", "judge was ended by SIGINT"];
  assertEquals(csv({ name: "one.c", rows }), `${cells.join(",")}\r\n`);
});

Deno.test("a file's name can't break the table's rows, or the terminal", () => {
  const name = "a\n\x1b[31mb";
  const [head, row] = [undefined, { name, rows: [], why: "x" }].map(table([name]));
  assertMatch(head, /^submission {6}basic /);
  assertMatch(row, /^a\\x0a\\x1b\[31mb {2}0 .* x\n$/);
});

Deno.test({
  ...LINUX,
  name: "a signal ends judge --all, the submission that is tried, and what was built",
  async fn() {
    const folder = await Deno.makeTempDir();
    await Deno.writeTextFile(`${folder}/one`, "");
    await Deno.writeTextFile(`${folder}/two`, "");
    const seconds = unique();
    const built = `${folder}/.built`;
    await using judge = judgeAll(
      folder,
      `--build=echo {out} > ${built}; touch {out}`,
      `--start=sleep ${seconds}`,
    );
    while (running(seconds).length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    assertEquals(await judge.stop("SIGTERM"), 143);
    assertEquals(running(seconds), []);
    const out = await Deno.readTextFile(built);
    assertEquals(await exists(out.slice(0, out.lastIndexOf("/"))), false);
    assertEquals(judge.stdout.text.split("\n").length, 2);
    await Deno.remove(folder, { recursive: true });
  },
});
