/** The admin port of server.ts: /metrics, /ready, /stats. */
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { UsageError } from "../cli/flags.ts";
import { serverFlags } from "../server/command_line.ts";
import { ServeStats } from "../server/connections.ts";
import { EchoStats, total } from "../server/stats.ts";
import { Rio, rioWriten } from "@netp/rio/rio";
import { bytes, connect, Program, runProgram, startServer, text } from "./helpers.ts";

/** A server with an admin port, and what that answers. */
async function start(...flags: string[]) {
  const server = await startServer("--admin=0", ...flags);
  const [, url] = server.stderr.text.match(/^admin on (http:\/\/127\.0\.0\.1:\d+)$/m)!;
  const get = async (path: string, init?: RequestInit) => {
    const response = await fetch(url + path, init);
    const { status, headers } = response;
    return { status, headers, body: await response.text() };
  };
  const answer = async (path: string) => {
    const { status, body } = await get(path);
    return [status, body];
  };
  return Object.assign(server, { url, get, answer });
}

/** The samples of a page in Prometheus' text format, each declared before by HELP and TYPE. */
function samples(page: string): Record<string, number> {
  const found: Record<string, number> = {};
  const types = new Map<string, string>();
  let helped = "";
  assert(page.endsWith("\n"));
  for (const line of page.trimEnd().split("\n")) {
    const [, help] = /^# HELP (\w+) \S.*$/.exec(line) ?? [];
    const [, name, type] = /^# TYPE (\w+) (counter|gauge)$/.exec(line) ?? [];
    const [, sample, labels, value] = /^([a-z_]+)(\{[a-z]+="[a-z-]+"\})? (\d+)$/.exec(line) ?? [];
    if (help !== undefined) helped = help;
    else if (name !== undefined) {
      assertEquals(name, helped);
      assert(!types.has(name));
      types.set(name, type);
    } else {
      assertEquals([line, sample], [line, helped]);
      assertEquals(types.get(sample), sample.endsWith("_total") ? "counter" : "gauge");
      found[sample + (labels ?? "")] = Number(value);
    }
  }
  return found;
}

