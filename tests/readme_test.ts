import { assertEquals } from "@std/assert";
import { openListenfd } from "@netp/rio/server";
import { Rio, rioWriten } from "@netp/rio/rio";
import { bytes, Program, ROOT, runProgram, text } from "./helpers.ts";

Deno.test("the library example of the README speaks a line protocol", async () => {
  const readme = await Deno.readTextFile(`${ROOT}/README.md`);
  using listenfd = openListenfd(0, { host: "127.0.0.1" });
  const [, example] = /^```ts ignore\n(.*?)^```$/ms.exec(readme)!;
  const source = example
    .replace(`"@netp/rio"`, JSON.stringify(`${ROOT}/mod.ts`))
    .replace("6379", `${listenfd.addr.port}`);
  assertEquals(source === example, false);

  const redis = (async () => {
    using connfd = await listenfd.accept();
    const request = await new Rio(connfd).readline();
    assertEquals(text(request!), "GET greeting\r\n");
    await rioWriten(connfd, bytes("$13\r\nhello\r\nworld!\r\n"));
  })();
  const program = new Program(Deno.execPath(), [
    "run",
    "--quiet",
    "--allow-net",
    "--ext=ts",
    "-",
  ]);
  assertEquals(await runProgram(program, source), {
    code: 0,
    stdout: "hello\r\nworld!\n",
    stderr: "",
  });
  await redis;
});
