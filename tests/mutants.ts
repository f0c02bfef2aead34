/**
 * `deno task mutants [WORD]`: breaks the code in one place after the other, in a copy of the
 * project, and runs the test that must notice. With a word, only those in whose file, name or
 * test it occurs. Ends with 1 if a mutant lives, or isn't one.
 */
import { apply, type Mutant, MUTANTS } from "./mutants_table.ts";

const ROOT = new URL("..", import.meta.url).pathname;
const IMPORT_MAP = "--import-map=tests/npm/import_map.json";
/** Milliseconds for a test, and how many times what it takes when the code is whole. */
const PATIENCE = 10_000;
const TIMES = 5;

type Result = "passed" | "failed" | "hung";

/** Runs deno in a folder; kills it with all that it has started when the time is up. */
async function deno(cwd: string, args: string[], ms: number): Promise<Result> {
  const process = new Deno.Command(Deno.execPath(), {
    args,
    cwd,
    detached: true, // a process group of its own
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  const kill = () => {
    try {
      Deno.kill(-process.pid, "SIGKILL");
    } catch {
      // Nobody is left.
    }
  };
  let hung = false;
  const timer = setTimeout(() => {
    hung = true;
    kill();
  }, ms);
  const { success } = await process.status;
  clearTimeout(timer);
  kill(); // servers that a failed test has left
  return hung ? "hung" : success ? "passed" : "failed";
}

function test(cwd: string, { test, filter = "" }: Mutant, ms: number): Promise<Result> {
  const flags = [IMPORT_MAP, "--allow-all", "--no-check", "--v8-flags=--expose-gc"];
  return deno(cwd, ["test", ...flags, `--filter=${filter}`, `tests/${test}`], ms);
}

/** Milliseconds that the test of a mutant may take, once it has passed with the whole code. */
async function limit(cwd: string, mutant: Mutant): Promise<number> {
  const start = performance.now();
  const result = await test(cwd, mutant, 6 * PATIENCE);
  if (result !== "passed") throw new Error(`tests/${mutant.test} ${result} with the code as it is`);
  return PATIENCE + TIMES * (performance.now() - start);
}

const [word = ""] = Deno.args;
const mutants = MUTANTS.filter((mutant) => Object.values(mutant).join("\n").includes(word));
const limits = new Map<string, number>();
const lived: string[] = [];
const copy = await Deno.makeTempDir();
try {
  await new Deno.Command("cp", { args: ["-R", `${ROOT}.`, copy] }).output();
  for (const mutant of mutants) {
    const key = `${mutant.test} ${mutant.filter}`;
    if (!limits.has(key)) limits.set(key, await limit(copy, mutant));
    const path = `${copy}/${mutant.file}`;
    const whole = await Deno.readTextFile(path);
    await Deno.writeTextFile(path, apply(mutant, whole));
    // What doesn't compile fails every test, and proves nothing.
    const compiles = await deno(copy, ["check", IMPORT_MAP, mutant.file], 6 * PATIENCE);
    const result = compiles === "passed" ? await test(copy, mutant, limits.get(key)!) : "broken";
    await Deno.writeTextFile(path, whole);
    const name = `${mutant.file}: ${mutant.name}`;
    console.log(`${result.padEnd(8)}${name}`);
    if (result !== "failed" && result !== "hung") lived.push(name);
  }
} finally {
  await Deno.remove(copy, { recursive: true });
}
console.log(`${mutants.length} mutants, ${lived.length} of them live`);
for (const name of lived) console.log(`  ${name}`);
Deno.exit(lived.length > 0 ? 1 : 0);
