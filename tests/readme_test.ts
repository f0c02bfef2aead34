/** The README and the pages of docs/: their commands run, their tables are whole. */
import { assert, assertEquals } from "@std/assert";
import { openListenfd } from "@netp/rio/server";
import { Rio, rioWriten } from "@netp/rio/rio";
import { bytes, Program, ROOT, runProgram, startServer, text } from "./helpers.ts";

const read = (path: string) => Deno.readTextFile(`${ROOT}/${path}`);

/** The lines of a page's shell blocks, without comments. */
async function commands(path: string): Promise<string[]> {
  const blocks = (await read(path)).matchAll(/^```sh\n(.*?)^```$/gms);
  return [...blocks].flatMap(([, block]) => block.trimEnd().split("\n"))
    .map((line) => line.replace(/\s+#.*/, "").replace("npx -y deno@2.9.6", "deno"));
}

/** Runs a command as it stands, with arguments behind it. */
function shell(command: string, ...args: (string | number)[]): Program {
  const [before, after = ""] = command.split(/(?= <)/);
  const line = `exec ${[before, ...args].join(" ")}${after}`.replace("exec deno", 'exec "$DENO"');
  return new Program("sh", ["-c", line], { DENO: Deno.execPath() });
}

/** The command serves, and ends in good order at Ctrl-C. */
async function serves(command: string, ...args: string[]): Promise<void> {
  await using server = shell(command, ...args);
  await server.stderr.until(/^listening on/m);
  assertEquals(await server.stop("SIGINT"), 0, server.stderr.text);
}

/** The command brings back what it sends to a server of ours. */
async function comesBack(command: string, flags: string[], args: (port: number) => string) {
  await using server = await startServer("--concurrency=200", ...flags);
  const program = shell(command.replace(/ localhost 15213/, ""), args(server.port));
  const { code, stdout, stderr } = await runProgram(program, "hello\n");
  assertEquals(code, 0, stderr);
  return stdout;
}

const local = (port: number) => `localhost ${port}`;
const TLS = ["--cert=tests/tls/cert.pem", "--key=tests/tls/key.pem"];
const RUN: Record<string, (command: string) => Promise<unknown>> = {
  "deno task server": (command) => serves(command, "0"),
  "deno task server --concurrency=1000 --quiet": (command) => serves(command, "0"),
  "deno task server:workers": (command) => serves(command, "0"),
  "deno run --allow-net --allow-read --allow-write server.ts --unix=/tmp/echo.sock": async (
    command,
  ) => {
    const dir = await Deno.makeTempDir();
    await serves(command.replace("/tmp", dir));
    await Deno.remove(dir);
  },
  [`deno run --allow-net --allow-read server.ts ${TLS.join(" ")}`]: (command) =>
    serves(command, "0"),
  "deno task client": async (command) =>
    assertEquals(await comesBack(command, [], local), "hello\n"),
  "deno task client localhost 15213 < LICENSE": async (command) =>
    assertEquals(await comesBack(command, [], local), await read("LICENSE")),
  "deno run --allow-net --allow-read client.ts --tls --cafile=tests/tls/ca.pem": async (command) =>
    assertEquals(await comesBack(command, TLS, (port) => `127.0.0.1 ${port}`), "hello\n"),
  "deno task load localhost 15213 --connections=100 --seconds=5": async (command) =>
    await comesBack(command.replace("=5", "=1"), ["--quiet"], local),
};
/** What other tests run: `programs_test.ts` from a URL; and this is `npm:test` itself. */
const ELSEWHERE = [
  "deno task npm:test",
  'deno run --allow-net --allow-import "$URL/server.ts"',
  "deno run --allow-net jsr:@netp/rio/server",
];

for (const path of ["README.md", "docs/programs.md"]) {
  for (const command of new Set(await commands(path))) {
    if (ELSEWHERE.includes(command)) continue;
    Deno.test(`${path}: ${command}`, async () => {
      assert(command in RUN, "no test runs it");
      await RUN[command](command);
    });
  }
}

Deno.test("docs/programs.md has every flag of both programs, and no other", async () => {
  const page = await read("docs/programs.md");
  for (const name of ["server", "client"]) {
    const section = page.split(`\n## ${name}.ts`)[1].split("\n## ")[0];
    const documented = [...section.matchAll(/^\| (.*?) \|/gm)]
      .flatMap(([, cell]) => [...cell.matchAll(/--[a-z][a-z-]+/g)].map(([flag]) => flag));
    const { stdout } = await runProgram(Program.script(`${name}.ts`, "--help"));
    const known = [...stdout.split("\n")[0].matchAll(/--[a-z][a-z-]+/g)].map(([flag]) => flag)
      .filter((flag) => flag !== "--help" && flag !== "--version");
    assertEquals(documented.toSorted(), known.toSorted());
  }
});

Deno.test("the library example of the README speaks a line protocol", async () => {
  const readme = await read("README.md");
  using listenfd = openListenfd(0, { host: "127.0.0.1" });
  const [, example] = /^```ts ignore\n(.*?)^```$/ms.exec(readme)!;
  const source = example
    .replace(`"@netp/rio"`, JSON.stringify(`${ROOT}/mod.ts`))
    .replace("11211", `${listenfd.addr.port}`);
  assertEquals(source === example, false);

  const memcached = (async () => {
    using connfd = await listenfd.accept();
    const request = await new Rio(connfd).readline();
    assertEquals(text(request!), "get greeting\r\n");
    const answer = "VALUE greeting 0 13\r\nhello\r\nworld!\r\nEND\r\n";
    for (const byte of bytes(answer)) await rioWriten(connfd, new Uint8Array([byte]));
  })();
  const args = ["run", "--quiet", "--allow-net", "--ext=ts", "-"];
  assertEquals(await runProgram(new Program(Deno.execPath(), args), source), {
    code: 0,
    stdout: "greeting hello\r\nworld!\n",
    stderr: "",
  });
  await memcached;
});
