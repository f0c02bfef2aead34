/** The project's own files: versions, tasks and links that agree with one another. */
import { assert, assertEquals } from "@std/assert";
import { exists, Program, PYTHON, PYTHON3, ROOT } from "./helpers.ts";

const read = (path: string) => Deno.readTextFile(`${ROOT}/${path}`);
const config = JSON.parse(await read("deno.json"));

/** The files of a folder, and of those in it, whose names end like this. */
function files(folder: string, ...ends: string[]): string[] {
  return [...Deno.readDirSync(`${ROOT}/${folder}`)].flatMap(({ name, isDirectory }) => {
    const path = `${folder}/${name}`;
    if (isDirectory) return files(path, ...ends);
    return ends.some((end) => name.endsWith(end)) ? [path] : [];
  });
}

const PAGES = [
  "README.md",
  "CHANGELOG.md",
  ...files("docs", ".md"),
  ...files(".github", ".md"),
];
const WORKFLOWS = files(".github/workflows", ".yml");

Deno.test("pages, .ci/run and workflows name the Deno of .tool-versions", async () => {
  const [, version] = /^deno (\S+)$/m.exec(await read(".tool-versions"))!;
  for (const path of [...PAGES, ".ci/run"]) {
    for (const [found, named] of (await read(path)).matchAll(/deno[@:](\d+\.\d+\.\d+)/g)) {
      assertEquals(named, version, `${path}: ${found}`);
    }
  }
  for (const path of WORKFLOWS) {
    const uses = (await read(path)).split("\n").map((line) => line.trim());
    const setups = uses.filter((line) => line.startsWith("- uses: denoland/setup-deno@"));
    const named = uses.filter((line) => line === "deno-version-file: .tool-versions");
    assertEquals(named.length, setups.length, path);
  }
});

Deno.test("the newest version with a date in CHANGELOG.md is the package's", async () => {
  const versions = (await read("CHANGELOG.md")).matchAll(/^## (\S+), \d{4}-\d\d-\d\d$/gm);
  assertEquals([...versions][0][1], config.version);
});

Deno.test("each task says what it does, and pages and workflows name no other", async () => {
  for (const [name, task] of Object.entries<{ description?: string }>(config.tasks)) {
    assert(task.description, name);
  }
  for (const path of [...PAGES, ...WORKFLOWS, ".ci/run"]) {
    for (const [, name] of (await read(path)).matchAll(/\bdeno task ([a-z][a-z:]*)/g)) {
      assert(name in config.tasks, `${path}: deno task ${name}`);
    }
  }
  const [, nightly] = /^ +task: \[(.*)\]$/m.exec(await read(".github/workflows/nightly.yml"))!;
  for (const task of nightly.split(", ")) assert(task.split(" ")[0] in config.tasks, task);
});

Deno.test("docs/design.md and CONTRIBUTING name only files that are there", async () => {
  for (const page of ["docs/design.md", ".github/CONTRIBUTING.md"]) {
    const named = (await read(page)).matchAll(/`([\w./]+(?:\.ts|\.json|\/))`/g);
    for (const [, path] of named) {
      assert(await exists(`${ROOT}/${path}`), `${page}: ${path}`);
    }
  }
});

/** The modules that a module loads with it, itself included: no types, and no `import()`. */
async function loads(path: string, found: Set<string> = new Set()): Promise<Set<string>> {
  if (found.has(path)) return found;
  found.add(path);
  const imports = /^(?:import|export)\b(?! type\b)(?:[^;]*? from)? "(\.[^"]*)";$/gm;
  for (const [, specifier] of (await read(path)).matchAll(imports)) {
    await loads(new URL(specifier, `file:///${path}`).pathname.slice(1), found);
  }
  return found;
}

Deno.test("imports run one way: no library module loads cli/ or mod.ts, and rio.ts nothing", async () => {
  assertEquals([...await loads("rio.ts")], ["rio.ts"]);
  for (const path of ["server.ts", "client.ts", "tools/load.ts"]) {
    const modules = [...await loads(path)];
    assert(modules.includes("rio.ts"), path);
    assertEquals(modules.filter((module) => /^(cli\/|mod\.ts$)/.test(module)), [], path);
  }
  assert((await loads("server/program.ts")).has("cli/program.ts"));
});

Deno.test("every link of the pages leads somewhere", async () => {
  for (const page of PAGES) {
    for (const [, link] of (await read(page)).matchAll(/\]\((?!https?:)([^)#\s]+)/g)) {
      assert(await exists(new URL(link, `file://${ROOT}/${page}`).pathname), `${page}: ${link}`);
    }
  }
});

Deno.test({
  name: "README: python3 sends .ts as Deno accepts it (needs python3)",
  ...PYTHON,
  async fn() {
    const [, code] = /`python3 -c '(.*)'`/.exec(await read("README.md"))!;
    const serve = code.replace("s.test(h)", 's.test(h, port=0, bind="127.0.0.1")');
    await using server = new Program(PYTHON3, ["-u", "-c", serve]);
    const [, port] = await server.stdout.until(/ port (\d+)/);
    const response = await fetch(`http://127.0.0.1:${port}/server.ts`);
    assertEquals(await response.text(), await read("server.ts"));
    assertEquals(response.headers.get("content-type"), "text/plain");
  },
});
