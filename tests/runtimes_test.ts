/** rio.ts and net/readers.ts as they stand, in other runtimes. */
import { assertEquals } from "@std/assert";
import { has, ROOT } from "./helpers.ts";

const CHECKS = "tests/runtimes/checks.ts";

/** What a program prints; throws what it says of an error. */
async function output(command: string, ...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, { args, cwd: ROOT }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout).trim();
}

Deno.test({
  name: "RIO runs in Node (needs node)",
  ignore: !has("node"),
  async fn() {
    // Node 20 can't strip types, so it gets the files without them.
    const strips = await output("node", "-p", "Boolean(process.features.typescript)");
    const dir = await Deno.makeTempDir();
    try {
      let checks = CHECKS;
      for (const file of strips === "true" ? [] : ["rio.ts", "net/readers.ts", CHECKS]) {
        checks = `${dir}/${file.replace(/ts$/, "mjs")}`;
        await Deno.mkdir(checks.slice(0, checks.lastIndexOf("/")), { recursive: true });
        await output(Deno.execPath(), "transpile", "--quiet", "--no-check", "-o", checks, file);
        const code = await Deno.readTextFile(checks);
        await Deno.writeTextFile(checks, code.replace(/(from "\..*)ts"/g, '$1mjs"'));
      }
      assertEquals(await output("node", checks), "5 passed, 0 failed");
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  },
});

Deno.test({
  name: "RIO runs in Bun (needs bun)",
  ignore: !has("bun"),
  async fn() {
    assertEquals(await output("bun", CHECKS), "5 passed, 0 failed");
  },
});
