/** docs/exercises/: each can be done, and isn't done by what one starts with. */
import { assert, assertRejects } from "@std/assert";
import { CHECKS } from "../docs/exercises/checks.ts";
import { ROOT } from "./helpers.ts";

const page = await Deno.readTextFile(`${ROOT}/docs/exercises/README.md`);

for (const [name, check] of Object.entries(CHECKS)) {
  Deno.test(`exercise ${name}: its solution passes, its start doesn't`, async () => {
    assert(page.includes(`(start/${name}.ts)`));
    await check(new URL(`exercises/${name}.ts`, import.meta.url));
    const start = new URL(`../docs/exercises/start/${name}.ts`, import.meta.url);
    await assertRejects(() => check(start, 500));
  });
}
