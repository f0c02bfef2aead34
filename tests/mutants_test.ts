/** The table of `deno task mutants` can't rot: each patch applies, and its test is there. */
import { assert, assertEquals } from "@std/assert";
import { ROOT } from "./helpers.ts";
import { apply, MUTANTS } from "./mutants_table.ts";

Deno.test("every mutant applies once, is another than the others, and has its test", async () => {
  const seen = new Set<string>();
  for (const mutant of MUTANTS) {
    const { file, name, test, filter = "" } = mutant;
    const mutated = apply(mutant, await Deno.readTextFile(`${ROOT}/${file}`));
    seen.add(mutated);
    const tests = await Deno.readTextFile(`${ROOT}/tests/${test}`);
    assert(tests.includes(filter), `${file}: ${name}: no ${JSON.stringify(filter)} in ${test}`);
  }
  assertEquals(seen.size, MUTANTS.length);
});
