import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { openClientfd } from "@netp/rio/client";
import { MAXLINE, Rio, rioReadn, rioWriten } from "@netp/rio/rio";
import { echo, LISTENQ, openListenfd, serve, type ServeStats } from "@netp/rio/server";
import { EchoServer } from "../server/echo_server.ts";
import { Stdout } from "../cli/stdout.ts";
import { bytes, MemoryReader, MemoryWriter, text } from "./helpers.ts";

const LOCAL = { host: "127.0.0.1" };

/** A connection in memory that reads given parts. */
function connection(reader: MemoryReader) {
  return Object.assign(new MemoryWriter(), { read: (p: Uint8Array) => reader.read(p) });
}

/** Sends a line over a new connection to `port` and returns what comes back. */
async function ask(port: number, line: string): Promise<string> {
  using clientfd = await openClientfd("127.0.0.1", port);
  await rioWriten(clientfd, bytes(line));
  const buf = new Uint8Array(MAXLINE);
  return text(buf.subarray(0, await new Rio(clientfd).readlineb(buf)));
}

/** The connections accepted, and those cut. */
async function ended(served: Promise<ServeStats>): Promise<number[]> {
  const { accepted, closed } = await served;
  return [accepted, closed.cut];
}

Deno.test("LISTENQ is that of csapp.h", () => assertEquals(LISTENQ, 1024));

Deno.test("openListenfd listens on all addresses, IPv6 and IPv4", async () => {
  using listenfd = openListenfd(0);
  for (const hostname of ["127.0.0.1", "::1"]) {
    const { port } = listenfd.addr;
    using clientfd = await Deno.connect({ hostname, port });
    using connfd = await listenfd.accept();
    assertEquals(connfd.remoteAddr.port, clientfd.localAddr.port);
  }
});

Deno.test("openListenfd takes 0.0.0.0 where there is no IPv6", () => {
  const { listen } = Deno;
  const hosts: (string | undefined)[] = [];
  Deno.listen = ((options: Deno.TcpListenOptions) => {
    hosts.push(options.hostname);
    if (options.hostname === "::") {
      throw Object.assign(new Error("no IPv6"), { code: "EAFNOSUPPORT" });
    }
    return listen(options);
  }) as typeof listen;
  try {
    using listenfd = openListenfd(0);
    assertEquals(listenfd.addr.hostname, "0.0.0.0");
    assertEquals(hosts, ["::", "0.0.0.0"]);
  } finally {
    Deno.listen = listen;
  }
});

Deno.test("openListenfd listens on one host", () => {
  for (const host of ["127.0.0.1", "::1"]) {
    using listenfd = openListenfd(0, { host, backlog: 1 });
    assertEquals(listenfd.addr.hostname, host);
  }
});

Deno.test("openListenfd names the address and the cause of a failure", () => {
  using listenfd = openListenfd(0, LOCAL);
  const { port } = listenfd.addr;
  assertThrows(
    () => openListenfd(port, LOCAL),
    Deno.errors.AddrInUse,
    `listen on 127.0.0.1:${port}: Address already in use`,
  );
  assertThrows(
    () => openListenfd(port),
    Deno.errors.AddrInUse,
    `listen on [::]:${port}: Address already in use`,
  );
  assertThrows(
    () => openListenfd(0, { host: "no.such.host.invalid" }),
    Error,
    "listen on no.such.host.invalid:0: failed to lookup",
  );
  for (const port of [-1, 65536, 1.5, NaN]) {
    assertThrows(
      () => openListenfd(port),
      RangeError,
      `port must be an integer from 0 to 65535, current value is ${port}`,
    );
  }
  for (const backlog of [-1, 2 ** 31, 1.5, NaN]) {
    assertThrows(
      () => openListenfd(0, { backlog }),
      RangeError,
      `backlog must be an integer from 0 to 2147483647, current value is ${backlog}`,
    );
  }
});

