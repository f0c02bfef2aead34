/** SIGINT, SIGTERM, SIGUSR1 and SIGUSR2: what is drained, cut, and lost with whom. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { openClientfd } from "@netp/rio/client";
import { Rio, rioWriten } from "@netp/rio/rio";
import { openListenfd, serve } from "@netp/rio/server";
import { onSignal } from "../cli/signals.ts";
import { Clock } from "./clock.ts";
import { bytes, Client, connect, Output, Program, ROOT, startServer, tempDir } from "./helpers.ts";

const client = (...args: (string | number)[]) => Program.script("client.ts", ...args);

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  for (const flags of [[], ["--workers=2"], ["--unix"]]) {
    Deno.test(`${signal} with clients in the queue: each is served ${flags}`, async () => {
      await using dir = await tempDir();
      const path = `${dir.path}/echo.sock`;
      const unix = flags[0] === "--unix";
      await using server = unix
        ? Program.script("server.ts", `--unix=${path}`)
        : Program.script("server.ts", 0, ...flags);
      const [, port] = await server.stderr.until(/^listening on .*?(\d*) \(/m);
      const open = async () =>
        unix
          ? new Client(await Deno.connect({ transport: "unix", path }))
          : await connect(Number(port));
      const clients = await Promise.all(Array.from({ length: 6 }, open));
      for (const { fd } of clients) await rioWriten(fd, bytes("hello\n"));
      server.process.kill(signal);
      await server.stderr.until(/ of grace$/m);
      await Promise.all(clients.map(async ({ fd }) => {
        await fd.closeWrite();
        const back = new Uint8Array(9);
        assertEquals(await new Rio(fd).readnb(back), 6);
        fd.close();
      }));
      assertEquals(await server.code(), 0);
      assertMatch(server.stderr.text, /^server: 6 connections, 6 lines, 36 bytes in \d+\.\d s$/m);
    });
  }
}

Deno.test("who waits in the queue and can't be served is counted as cut", async () => {
  await using server = await startServer("--grace=0.3", "--stats");
  using first = await connect(server.port);
  await first.ask();
  const others = await Promise.all([1, 2, 3, 4].map(() => connect(server.port)));
  assertEquals(await server.stop(), 1);
  for (const client of [first, ...others]) {
    await client.askEnd();
    client.fd[Symbol.dispose]();
  }
  assertMatch(server.stderr.text, /^server: 5 connections, 1 line, .*, 5 connections cut$/m);
  assertMatch(server.stderr.text, /"accepted":5,"active":0,"waiting":0,.*"cut":5/);
});

for (const flags of [[], ["--workers=2"]]) {
  Deno.test(`nobody reads standard output: the grace ends the server all the same ${flags}`, async () => {
    const process = new Deno.Command(Deno.execPath(), {
      args: ["run", "-q", "--allow-net", "--allow-read", "server.ts", "0", "--grace=0.2", ...flags],
      cwd: ROOT,
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const stderr = new Output(process.stderr);
    const [, port] = await stderr.until(/^listening on .*:(\d+) \(/m);
    using clientfd = await openClientfd("127.0.0.1", Number(port));
    const sending = (async () => {
      for (;;) await clientfd.write(bytes("\n".repeat(10_000)));
    })().catch(() => {});
    const buf = new Uint8Array(65_536);
    // The pipe is full when lines no longer come back.
    for (let still = false; !still;) {
      const timeout = Promise.withResolvers<undefined>();
      const timer = setTimeout(() => timeout.resolve(undefined), 700);
      still = await Promise.race([clientfd.read(buf), timeout.promise]) === undefined;
      clearTimeout(timer);
    }
    process.kill("SIGTERM");
    assertEquals((await process.status).code, 1);
    await stderr.ended;
    assertMatch(stderr.text, /^server: standard output: nobody reads it$/m);
    assertMatch(stderr.text, /, 1 connection cut$/m);
    await process.stdout.cancel();
    clientfd.close();
    await sending;
  });
}

Deno.test("serve ends with the grace, whatever a handler waits for", async () => {
  const listenfd = openListenfd(0, { host: "127.0.0.1" });
  const stop = new AbortController();
  const never = new Promise<void>(() => {});
  const served = serve(listenfd, () => never, { signal: stop.signal, grace: 50 });
  using clientfd = await openClientfd("127.0.0.1", listenfd.addr.port);
  stop.abort();
  const { closed } = await served;
  assertEquals(closed.cut, 1);
  assertEquals(await clientfd.read(new Uint8Array(1)), null);
});

Deno.test("serve frees the slot of an idle connection, whatever its handler waits for", async () => {
  const listenfd = openListenfd(0, { host: "127.0.0.1" });
  const stop = new AbortController();
  const second = Promise.withResolvers<void>();
  let calls = 0;
  const never = new Promise<void>(() => {});
  const served = serve(listenfd, () => {
    if (++calls === 1) return never;
    second.resolve();
    return Promise.resolve();
  }, { signal: stop.signal, idleTimeout: 50, onError() {} });
  using _first = await openClientfd("127.0.0.1", listenfd.addr.port);
  using _second = await openClientfd("127.0.0.1", listenfd.addr.port);
  await second.promise;
  stop.abort();
  const { closed } = await served;
  assertEquals([closed.idle, closed.done], [1, 1]);
});

Deno.test("times: for ever is Infinity, and nonsense a RangeError", async () => {
  for (const ms of [Infinity, 2 ** 31, 2 ** 40]) {
    const listenfd = openListenfd(0, { host: "127.0.0.1" });
    const stop = new AbortController();
    const served = serve(listenfd, async ({ conn }) => {
      while (await conn.read(new Uint8Array(9)) !== null);
    }, { signal: stop.signal, grace: ms, idleTimeout: ms, maxTime: ms });
    using clientfd = await openClientfd("127.0.0.1", listenfd.addr.port, { connectTimeout: ms });
    stop.abort();
    await new Promise((resolve) => setTimeout(resolve, 100));
    await clientfd.closeWrite();
    const { closed } = await served;
    assertEquals([closed.done, closed.cut, closed.idle, closed.expired], [1, 0, 0, 0], `${ms}`);
  }
  using listenfd = openListenfd(0, { host: "127.0.0.1" });
  for (const ms of [-1, -Infinity, NaN]) {
    for (const name of ["grace", "idleTimeout", "maxTime"]) {
      const error = await serve(listenfd, () => Promise.resolve(), { [name]: ms })
        .catch((error) => error);
      assert(error instanceof RangeError, name);
      assertMatch(error.message, new RegExp(`${name} must be .*, current value is ${ms}$`));
    }
  }
});

for (const flags of [[], ["--workers=2"]]) {
  Deno.test(`the grace ends: ${flags[0] ?? "one thread"}`, async () => {
    await using server = await startServer(...flags, "--grace=0.1");
    await using program = client("127.0.0.1", server.port);
    await program.write("hi\n");
    await program.stdout.until(/^hi\n$/);
    assertEquals(await server.stop("SIGINT"), 1);
    assertMatch(
      server.stderr.text,
      /SIGINT: 1 connection left, 0.1 s of grace\n.* 1 line, .* s, 1 connection cut\n$/,
    );
    assertEquals((await program.process.status).code, 1);
    await program.code();
    assertEquals(
      program.stderr.text,
      "client: server closed the connection: 3 of 3 bytes came back\n",
    );
  });
}

for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
  Deno.test(`a second ${signal} ends the server at once with ${code}`, async () => {
    await using server = await startServer("--grace=50");
    using clientfd = await openClientfd("127.0.0.1", server.port);
    await rioWriten(clientfd, bytes("hi\n"));
    await server.stdout.until(/received 3 bytes/);
    server.process.kill(signal);
    await server.stderr.until(/1 connection left/);
    // Signals within a tenth of a second are one Ctrl-C.
    await new Promise((resolve) => setTimeout(resolve, 150));
    assertEquals(await server.stop(signal), code);
  });

  Deno.test(`${signal} ends the client with ${code}, its output written`, async () => {
    await using server = await startServer();
    await using program = client("127.0.0.1", server.port);
    await program.write("hi\n");
    await program.stdout.until(/hi\n/);
    program.process.kill(signal);
    assertEquals((await program.process.status).code, code);
    await program.code();
    assertEquals([program.stdout.text, program.stderr.text], ["hi\n", ""]);
  });
}

for (
  const flags of [["--concurrency=200"], ["--workers=2", "--concurrency=100"]]
) {
  Deno.test(`drain with ${flags}: every byte sent before FIN is answered`, async () => {
    await using server = await startServer(...flags, "--grace=30", "--stats");
    // Enough clients that each worker has some.
    const clients = await Promise.all(
      Array.from({ length: 40 }, () => connect(server.port)),
    );
    await Promise.all(clients.map((client) => client.ask()));
    server.process.kill("SIGTERM");
    await server.stderr.until(/^server: SIGTERM: 40 connections left/m);
    await Promise.all(clients.map(async (client) => {
      await client.ask("after the signal\n");
      await rioWriten(client.fd, bytes("no newline"));
      await client.fd.closeWrite();
      const back = new Uint8Array(11);
      assertEquals(await new Rio(client.fd).readnb(back), 10);
      client.fd.close();
    }));
    assertEquals(await server.code(), 0);
    const stats = JSON.parse(server.stderr.text.match(/^\{.*\}$/m)![0]);
    const bytesEach = "hello\nafter the signal\nno newline".length;
    const { workers, closed, ...sums } = stats;
    assertEquals(sums, {
      accepted: 40,
      active: 0,
      waiting: 0,
      handshaking: 0,
      handshakesFailed: 0,
      acceptErrors: 0,
      refusals: { allow: 0, "per-client": 0, "proxy-protocol": 0 },
      lines: 120,
      bytesIn: 40 * bytesEach,
      bytesOut: 40 * bytesEach,
    });
    assertEquals(closed.done, 40);
    if (flags.length === 2) {
      assertEquals(workers.length, 2);
      assertEquals(workers[0].accepted + workers[1].accepted, 40);
    }
    const printed = server.stdout.text.split("\n");
    assertEquals(printed.length, 40 + 120 + 1);
    for (const line of printed.slice(0, -1)) {
      assertMatch(
        line,
        /^(Connected to \(127\.0\.0\.1, \d+\)|server received (6|17|10) bytes)$/,
      );
    }
    const port = server.port;
    await using again = Program.script("server.ts", port);
    await again.stderr.until(/^listening on/m);
  });
}

Deno.test("SIGUSR2 prints the counters, and the server goes on", async () => {
  await using server = await startServer("--concurrency=2");
  using client = await connect(server.port);
  await client.ask();
  server.process.kill("SIGUSR2");
  const [line] = await server.stderr.until(/^\{.*\}$/m);
  assertEquals(JSON.parse(line), {
    accepted: 1,
    active: 1,
    waiting: 0,
    handshaking: 0,
    handshakesFailed: 0,
    acceptErrors: 0,
    refusals: { allow: 0, "per-client": 0, "proxy-protocol": 0 },
    closed: { done: 0, reset: 0, idle: 0, expired: 0, cut: 0, failed: 0, refused: 0 },
    lines: 1,
    bytesIn: 6,
    bytesOut: 6,
  });
  server.process.kill("SIGUSR1"); // as it was before
  await server.stderr.until(/^\{.*\}\n(.*\n)*\{.*\}$/m);
  await client.ask();
});

Deno.test("signals within a tenth of a second are one; the next ends the program", async () => {
  using clock = new Clock();
  const { addSignalListener, exit } = Deno;
  const handlers: (() => void)[] = [];
  const told: (string | number)[] = [];
  Deno.addSignalListener = (_signal, handler) => void handlers.push(handler);
  Deno.exit = ((code) => told.push(code!)) as typeof Deno.exit;
  try {
    onSignal((signal) => told.push(signal));
    const [interrupt, terminate] = handlers;
    interrupt();
    await clock.pass(50);
    interrupt();
    terminate();
    assertEquals(told, ["SIGINT"]);
    await clock.pass(51);
    terminate();
    assertEquals(told, ["SIGINT", 143]);
  } finally {
    Object.assign(Deno, { addSignalListener, exit });
  }
});

Deno.test("SIGINT ends the client when what came back is written, however full the pipe is", async () => {
  using listenfd = openListenfd(0, { host: "127.0.0.1" });
  // More than the pipe holds, and less than it and a block on its way.
  const [lines, length] = [28, 4000];
  const answer = (i: number) => bytes(`${i} `.padEnd(length - 1, "x") + "\n");
  const { port } = listenfd.addr;
  const args = ["run", "-q", "--allow-net", "client.ts", "127.0.0.1", `${port}`];
  const process = new Deno.Command(Deno.execPath(), {
    args: [...args, "--any-answer", "--lockstep"],
    cwd: ROOT,
    env: { NO_COLOR: "1" },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const stderr = new Output(process.stderr);
  const stdin = process.stdin.getWriter();
  await stdin.write(bytes("?\n".repeat(lines + 1)));
  {
    using connfd = await listenfd.accept();
    const buf = new Uint8Array(2);
    for (let i = 0; i < lines; i++) {
      await connfd.read(buf);
      await connfd.write(answer(i));
    }
    await connfd.read(buf); // it asks on only when it has printed what came back
    process.kill("SIGINT");
    const stdout = new Output(process.stdout);
    assertEquals((await process.status).code, 130);
    await Promise.all([stdout.ended, stderr.ended]);
    assertEquals(stdout.text.length, lines * length);
  }
  await stdin.close().catch(() => {});
});
