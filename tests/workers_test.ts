/** Threads on one listening socket. */
import { assertEquals, assertMatch } from "@std/assert";
import { Rio, rioWriten } from "@netp/rio/rio";
import { openListenfd } from "@netp/rio/server";
import { startWorkers } from "../server/workers.ts";
import {
  bytes,
  Client,
  connect,
  freePort,
  Program,
  ROOT,
  runProgram,
  startServer,
  tempDir,
  text,
} from "./helpers.ts";

Deno.test("without --allow-read workers say what they need", async () => {
  const program = new Program(Deno.execPath(), [
    ..."run -q --allow-net server.ts 0 --workers=3".split(" "),
  ]);
  assertEquals(await runProgram(program), {
    code: 1,
    stdout: "",
    stderr: `server: --workers=3 needs deno run --allow-read: file://${ROOT}server/worker.ts\n`,
  });
});

Deno.test("a port that threads listen on is taken, for threads too", async () => {
  await using threads = await startServer("--workers=2");
  await using single = await startServer();
  for (
    const [server, flags] of [[threads, ["--workers=2"]], [threads, []], [single, [
      "--workers=2",
    ]]] as const
  ) {
    const second = Program.script("server.ts", server.port, ...flags);
    const { code, stderr } = await runProgram(second);
    assertEquals([code, stderr], [
      1,
      `server: listen on [::]:${server.port}: Address already in use\n`,
    ]);
  }
});

Deno.test("nobody who connects while the threads start is lost", async () => {
  const port = freePort();
  await using server = Program.script("server.ts", port, "--workers=3", "--concurrency=100");
  const clients: Promise<void>[] = [];
  const ask = async (fd: Deno.Conn<Deno.Addr>) => {
    using client = new Client(fd);
    await client.ask();
  };
  for (let listening = false; !listening;) {
    listening = server.stderr.text.includes("listening");
    const fd = await Deno.connect({ hostname: "127.0.0.1", port }).catch(() => null);
    if (fd !== null) clients.push(ask(fd));
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  await Promise.all(clients);
  assertEquals(await server.stop(), 0);
  assertMatch(server.stderr.text, new RegExp(`^server: ${clients.length} connections, `, "m"));
});

Deno.test("a thread that fails while it serves is told, and ends the server", async () => {
  await using dir = await tempDir();
  for (const folder of ["", "cli/", "net/", "server/"]) {
    await Deno.mkdir(`${dir.path}/${folder}`, { recursive: true });
    for await (const { name, isFile } of Deno.readDir(`${ROOT}/${folder}`)) {
      if (isFile) await Deno.copyFile(`${ROOT}/${folder}${name}`, `${dir.path}/${folder}${name}`);
    }
  }
  const file = `${dir.path}/server/worker.ts`;
  const fault = `
    methods.stats = () => {
      setTimeout(() => { throw new Error("out of luck"); });
      return server.stats;
    };`;
  await Deno.writeTextFile(file, await Deno.readTextFile(file) + fault);
  await using program = new Program(Deno.execPath(), [
    ..."run -q --no-check --allow-net --allow-read".split(" "),
    `${dir.path}/server.ts`,
    ..."0 --workers=2".split(" "),
  ]);
  await program.stderr.until(/^listening on /m);
  assertEquals(await program.stop("SIGUSR2"), 1);
  assertMatch(program.stderr.text, /^server: a worker failed: .*out of luck$/m);
});

Deno.test("a certificate that none is: threads say so at the start", async () => {
  const flags = ["--workers=2", "--cert=README.md", "--key=tests/tls/key.pem"];
  const { code, stderr } = await runProgram(Program.script("server.ts", 0, ...flags));
  assertEquals(code, 1);
  assertMatch(
    stderr,
    /^server: README\.md and tests\/tls\/key\.pem: the TLS certificate can't be read as PEM: .*\n$/,
  );
});

const LINES = 40_000;

Deno.test({
  name: "a thread waits for who reads standard output: a block on its way, and one behind it",
  // Its thread ends with the process.
  sanitizeResources: false,
  sanitizeOps: false,
  async fn() {
    const printed: string[] = [];
    const reader = Promise.withResolvers<void>();
    const stdout = {
      print(p: Uint8Array) {
        printed.push(text(p));
        return reader.promise;
      },
    };
    using listenfd = openListenfd(0, { host: "127.0.0.1", backlog: 16, shared: true });
    const { hostname, port } = listenfd.addr;
    const options = {
      concurrency: 1,
      grace: 30_000,
      backlog: 16,
      idleTimeout: Infinity,
      maxTime: Infinity,
      names: false,
      log: false,
      quiet: false,
    };
    // Who asks for the same port, 0, gets the same socket.
    const workers = await startWorkers(1, { hostname, port: 0, tls: undefined }, options, stdout);
    listenfd.close(); // the thread's own goes on
    using clientfd = await Deno.connect({ hostname, port });
    const sending = rioWriten(clientfd, bytes("x\n".repeat(LINES))).then(() =>
      clientfd.closeWrite()
    );
    const rio = new Rio(clientfd);
    const receiving = rio.readnb(new Uint8Array(2 * LINES + 1));

    // It stands still when it answers and answers, and has read no more.
    let lines = -1;
    for (let same = 0; same < 200;) {
      const [stats] = await workers.stats();
      same = stats.lines === lines && lines > 0 ? same + 1 : 0;
      lines = stats.lines;
    }
    assertEquals([printed.length, lines < LINES], [1, true]);

    workers.stop();
    reader.resolve();
    assertEquals(await receiving, 2 * LINES);
    await sending;
    await workers.ended; // and with it all that was printed last
    const [, ...told] = printed.join("").split("\n");
    assertEquals(told.length, LINES + 1);
  },
});

Deno.test("a signal that comes as soon as a thread serves ends the server in good order", async () => {
  const port = freePort();
  await using server = Program.script("server.ts", port, "--workers=4");
  // It answers, though perhaps not all threads have started.
  for (;;) {
    try {
      using client = await connect(port);
      await client.ask();
      break;
    } catch (error) {
      if (!(error instanceof Deno.errors.ConnectionRefused)) throw error;
    }
  }
  assertEquals(await server.stop(), 0);
});