Deno.test("a port can be listened on again at once", async () => {
  const { port } = await (async () => {
    using listenfd = openListenfd(0, LOCAL);
    using clientfd = await openClientfd("127.0.0.1", listenfd.addr.port);
    const connfd = await listenfd.accept();
    connfd.close(); // the server closes first: TIME_WAIT is on its side
    assertEquals(await clientfd.read(new Uint8Array(1)), null);
    return listenfd.addr;
  })();
  openListenfd(port, LOCAL).close();
});

Deno.test("echo writes back what it reads, and says how many bytes", async () => {
  const input = `one\n\0\xff\r\n\n${"x".repeat(MAXLINE)}\nlast`;
  for (const chunk of [1, 7, 100_000]) {
    const connfd = connection(MemoryReader.of(input, chunk));
    const counts: number[] = [];
    await echo(connfd, { onLines: (lengths) => counts.push(...lengths) });
    assertEquals(connfd.text, input);
    assertEquals(counts, [4, 4, 1, MAXLINE - 1, 2, 4]);
  }
});

Deno.test("echo reports a line before it goes back", async () => {
  const connfd = connection(MemoryReader.of("a\n", 9));
  await echo(connfd, {
    async onLines() {
      await Promise.resolve();
      assertEquals(connfd.text, "");
    },
  });
  assertEquals(connfd.text, "a\n");
});

Deno.test("echo throws on what reading throws, after the lines before", async () => {
  const connfd = connection(new MemoryReader(["a\nb\nc", new Error("cut")]));
  await assertRejects(() => echo(connfd), Error, "cut");
  assertEquals(connfd.text, "a\nb\n");
});

Deno.test("EchoServer prints each line of a burst, whenever a block is full", async () => {
  const listenfd = openListenfd(0, LOCAL);
  const sink = new MemoryWriter();
  const stdout = new Stdout(sink);
  const options = {
    concurrency: 1,
    grace: 0,
    backlog: 16,
    idleTimeout: Infinity,
    maxTime: Infinity,
    names: false,
    log: false,
    quiet: false,
  };
  const server = new EchoServer(options, stdout, console.error);
  const served = server.run(listenfd);

  const lengths = Array.from({ length: 20_000 }, (_, i) => 1 + (i >> 1) % 60);
  const input = lengths.map((length) => "\n".padStart(length, "x")).join("");
  using clientfd = await openClientfd("127.0.0.1", listenfd.addr.port);
  const [echoed] = await Promise.all([
    rioReadn(clientfd, new Uint8Array(input.length)),
    rioWriten(clientfd, bytes(input)),
  ]);
  assertEquals(echoed, input.length);
  await clientfd.closeWrite();
  assertEquals(await clientfd.read(new Uint8Array(1)), null);
  server.stop();
  await served;
  await stdout.flush();

  const expected = lengths.map((n) => `server received ${n} bytes\n`).join("");
  assert(sink.text.slice(sink.text.indexOf("\n") + 1) === expected);
});

Deno.test("serve with two slots serves two, and the third waits", async () => {
  const listenfd = openListenfd(0, LOCAL);
  const { port } = listenfd.addr;
  const stop = new AbortController();
  let active = 0, most = 0;
  const served = serve(listenfd, async (connfd) => {
    most = Math.max(most, ++active);
    await echo(connfd);
    active--;
  }, { concurrency: 2, signal: stop.signal });

  const first = await openClientfd("127.0.0.1", port);
  assertEquals(await ask(port, "second\n"), "second\n");
  const answers = [1, 2, 3, 4].map((i) => ask(port, `${i}\n`));
  assertEquals(await Promise.all(answers), ["1\n", "2\n", "3\n", "4\n"]);
  first.close();
  stop.abort();
  assertEquals(await ended(served), [6, 0]);
  assertEquals([active, most], [0, 2]);
});