for (const flags of [["--concurrency=4"], ["--concurrency=2", "--workers=2"]]) {
  Deno.test(`/metrics and /stats have the counters, /ready says so (${flags.join(" ")})`, async () => {
    await using server = await start(...flags);
    const none = samples((await server.get("/metrics")).body);
    const clients = [];
    for (let i = 0; i < 2; i++) clients.push(await connect(server.port));
    for (const client of clients) await client.ask("hello\n");
    await clients[1].fd.closeWrite();
    await clients[1].askEnd();

    const { status, headers, body } = await server.get("/metrics");
    assertEquals(status, 200);
    assertEquals(headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    const now = samples(body);
    assertEquals(Object.keys(now), Object.keys(none));
    assert(now.process_resident_memory_bytes > 1e6);
    delete now.process_resident_memory_bytes;
    delete none.process_resident_memory_bytes;
    const { accepted, ...stats } = JSON.parse((await server.get("/stats")).body);
    assertEquals(now, {
      ...none,
      echo_connections_accepted_total: 2,
      'echo_connections_closed_total{cause="done"}': 1,
      echo_connections_active: 1,
      echo_slots: 4,
      echo_lines_total: 2,
      echo_received_bytes_total: 12,
      echo_sent_bytes_total: 12,
    });
    assertEquals([accepted, stats.active, stats.closed.done, stats.lines], [2, 1, 1, 2]);
    assertEquals((stats.workers ?? []).length, flags.length === 2 ? 2 : 0);
    assertEquals(await server.answer("/ready"), [200, "ready\n"]);
    assertEquals(await server.answer("/ready?slots"), [200, "ready\n"]);
    for (const client of clients) client[Symbol.dispose]();
  });
}

Deno.test("/ready?slots is 503 while every slot is busy", async () => {
  await using server = await start();
  {
    using client = await connect(server.port);
    await client.ask();
    assertEquals(await server.answer("/ready?slots"), [503, "no free slot\n"]);
    assertEquals(await server.answer("/ready"), [200, "ready\n"]);
    await client.fd.closeWrite();
    await client.askEnd();
  }
  while ((await server.answer("/ready?slots"))[0] !== 200);
});

for (const flags of [[], ["--workers=2"]]) {
  Deno.test(`/ready is 503 while the server drains, and its end is not held up (${flags})`, async () => {
    await using server = await start(...flags);
    using client = await connect(server.port);
    await client.ask();
    // A client of the admin port that stays.
    const { port } = new URL(server.url);
    using _idle = await Deno.connect({ hostname: "127.0.0.1", port: Number(port) });
    server.process.kill("SIGTERM");
    await server.stderr.until(/SIGTERM: 1 connection left/);
    assertEquals(await server.answer("/ready"), [503, "draining\n"]);
    await client.ask("still served\n");
    await client.fd.closeWrite();
    assertEquals(await server.code(), 0);
  });
}

Deno.test("--drain-delay: /ready is 503 while new clients are still served", async () => {
  await using server = await start("--drain-delay=0.5", "--concurrency=9");
  server.process.kill("SIGTERM");
  await server.stderr.until(/SIGTERM: draining in 0.5 s/);
  assertEquals(await server.answer("/ready"), [503, "draining\n"]);
  using client = await connect(server.port);
  await client.ask("still accepted\n");
  await client.fd.closeWrite();
  await client.askEnd();
  assertEquals(await server.code(), 0);
  assertMatch(server.stderr.text, /server: 1 connection, 1 line, /);
});

Deno.test("the admin port answers GET and HEAD, and 404 to what isn't there", async () => {
  await using server = await start();
  for (const path of ["/", "/metrics/", "/toString", "/Ready"]) {
    assertEquals(await server.answer(path), [404, "not found\n"]);
  }
  const head = await server.get("/metrics", { method: "HEAD" });
  assertEquals([head.status, head.body], [200, ""]);
  assertMatch(head.headers.get("content-type")!, /version=0\.0\.4/);
  for (const method of ["POST", "PUT", "DELETE"]) {
    const { status, headers } = await server.get("/stats", { method });
    assertEquals([status, headers.get("allow")], [405, "GET, HEAD"]);
  }
  assertEquals(server.stdout.text, "");
});

Deno.test("an admin port in use is one line, and exit code 1", async () => {
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = taken.addr;
  const { code, stderr } = await runProgram(Program.script("server.ts", 0, `--admin=${port}`));
  assertEquals(
    [code, stderr],
    [1, `server: admin on 127.0.0.1:${port}: Address already in use\n`],
  );
});

Deno.test("--admin takes a port, or an address and a port", async () => {
  for (const where of ["127.0.0.1:0", "localhost:0", "[::1]:0"]) {
    await using server = await startServer(`--admin=${where}`);
    assertMatch(server.stderr.text, /^admin on http:\/\/(127\.0\.0\.1|\[::1\]):[1-9]\d*$/m);
  }
  for (const where of ["host", "1:2:3", "70000", "::1:5", ":5", "[::1]", "http://127.0.0.1:5"]) {
    assertThrows(
      () => serverFlags({ positionals: [], values: { admin: where }, set: new Set() }),
      UsageError,
      `--admin must be PORT or ADDR:PORT, not ${where}`,
    );
  }
});

Deno.test("a Host header that is none is a bad request, and nothing on standard error", async () => {
  await using server = await start();
  const { hostname, port } = new URL(server.url);
  const before = server.stderr.text;
  using conn = await Deno.connect({ hostname, port: Number(port) });
  await rioWriten(conn, bytes("GET /ready HTTP/1.1\r\nHost: [\r\nConnection: close\r\n\r\n"));
  assertEquals(text((await new Rio(conn).readline())!), "HTTP/1.1 400 Bad Request\r\n");
  assertEquals(await server.answer("/ready"), [200, "ready\n"]);
  assertEquals(server.stderr.text, before);
});

Deno.test("only an address, localhost or the name in --admin is a Host: DNS rebinding", async () => {
  await using server = await start();
  const status = async (request: string) => {
    const { hostname, port } = new URL(server.url);
    using conn = await Deno.connect({ hostname, port: Number(port) });
    await rioWriten(conn, bytes(request));
    return Number(text((await new Rio(conn).readline())!).split(" ")[1]);
  };
  for (const host of ["localhost", "LOCALHOST:9103", "127.0.0.1:1", "[::1]", "192.0.2.1"]) {
    assertEquals(await status(`GET /stats HTTP/1.1\r\nHost: ${host}\r\n\r\n`), 200, host);
  }
  for (const host of ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80"]) {
    assertEquals(await status(`GET /stats HTTP/1.1\r\nHost: ${host}\r\n\r\n`), 403, host);
  }
  assertEquals(await status("GET /ready HTTP/1.0\n\n"), 200);
  for (
    const line of ["GET /ready", "GET  /ready HTTP/1.1", "get /ready HTTP/1.1", "PRI * HTTP/2.0"]
  ) {
    assertEquals(await status(`${line}\r\nHost: localhost\r\n\r\n`), 400, line);
  }
  assertEquals(await status("GET / HTTP/1.1\r\nHost: a\r\nHost: localhost\r\n\r\n"), 400);
  // What a parser could take for a user, a path or another field.
  for (
    const host of ["evil.example@127.0.0.1", "127.0.0.1/@evil.example", "localhost?evil.example"]
  ) {
    assertEquals(await status(`GET /stats HTTP/1.1\r\nHost: ${host}\r\n\r\n`), 400, host);
  }
  for (const field of ["Host : evil.example", " Host: evil.example"]) {
    assertEquals(await status(`GET /stats HTTP/1.1\r\n${field}\r\n\r\n`), 403, field);
  }
});

Deno.test("a header line takes no longer for the spaces in it", async () => {
  await using server = await start();
  const { hostname, port } = new URL(server.url);
  const time = async (line: string) => {
    using conn = await Deno.connect({ hostname, port: Number(port) });
    const start = performance.now();
    await rioWriten(conn, bytes(`GET /ready HTTP/1.1\r\n${`${line}\r\n`.repeat(60)}\r\n`));
    assertMatch(text((await new Rio(conn).readline())!), /^HTTP\/1\.1 400 /);
    return performance.now() - start;
  };
  let plain = Infinity;
  let spaces = Infinity;
  for (let i = 0; i < 3; i++) {
    plain = Math.min(plain, await time(`host:${"x".repeat(4000)}`));
    spaces = Math.min(spaces, await time(`host:x${" ".repeat(3998)}x`));
  }
  assert(spaces < 10 * plain, `${spaces} ms, not ${plain}`); // it was forty times as long and more
});

Deno.test("requests without end, and too many of them, are closed; others are answered", async () => {
  await using server = await start();
  const { hostname, port } = new URL(server.url);
  const connect = () => Deno.connect({ hostname, port: Number(port) });
  for (
    const request of [`GET /${"x".repeat(10_000)}`, "GET / HTTP/1.1\r\n" + "A: b\r\n".repeat(100)]
  ) {
    using conn = await connect();
    await rioWriten(conn, bytes(request));
    assertEquals(await conn.read(new Uint8Array(1)).catch(() => null), null);
  }
  const idle = await Promise.all(Array.from({ length: 300 }, connect));
  // The oldest of them make room at once, not after their second.
  assertEquals(await server.answer("/ready"), [200, "ready\n"]);
  assertEquals(await idle[0].read(new Uint8Array(1)).catch(() => null), null);
  for (const conn of idle) conn.close();
  assertEquals(await server.answer("/ready"), [200, "ready\n"]);
  assertEquals(await server.stop(), 0);
});

for (const workers of [[], ["--workers=2"]]) {
  Deno.test({
    name: `without descriptors the admin port waits for some, as the echo port does (${workers})`,
    ignore: Deno.build.os === "windows",
    async fn() {
      const flags = ["--admin=0", "--concurrency=1000", ...workers].join(" ");
      const run = `run --quiet --allow-net --allow-read server.ts 0 ${flags}`;
      await using server = new Program("sh", [
        "-c",
        `ulimit -n 64; exec "$0" ${run}`,
        Deno.execPath(),
      ]);
      const [, echoPort] = await server.stderr.until(/^listening on .*:(\d+) \(/m);
      const [, adminPort] = server.stderr.text.match(/^admin on .*:(\d+)$/m)!;
      const open = (port: string) => Deno.connect({ hostname: "127.0.0.1", port: Number(port) });
      const idle = [];
      for (let i = 0; i < 100; i++) idle.push(await open(echoPort), await open(adminPort));
      await server.stderr.until(/Too many open files/);
      for (const conn of idle) conn.close();
      const response = await fetch(`http://127.0.0.1:${adminPort}/ready`);
      assertEquals([response.status, await response.text()], [200, "ready\n"]);
      using client = await connect(Number(echoPort));
      await client.ask("still served\n");
      await client.fd.closeWrite();
      await client.askEnd();
      assertEquals(await server.stop("SIGTERM"), 0, server.stderr.text);
    },
  });
}

Deno.test("the counters of all threads are added up", () => {
  const one = {
    ...new ServeStats(),
    ...new EchoStats(),
    accepted: 3,
    active: 1,
    lines: 5,
    handshaking: 0,
    handshakesFailed: 1,
    refusals: { allow: 1, "per-client": 0, "proxy-protocol": 2 },
  };
  const two = { ...one, closed: { ...one.closed, done: 2, reset: 1 } };
  const closed = { ...one.closed, done: 4, reset: 2 };
  assertEquals(total([two, one, two]), {
    ...one,
    accepted: 9,
    active: 3,
    lines: 15,
    handshakesFailed: 3,
    refusals: { allow: 3, "per-client": 0, "proxy-protocol": 6 },
    closed,
  });
});
