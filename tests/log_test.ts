/** `--log`: a line on standard error for the end of each connection. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { rioWriten } from "@netp/rio/rio";
import {
  bytes,
  Client,
  connect,
  connectTls,
  LINUX,
  Program,
  PYTHON,
  python,
  startServer,
  tempDir,
  TLS,
} from "./helpers.ts";

const END = /^server: (.*): closed: (.*), \d+\.\d s$/gm;

/** The ends that are told: the client, and the rest without the time. */
function ends(server: Program): string[][] {
  return Array.from(server.stderr.text.matchAll(END), ([, client, what]) => [client, what]);
}

/** Asks for two lines, and leaves. */
async function visit(client: Client): Promise<string> {
  await client.ask("hello\n");
  await client.ask("you\n");
  await client.fd.closeWrite();
  await client.askEnd();
  client.fd.close();
  const { localAddr } = client.fd;
  return "hostname" in localAddr ? `${localAddr.hostname}:${localAddr.port}` : "a client";
}

for (
  const [name, open, ...flags] of [
    ["TCP", connect],
    ["TCP, --names", connect, "--names"],
    ["threads", connect, "--workers=2"],
    ["TLS", connectTls, ...TLS],
    ["TLS, threads", connectTls, ...TLS, "--workers=2"],
  ] as [string, typeof connect, ...string[]][]
) {
  Deno.test(`--log tells who left, why, and what he had done (${name})`, async () => {
    await using server = await startServer("--log", "--quiet", ...flags);
    const clients = [await visit(await open(server.port)), await visit(await open(server.port))];
    await server.stop();
    assertEquals(server.stdout.text, "");
    const what = "done, 2 lines, 10 bytes in, 10 out";
    assertEquals(ends(server).sort(), clients.map((client) => [client, what]).sort());
  });
}

Deno.test("--log on a Unix socket, whose clients have no address", { ...LINUX }, async () => {
  await using dir = await tempDir();
  const path = `${dir.path}/echo.sock`;
  await using server = Program.script("server.ts", `--unix=${path}`, "--log");
  await server.stderr.until(/^listening/m);
  await visit(new Client(await Deno.connect({ transport: "unix", path })));
  await server.stop();
  assertEquals(ends(server), [["a client", "done, 2 lines, 10 bytes in, 10 out"]]);
});

for (const [cause, flag] of [["idle", "--idle-timeout=0.1"], ["expired", "--max-seconds=0.1"]]) {
  Deno.test(`--log tells that a connection was closed: ${cause}`, async () => {
    await using server = await startServer("--log", flag);
    using client = await connect(server.port);
    await client.askEnd();
    await server.stop();
    assertEquals(ends(server).map(([, what]) => what), [`${cause}, 0 lines, 0 bytes in, 0 out`]);
  });
}

Deno.test("without --log no end is told", async () => {
  await using server = await startServer();
  await visit(await connect(server.port));
  await server.stop();
  assertEquals(ends(server), []);
});

Deno.test({
  ...PYTHON,
  name: "--log tells each cause, by the names of the counters (needs python3)",
  async fn() {
    await using server = await startServer(
      ..."--log --stats --concurrency=2 --grace=0".split(" "),
      "--proxy-protocol=127.0.0.1",
    );
    await python(
      server.port,
      `
def end(s):
    while s.recv(99): pass
    s.close()
def ask(header, lines=b""):
    s = connect()
    s.sendall(header + lines)
    for _ in lines: s.recv(1)
    return s
one = b"PROXY TCP4 192.0.2.1 127.0.0.1 1 2\\r\\n"
s = ask(one, b"x\\n"); s.shutdown(1); end(s)          # done
end(ask(b"PROXY TCP5\\r\\n"))                   # failed
s = ask(one, b"x\\ny\\n"); s.setsockopt(*RST); s.close()
`,
    );
    await server.stderr.until(/closed: reset/);
    using first = await connect(server.port);
    await rioWriten(first.fd, bytes("PROXY TCP6 2001:db8::1 ::1 3 4\r\n"));
    await first.ask();
    using second = await connect(server.port);
    await rioWriten(second.fd, bytes("PROXY TCP6 2001:db8::2 ::1 5 6\r\n"));
    await second.ask();
    using third = await connect(server.port); // waits in the queue, and then for a slot
    assertEquals(await server.stop(), 1);
    await first.askEnd();
    await second.askEnd();
    await third.askEnd();
    const told = ends(server).map(([client, what]) => `${client.replace(/^127.*/, "-")} ${what}`);
    assertEquals(told.slice(0, 3), [
      "192.0.2.1:1 done, 1 line, 2 bytes in, 2 out",
      "- failed, 0 lines, 0 bytes in, 0 out",
      "192.0.2.1:1 reset, 2 lines, 4 bytes in, 4 out",
    ]);
    assertEquals(told.slice(3).sort(), [
      "- cut, 0 lines, 0 bytes in, 0 out",
      "[2001:db8::1]:3 cut, 1 line, 6 bytes in, 6 out",
      "[2001:db8::2]:5 cut, 1 line, 6 bytes in, 6 out",
    ]);
  },
});

for (const flags of [[], TLS]) {
  Deno.test(`--log tells refusals and failed handshakes, too (${flags})`, async () => {
    await using server = await startServer("--log", "--stats", "--allow=::1", ...flags);
    using client = await connect(server.port);
    await client.askEnd();
    if (flags.length > 0) {
      using stranger = new Client(await Deno.connect({ hostname: "::1", port: server.port }));
      await rioWriten(stranger.fd, bytes("GET / HTTP/1.1\r\n\r\n"));
      await stranger.askEnd();
    }
    await server.stop();
    const failed = "handshake failed, 0 lines, 0 bytes in, 0 out";
    assertEquals(ends(server).map(([, what]) => what), [
      "refused, 0 lines, 0 bytes in, 0 out",
      ...flags.length > 0 ? [failed] : [],
    ]);
  });
}

Deno.test("who comes and goes fills no log with --log, and hides no fault", async () => {
  await using server = await startServer("--log", "--allow=127.0.0.1", "--stats");
  for (let i = 0; i < 40; i++) await visit(await connect(server.port));
  using refused = new Client(await Deno.connect({ hostname: "::1", port: server.port }));
  await refused.askEnd();
  await server.stop();
  const more = Array.from(server.stderr.text.matchAll(/and (\d+) more ends?$/gm), ([, n]) => +n);
  const told = ends(server).length;
  assert(told < 41, `${told} lines`);
  assertEquals(more.reduce((sum, n) => sum + n, told), 41);
  assertMatch(server.stderr.text, /^server: \[::1\]:\d+: refused: its address isn't in --allow$/m);
  // What is told is what was counted.
  assert(server.stderr.text.includes('"lines":80,"bytesIn":400,"bytesOut":400'));
});
