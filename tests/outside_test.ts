/** docs/outside.md: what ss, strace and tcpdump show of our programs. */
import { assert } from "@std/assert";
import { has, ROOT } from "./helpers.ts";
import { playPage } from "./terminal.ts";

const page = await Deno.readTextFile(`${ROOT}/docs/outside.md`);

/** Whether a command succeeds. */
function can(command: string): boolean {
  return new Deno.Command("sh", { args: ["-c", command], stderr: "null" }).outputSync().success;
}

/** What the screens of a section need, by its heading. */
const SECTIONS = {
  "Who waits": { tool: "ss", allowed: () => true },
  "A full queue": { tool: "ss", allowed: () => true },
  "The real calls": { tool: "strace", allowed: () => can("strace -o /dev/null true") },
  // Ended by timeout, 124: so it wasn't refused.
  "On the wire": {
    tool: "tcpdump",
    allowed: () => can("timeout -s INT 0.5 tcpdump -i lo -w /dev/null; test $? = 124"),
  },
};

for (const [heading, { tool, allowed }] of Object.entries(SECTIONS)) {
  Deno.test({
    name:
      `outside: ${heading}, as ${tool} shows it (needs setsid, ${tool} and the right to use it)`,
    ignore: Deno.build.os !== "linux" || !has("setsid") || !has(tool) || !allowed(),
    async fn() {
      const section = page.split("\n## ").find((section) => section.startsWith(`${heading}\n`));
      assert(section !== undefined);
      await playPage(section);
    },
  });
}
