/** Tests what stands in mine/: `deno test --allow-all docs/exercises/`. */
import { CHECKS } from "./checks.ts";

for (const [name, check] of Object.entries(CHECKS)) {
  const file = new URL(`mine/${name}.ts`, import.meta.url);
  const begun = await Deno.stat(file).then(() => true, () => false);
  if (begun) Deno.test(`exercise: ${name}`, () => check(file));
}
