/** Unix sockets. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { openUnixClientfd } from "@netp/rio/client";
import { echo, openUnixListenfd, serve } from "@netp/rio/server";
import { Client, exists, LINUX, Program, runProgram, tempDir } from "./helpers.ts";

/** Leaves the socket of a dead server at these paths: the kernel refuses who connects. */
async function leave(...paths: string[]): Promise<void> {
  const dead = Deno.listen({ transport: "unix", path: `${paths[0]}.dead` });
  for (const path of paths) await Deno.link(dead.addr.path, path);
  dead.close();
  // A process that another test is just starting has the socket open, too, for a moment.
  for (let refused = false; !refused;) {
    const connected = openUnixClientfd(paths[0]).then((clientfd) => clientfd.close());
    const error = await connected.catch((error) => error);
    refused = error instanceof Deno.errors.ConnectionRefused;
    if (!refused && !(error instanceof Deno.errors.ConnectionReset)) assertEquals(error, undefined);
  }
}

Deno.test({
  ...LINUX,
  name: "a Unix socket: a stale file is replaced, a living one never, and it is gone at exit",
  async fn() {
    const dir = await Deno.makeTempDir();
    const path = `${dir}/echo.sock`;
    const flag = `--unix=${path}`;
    try {
      {
        await using first = Program.script("server.ts", flag);
        await first.stderr.until(
          /^listening on .*echo.sock \(concurrency 1\)$/m,
        );
        const sockets = await Deno.readTextFile("/proc/net/unix"); // what ss shows
        assertMatch(sockets, new RegExp(`${dir}/\\.echo\\.sock\\.[0-9a-f]{8}$`, "m"));
        const client = Program.script("client.ts", flag);
        assertEquals((await runProgram(client, "hi\n")).stdout, "hi\n");
        await first.stdout.until(
          /^Connected to \(localhost, .*echo.sock\)\nserver received 3 bytes\n$/,
        );
        const second = await runProgram(Program.script("server.ts", flag));
        assertEquals(second.code, 1);
        assertEquals(
          second.stderr,
          `server: listen on ${path}: Address already in use\n`,
        );
        await first.stop("SIGKILL");
      }
      assertEquals(await exists(path), true, "left by the dead server");
      await using third = Program.script("server.ts", flag);
      await third.stderr.until(/^listening on/m);
      const client = Program.script("client.ts", flag);
      assertEquals((await runProgram(client, "ho\n")).stdout, "ho\n");
      assertEquals(await third.stop(), 0);
      assertEquals(await exists(path), false);

      await Deno.writeTextFile(path, "no socket");
      const { code } = await runProgram(Program.script("server.ts", flag));
      assertEquals([code, await Deno.readTextFile(path)], [1, "no socket"]);
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  },
});

Deno.test({
  ...LINUX,
  name: "a path with a newline is told on one line",
  async fn() {
    await using dir = await tempDir();
    await using server = Program.script("server.ts", `--unix=${dir.path}/a\nb`, "--trace");
    await server.stderr.until(/^listening on (.|\n)* \(concurrency 1\)$/m);
    assertMatch(server.stderr.text, /^listening on \S+\/a\?b \(concurrency 1\)$/m);
    assertMatch(server.stderr.text, /bind\(listenfd, \S+\/a\?b\) /);
  },
});

Deno.test({
  ...LINUX,
  name: "what a server left that was killed before its rename is removed, and nothing else",
  async fn() {
    await using dir = await tempDir();
    const path = `${dir.path}/echo.sock`;
    const left = `${dir.path}/.echo.sock.0123abcd`;
    const others = [".echo.sock.0123abc", ".other.sock.0123abcd", ".echo.sock.12345678"];
    await leave(left, ...others.slice(0, 2).map((name) => `${dir.path}/${name}`));
    await Deno.writeTextFile(`${dir.path}/${others[2]}`, "no socket");
    using living = Deno.listen({ transport: "unix", path: `${dir.path}/.echo.sock.ffffffff` });
    const listenfd = await openUnixListenfd(path);
    assertEquals(await exists(left), false);
    for (const name of others) assert(await exists(`${dir.path}/${name}`), name);
    assert(await exists(living.addr.path));
    listenfd.close();
  },
});

Deno.test({
  ...LINUX,
  name: "of servers that race for a stale Unix socket one wins, the others say it is taken",
  async fn() {
    await using dir = await tempDir();
    const path = `${dir.path}/echo.sock`;
    for (let round = 0; round < 30; round++) {
      await leave(path);

      const tries = await Promise.allSettled([1, 2, 3, 4].map(() => openUnixListenfd(path)));
      const won = tries.filter((result) => result.status === "fulfilled");
      assertEquals(won.length, 1);
      for (const result of tries) {
        if (result.status === "fulfilled") continue;
        assert(result.reason instanceof Deno.errors.AddrInUse, String(result.reason));
        assertEquals(result.reason.message, `listen on ${path}: Address already in use`);
      }
      const [{ value: listenfd }] = won;
      using _clientfd = await openUnixClientfd(path);
      (await listenfd.accept()).close();
      listenfd.close();
      assertEquals(await exists(path), false);
    }
    assertEquals(await Array.fromAsync(Deno.readDir(dir.path)), [], "nothing is left behind");
  },
});

Deno.test("a Unix socket whose server doesn't answer for a moment is taken", async () => {
  const dir = await Deno.makeTempDir();
  const path = `${dir}/echo.sock`;
  const { connect } = Deno;
  const living = await openUnixListenfd(path);
  let failed: Error | undefined;
  try {
    // As connect(2) has it when the queue is full: EAGAIN.
    Object.assign(Deno, { connect: () => Promise.reject(new Deno.errors.WouldBlock("busy")) });
    await openUnixListenfd(path).then((listenfd) => listenfd.close(), (error) => failed = error);
  } finally {
    Deno.connect = connect;
    living.close();
    await Deno.remove(dir, { recursive: true });
  }
  assertEquals(failed?.message, `listen on ${path}: Address already in use`);
});

Deno.test({
  ...LINUX,
  name: "a server that ends leaves the socket of another that has taken its path",
  async fn() {
    await using dir = await tempDir();
    const path = `${dir.path}/echo.sock`;
    const first = await openUnixListenfd(path);
    await Deno.remove(path);
    const second = await openUnixListenfd(path);
    first.close();
    assertEquals(await exists(path), true);
    second.close();
    assertEquals(await exists(path), false);
  },
});

Deno.test({
  ...LINUX,
  name: "a drain of a Unix socket cuts nobody who has connected, though they come without end",
  async fn() {
    await using dir = await tempDir();
    const path = `${dir.path}/echo.sock`;
    const listenfd = await openUnixListenfd(path);
    const stop = new AbortController();
    const options = { concurrency: 9, backlog: 3, signal: stop.signal };
    const served = serve(listenfd, (connfd) => echo(connfd), options);
    let asked = 0;
    const comeAndGo = async () => {
      for (;;) {
        const fd = await openUnixClientfd(path).catch(() => undefined);
        if (fd === undefined) return;
        using client = new Client(fd);
        await client.ask();
        if (++asked === 99) stop.abort();
      }
    };
    await Promise.all(Array.from({ length: 50 }, comeAndGo));
    const { accepted, closed: { done } } = await served;
    assertEquals([accepted, done], [asked, asked]);
  },
});

Deno.test({
  ...LINUX,
  name: "at the end of the grace a Unix socket is closed, once",
  async fn() {
    await using dir = await tempDir();
    const path = `${dir.path}/echo.sock`;
    const stop = new AbortController();
    const options = { grace: 0, signal: stop.signal };
    const listenfd = await openUnixListenfd(path);
    const served = serve(listenfd, (connfd) => echo(connfd), options);
    using client = new Client(await openUnixClientfd(path));
    await client.ask();
    stop.abort();
    assertEquals((await served).closed.cut, 1);
    await client.askEnd();
    assertEquals(await exists(path), false);
    listenfd.close(); // as its owner may, too
  },
});

Deno.test({
  ...LINUX,
  name: "a closed listener leaves the next one's file, though it may have the same inode",
  async fn() {
    await using dir = await tempDir();
    const path = `${dir.path}/echo.sock`;
    const first = await openUnixListenfd(path);
    first.close();
    const next = await openUnixListenfd(path);
    await first.stop(true);
    assertEquals(await exists(path), true);
    next.close();
  },
});

Deno.test({
  ...LINUX,
  name: "a Unix socket's path may be as long as the kernel takes, and no longer",
  async fn() {
    await using dir = await tempDir();
    const name = (bytes: number) => `${dir.path}/`.padEnd(bytes, "x");
    for (const bytes of [90, 97, 98, 104, 107]) {
      const listenfd = await openUnixListenfd(name(bytes));
      const [conn] = await Promise.all([listenfd.accept(), openUnixClientfd(name(bytes))].map(
        async (fd) => (await fd)[Symbol.dispose](),
      ));
      assertEquals(conn, undefined);
      listenfd.close();
    }
    await assertRejects(() => openUnixListenfd(name(108)), RangeError, "108 bytes, at most 107");
    assertEquals([...Deno.readDirSync(dir.path)], []);
  },
});

Deno.test({
  ...LINUX,
  name: "--unix-mode sets the mode of the file; --unix=@name is no abstract socket",
  async fn() {
    await using dir = await tempDir();
    const path = `${dir.path}/echo.sock`;
    await using server = Program.script("server.ts", `--unix=${path}`, "--unix-mode=660");
    await server.stderr.until(/^listening on/m);
    assertEquals((await Deno.stat(path)).mode! & 0o777, 0o660);
    assertEquals(await server.stop(), 0);
    for (
      const [flags, message] of [
        [["--unix=@echo"], "--unix=@echo: no abstract sockets; for a file write ./@echo"],
        [
          ["--unix=a", "--unix-mode=9"],
          "--unix-mode must be three octal digits, such as 660, not 9",
        ],
        [["--unix-mode=660"], "--unix-mode goes with --unix"],
      ] as const
    ) {
      const { code, stderr } = await runProgram(Program.script("server.ts", ...flags));
      assertEquals([code, stderr.split("\n")[0]], [2, `server: ${message}`]);
    }
  },
});