Deno.test("serve goes on when a handler throws, and says so", async () => {
  const listenfd = openListenfd(0, LOCAL);
  const { port } = listenfd.addr;
  const stop = new AbortController();
  const errors: [message: string, addr?: Deno.Addr][] = [];
  let calls = 0;
  const served = serve(listenfd, async (connfd) => {
    if (++calls === 1) throw new Error("at once");
    await echo(connfd);
    connfd.close(); // a handler may close
  }, {
    signal: stop.signal,
    onError: (error, connfd) => errors.push([String(error), connfd?.remoteAddr]),
  });
  const failed = await openClientfd("127.0.0.1", port);
  assertEquals(await failed.read(new Uint8Array(1)), null, "it was closed");
  assertEquals(errors, [["Error: at once", failed.localAddr]]);
  failed.close();
  assertEquals(await ask(port, "still here\n"), "still here\n");
  stop.abort();
  assertEquals(await ended(served), [2, 0]);
  assertEquals(errors.length, 1);
});

Deno.test("serve lets its owner close the listener, and then abort", async () => {
  const listenfd = openListenfd(0, LOCAL);
  const stop = new AbortController();
  const served = serve(listenfd, (connfd) => echo(connfd), {
    signal: stop.signal,
  });
  using clientfd = await openClientfd("127.0.0.1", listenfd.addr.port);
  await rioWriten(clientfd, bytes("1\n"));
  assertEquals(await clientfd.read(new Uint8Array(9)), 2);
  listenfd.close();
  stop.abort();
  await clientfd.closeWrite();
  assertEquals(await ended(served), [1, 0]);
});

Deno.test({
  name: "serve has the kernel ask whether a silent client lives (needs Linux)",
  ignore: Deno.build.os !== "linux",
  async fn() {
    const listenfd = openListenfd(0, LOCAL);
    const stop = new AbortController();
    const connected = Promise.withResolvers<void>();
    const served = serve(listenfd, async (connfd) => {
      connected.resolve();
      await echo(connfd);
    }, { signal: stop.signal });
    {
      using clientfd = await openClientfd("127.0.0.1", listenfd.addr.port);
      await connected.promise;
      const hex = (port: number) => port.toString(16).toUpperCase().padStart(4, "0");
      const ports = [listenfd.addr.port, clientfd.localAddr.port].map(hex);
      const sockets = (await Deno.readTextFile("/proc/net/tcp")).split("\n");
      const connfd = sockets.find((line) =>
        new RegExp(`:${ports[0]} \\w+:${ports[1]} `).test(line)
      );
      // The timer under way, as proc(5) has it: 02 is that of keep-alive.
      assertEquals(connfd?.trim().split(/\s+/)[5].slice(0, 2), "02", connfd);
    }
    stop.abort();
    await served;
  },
});

Deno.test("serve ends at once with a signal that has aborted", async () => {
  const listenfd = openListenfd(0, LOCAL);
  const signal = AbortSignal.abort();
  const never = () => Promise.reject(new Error("must not be called"));
  const served = serve(listenfd, never, { signal, grace: 1e6 });
  assertEquals(await ended(served), [0, 0]);
});

Deno.test("echo writes everything to a connection that takes three bytes at a time", async () => {
  const reader = new MemoryReader(["hello\n", "you\nthere\n"]);
  let output = "";
  await echo({
    read: (p) => reader.read(p),
    write: (p) => {
      output += text(p.subarray(0, 3));
      return Promise.resolve(Math.min(3, p.length));
    },
  });
  assertEquals(output, "hello\nyou\nthere\n");
});

Deno.test("serve takes a concurrency of 1 or more, and a backlog of 0 or more", async () => {
  using listenfd = openListenfd(0, LOCAL);
  for (const [option, least] of [["concurrency", 1], ["backlog", 0]] as const) {
    for (const value of [least - 1, 1.5, NaN]) {
      const error = await assertRejects(
        () => serve(listenfd, echo, { [option]: value, signal: AbortSignal.abort() }),
        RangeError,
      );
      assertMatch(error.message, new RegExp(`${option} .* from ${least} .* is ${value}$`));
    }
  }
});
