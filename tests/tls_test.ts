/** TLS, on both sides. */
import { createConnection } from "node:net";
import nodeTls from "node:tls";
import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { openClientfd, openTlsClientfd, startTlsClientfd } from "@netp/rio/client";
import { Rio, rioReadn, rioWriten } from "@netp/rio/rio";
import { echo, openListenfd, openTlsListenfd, TlsListenfd } from "@netp/rio/server";
import { Clock, turn } from "./clock.ts";
import {
  bytes,
  connect,
  connectTls,
  has,
  LINUX,
  memory,
  Program,
  ROOT,
  runProgram,
  startServer,
  tempDir,
  TLS,
  TLS_CLIENT,
} from "./helpers.ts";

const read = (name: string) => Deno.readTextFile(`${ROOT}/tests/tls/${name}.pem`);
const MiB = 1 << 20;

Deno.test("TLS: the same echo, and only for clients that trust the certificate", async () => {
  await using server = await startServer(...TLS);
  const client = (...flags: string[]) =>
    Program.script("client.ts", "127.0.0.1", server.port, "--tls", ...flags);
  const input = "hello\n\0\xff\n" + "x".repeat(100_000) + "\nlast";
  for (const flags of [[], ["--lockstep"]]) {
    const program = client("--cafile=tests/tls/ca.pem", ...flags);
    assertEquals(await runProgram(program, input), {
      code: 0,
      stdout: input,
      stderr: "",
    });
  }
  const { code, stderr } = await runProgram(client(), "hi\n");
  assertEquals(code, 1);
  assertMatch(
    stderr,
    /^client: TLS handshake with .*: invalid peer certificate.*\n$/,
  );
  await server.stderr.until(/^server: 127\.0\.0\.1:\d+: TLS handshake: /m);
});

Deno.test("TLS: who isn't admitted costs no handshake, is counted, and makes no room for himself", async () => {
  await using server = await startServer(...TLS, "--per-client=1", "--concurrency=9", "--admin=0");
  const [, admin] = server.stderr.text.match(/^admin on (.*)$/m)!;
  using client = await connectTls(server.port);
  await client.ask();
  for (let i = 0; i < 5; i++) {
    using other = await connect(server.port);
    await other.askEnd(); // though it has sent no ClientHello
  }
  using stranger = await openClientfd("::1", server.port);
  await rioWriten(stranger, bytes("GET / HTTP/1.1\r\n\r\n"));
  await server.stderr.until(/TLS handshake: the client doesn't speak TLS/);
  const metrics = await (await fetch(`${admin}/metrics`)).text();
  assertMatch(metrics, /^echo_connections_closed_total\{cause="refused"\} 5$/m);
  assertMatch(metrics, /^echo_connections_accepted_total 6$/m);
  assertMatch(metrics, /^echo_handshakes_failed_total 1$/m);
  await client.fd.closeWrite();
  await client.askEnd();
  using again = await connectTls(server.port);
  await again.ask();
  await again.fd.closeWrite();
  await again.askEnd();
  assertEquals(await server.stop(), 0);
});

for (const flags of [[], ["--workers=2"]]) {
  Deno.test({
    name: `TLS: SIGHUP reads the certificate anew, or keeps the old one (${flags}, needs openssl)`,
    ignore: !has("openssl"),
    async fn() {
      await using dir = await tempDir();
      const [cert, key] = [`${dir.path}/cert.pem`, `${dir.path}/key.pem`];
      await Deno.copyFile(`${ROOT}/tests/tls/cert.pem`, cert);
      await Deno.copyFile(`${ROOT}/tests/tls/key.pem`, key);
      await using server = await startServer(`--cert=${cert}`, `--key=${key}`, ...flags);
      using before = await connectTls(server.port);
      await before.ask();
      await Deno.writeTextFile(cert, "none");
      server.process.kill("SIGHUP");
      await server.stderr.until(
        /SIGHUP: the old certificate stays: .*cert\.pem and .*key\.pem: the TLS certificate can't be/,
      );
      await before.fd.closeWrite();
      await before.askEnd();
      using still = await connectTls(server.port);
      await still.ask();
      await still.fd.closeWrite();
      await still.askEnd();
      const command =
        `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=other`;
      const made = await runProgram(
        new Program("openssl", [...command.split(" "), "-keyout", key, "-out", cert]),
      );
      assertEquals(made.code, 0, made.stderr);
      server.process.kill("SIGHUP");
      await server.stderr.until(/SIGHUP: the certificate was read anew/);
      await assertRejects(async () => {
        using other = await connectTls(server.port);
        await other.ask();
      });
      await server.stop();
    },
  });
}

Deno.test("TLS: a PROXY header comes before the handshake", async () => {
  await using server = await startServer(
    ...TLS,
    "--proxy-protocol=127.0.0.1",
    "--concurrency=9",
    "--stats",
  );
  const connect = async (header: string) => {
    const tcp = await Deno.connect({ hostname: "127.0.0.1", port: server.port });
    await rioWriten(tcp, bytes(header));
    return tcp;
  };
  const tcp = await connect("PROXY TCP4 192.0.2.1 127.0.0.1 1000 15213\r\n");
  const caCerts = [await read("ca")];
  using clientfd = await Deno.startTls(tcp, { hostname: "localhost", caCerts });
  await rioWriten(clientfd, bytes("hello\n"));
  assertEquals(await rioReadn(clientfd, new Uint8Array(6)), 6);
  await server.stdout.until(/^Connected to \(192\.0\.2\.1, 1000\)\nserver received 6 bytes\n$/);
  using check = await connect("PROXY TCP4 192.0.2.1 127.0.0.1 1000 15213\r\n");
  await check.closeWrite();
  assertEquals(await check.read(new Uint8Array(1)), null);
  using shaken = await Deno.startTls(await connect("PROXY UNKNOWN\r\n"), {
    hostname: "localhost",
    caCerts,
  });
  await shaken.handshake();
  await shaken.closeWrite();
  assertEquals(await shaken.read(new Uint8Array(1)), null);
  using wrong = await connect("PROXY TCP5\r\n");
  assertEquals(await wrong.read(new Uint8Array(1)), null);
  await server.stderr.until(/no such protocol/);
  await clientfd.closeWrite();
  assertEquals(await clientfd.read(new Uint8Array(1)), null);
  clientfd.close();
  await server.stop();
  // The client and the checks; the wrong header.
  assertMatch(server.stderr.text, /"accepted":4,.*"done":3,.*"failed":1\}.*"handshakesFailed":0/);
  assertMatch(server.stdout.text, /^Connected to .*\nserver received 6 bytes\n$/);
});

Deno.test({
  name: "TLS: a handshake that fails sends an alert (needs openssl)",
  ignore: !has("openssl"),
  async fn() {
    await using server = await startServer(...TLS);
    const { stderr } = await runProgram(
      new Program("openssl", [
        ..."s_client -tls1_1 -cipher ALL:@SECLEVEL=0 -connect".split(" "),
        `127.0.0.1:${server.port}`,
      ]),
    );
    assertMatch(stderr, /alert protocol version/);
  },
});

for (const flags of [[], ["--workers=2"]]) {
  Deno.test(`TLS: nothing that was sent before the end of a drain is lost ${flags}`, async () => {
    await using server = await startServer(...TLS, ...flags, "--grace=120", "--stats");
    using client = await connectTls(server.port);
    const data = new Uint8Array(5_008_000).fill(0x61);
    for (let i = 99; i < 5_000_000; i += 100) data[i] = 0x0a;
    const sending = (async () => {
      await rioWriten(client.fd, data.subarray(0, 1_000_000));
      server.process.kill("SIGTERM");
      await rioWriten(client.fd, data.subarray(1_000_000));
      await client.fd.closeWrite();
    })();
    const back = new Uint8Array(data.length + 1);
    assertEquals(await new Rio(client.fd).readnb(back), data.length);
    assert(back.subarray(0, -1).every((byte, i) => byte === data[i]));
    await sending;
    client.fd.close();
    assertEquals(await server.code(), 0);
    assertMatch(server.stderr.text, /"bytesOut":5008000/);
  });
}

Deno.test({
  ...LINUX,
  name: "TLS: a client that never reads stands still, in bounded memory",
  async fn() {
    await using server = await startServer(...TLS, "--quiet", "--concurrency=2");
    using other = await connectTls(server.port);
    await other.ask();
    const before = await memory(server);
    const greedy = await connectTls(server.port);
    let sent = 0;
    const block = new Uint8Array(MiB).fill(0x61);
    const sending = (async () => {
      while (sent < 256 * MiB) sent += await greedy.fd.write(block);
    })().catch(() => {});
    for (let last = -1; last !== sent;) {
      last = sent;
      for (let i = 0; i < 300; i++) await other.ask();
    }
    assert(sent < 64 * MiB, `${sent} bytes were taken`);
    assert(await memory(server) - before < 48 * MiB);
    greedy.fd.close();
    await sending;
  },
});

Deno.test("TLS: accept called twice serves both, close ends them and the handshakes", async () => {
  const [ca, cert, key] = await Promise.all(["ca", "cert", "key"].map(read));
  const faults: unknown[] = [];
  const listenfd = openTlsListenfd(0, {
    host: "127.0.0.1",
    cert,
    key,
    onError: (error) => {
      faults.push(error);
      throw new Error("not a fault of this test: it ends nothing");
    },
  });
  const { port } = listenfd.addr;
  using leaving = await connect(port);
  leaving.fd.close();
  const accepted = [listenfd.accept(), listenfd.accept()];
  for (let i = 0; i < 2; i++) {
    using clientfd = await openTlsClientfd("127.0.0.1", port, { caCerts: [ca] });
    using connfd = await accepted[i];
    assertEquals((connfd.remoteAddr as Deno.NetAddr).port, clientfd.localAddr.port);
    await connfd.write(bytes("x"));
    assertEquals(await clientfd.read(new Uint8Array(9)), 1);
  }
  const third = assertRejects(() => listenfd.accept(), Deno.errors.BadResource);
  using half = await connect(port);
  await half.fd.write(bytes("\x16\x03\x01"));
  while (listenfd.handshaking === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  listenfd.close();
  assertEquals(listenfd.handshaking, 0);
  await third;
  await half.askEnd();
  assertEquals(faults.length, 1, "to close isn't a fault");
});

Deno.test("TLS: a certificate and key that are none are told at the start", async () => {
  const [cert, key] = await Promise.all(["cert", "key"].map(read));
  const bad: [cert: string, key: string, message: string][] = [
    ["", key, "the TLS certificate can't be read as PEM"],
    [key, key, "the TLS certificate can't be read as PEM"],
    [cert, "", "the TLS key can't be read as PEM"],
    [cert, cert, "the TLS key can't be read as PEM"],
    [await read("ca"), key, "the TLS key is not that of the certificate"],
    // Half of a file that is just being written.
    [cert.trimEnd().slice(0, -1), key, "the TLS certificate can't be read as PEM: it is cut off"],
    [cert + cert.slice(0, 99), key, "the TLS certificate can't be read as PEM: it is cut off"],
    [cert, key.trimEnd().slice(0, -1), "the TLS key can't be read as PEM"],
  ];
  for (const [cert, key, message] of bad) {
    assertThrows(() => openTlsListenfd(0, { cert, key }), Deno.errors.InvalidData, message);
  }
  // OpenSSL takes the old label, too.
  openTlsListenfd(0, { cert: cert.replaceAll(" CERT", " X509 CERT"), key }).close();
});

Deno.test({
  name: "TLS: a CA used as the server's own certificate is explained (needs openssl)",
  ignore: !has("openssl"),
  async fn() {
    await using dir = await tempDir();
    const [cert, key] = [`${dir.path}/cert.pem`, `${dir.path}/key.pem`];
    const args = `req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -days 9 -keyout ${key}`;
    const openssl = new Program("openssl", [
      ...args.split(" "),
      ...["-out", cert, "-addext", "subjectAltName=IP:127.0.0.1"],
    ]);
    assertEquals(await openssl.code(), 0);
    await using server = await startServer(`--cert=${cert}`, `--key=${key}`);
    const flags = ["--tls", `--cafile=${cert}`];
    const client = Program.script("client.ts", "127.0.0.1", server.port, ...flags);
    const { code, stderr } = await runProgram(client, "hi\n");
    assertEquals(code, 1);
    assertMatch(
      stderr,
      /^client: TLS handshake with .*CaUsedAsEndEntity.* \(the server shows a CA's .*CA:FALSE`\)\n$/,
    );
  },
});

Deno.test("--cafile without a certificate says so", async () => {
  for (const file of ["README.md", "tests/tls/key.pem"]) {
    const client = Program.script("client.ts", "--tls", `--cafile=${file}`);
    const { code, stderr } = await runProgram(client);
    assertEquals(code, 1);
    assertEquals(stderr, `client: --cafile=${file}: there is no certificate in it (PEM)\n`);
  }
});

Deno.test("TLS: a peer that goes during the handshake is a fault, whatever the kernel says", async () => {
  using listenfd = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const client = Program.script("client.ts", "127.0.0.1", listenfd.addr.port, ...TLS_CLIENT);
  (await listenfd.accept()).close();
  const { code, stderr } = await runProgram(client, "hi\n");
  assertEquals(code, 1);
  assertMatch(stderr, /^client: TLS handshake with 127\.0\.0\.1 port \d+: .+\n$/);
});

const [ca, cert, key] = await Promise.all(["ca", "cert", "key"].map(read));
const LOCAL = "127.0.0.1";

/** A listener, and what it is told of handshakes. */
function listen() {
  const faults: string[] = [];
  const onError = (error: unknown) => faults.push((error as Error).message);
  return { listenfd: openTlsListenfd(0, { host: LOCAL, cert, key, onError }), faults };
}

/** Resolves when the server has closed the connection. */
async function closed(conn: Deno.Conn): Promise<void> {
  const buf = new Uint8Array(1000);
  while (await conn.read(buf).catch(() => null) !== null);
}

Deno.test("a handshake has ten seconds, whether its client is silent or stops in the middle", async () => {
  using clock = new Clock();
  const { listenfd, faults } = listen();
  const { port } = listenfd.addr;
  const accepted = assertRejects(() => listenfd.accept(), Deno.errors.BadResource);
  using silent = await Deno.connect({ hostname: LOCAL, port });
  using slow = await Deno.connect({ hostname: LOCAL, port });
  await slow.write(bytes("\x16\x03\x01"));
  while (listenfd.handshaking < 2) await turn();
  await clock.pass(9_999);
  assertEquals([listenfd.handshaking, faults], [2, []]);
  await clock.pass(1);
  await Promise.all([closed(silent), closed(slow)]);
  while (listenfd.handshaking > 0) await turn();
  assertEquals(faults, Array(2).fill("TLS handshake: no answer for 10 s"));
  listenfd.close();
  await accepted;
});

Deno.test("a handshake is over when its client ends in the middle", async () => {
  const { listenfd, faults } = listen();
  const { port } = listenfd.addr;
  const accepted = assertRejects(() => listenfd.accept(), Deno.errors.BadResource);
  for (const some of ["\x16\x03\x01", "\x16\x03\x01\x00\x04\x01\x00\x10\x00"]) {
    using leaving = await Deno.connect({ hostname: LOCAL, port });
    await leaving.write(bytes(some));
    await leaving.closeWrite();
    await closed(leaving);
  }
  while (listenfd.handshaking > 0) await turn();
  assertEquals(faults, Array(2).fill("TLS handshake: the client closed the connection"));
  listenfd.close();
  await accepted;
});

Deno.test("accept goes on behind a handshake that failed, and one that came back to nobody", async () => {
  const { listenfd, faults } = listen();
  const { port } = listenfd.addr;
  const connect = () => openTlsClientfd(LOCAL, port, { caCerts: [ca] });
  const first = listenfd.accept();
  {
    using wrong = await Deno.connect({ hostname: LOCAL, port });
    await wrong.write(bytes("GET / HTTP/1.1\r\n\r\n"));
    await closed(wrong);
  }
  assertEquals(faults, ["TLS handshake: the client doesn't speak TLS"]);
  using _served = await connect();
  using _connfd = await first;
  {
    using _early = await connect(); // while nobody waits in accept
    using _connfd = await listenfd.accept();
  }
  const last = listenfd.accept();
  using _clientfd = await connect();
  using _lastfd = await last;
  listenfd.close();
});

Deno.test("a client who says nothing for a second gives way to one more than 256", async () => {
  using clock = new Clock();
  const faults: string[] = [];
  const tcp = openListenfd(0, { host: LOCAL });
  const onError = (error: unknown) => faults.push((error as Error).message);
  const listenfd = new TlsListenfd(tcp, { cert, key, onError });
  const { port } = listenfd.addr;
  const accepted = listenfd.accept();
  using half = await Deno.connect({ hostname: LOCAL, port });
  // A whole record, which begins a handshake and doesn't end it.
  await half.write(bytes("\x16\x03\x01\x00\x04\x01\x00\x10\x00"));
  while (listenfd.handshaking < 1) await turn();
  const silent: Deno.Conn[] = [];
  while (listenfd.handshaking < 256) {
    const before = listenfd.handshaking;
    silent.push(await Deno.connect({ hostname: LOCAL, port }));
    while (listenfd.handshaking === before) await turn();
  }
  const opening = openTlsClientfd(LOCAL, port, { caCerts: [ca] });
  while (listenfd.handshaking < 257) await turn();
  await clock.pass(900);
  assertEquals([listenfd.handshaking, faults], [257, []]);
  await clock.pass(200);
  using clientfd = await opening;
  using connfd = await accepted;
  await closed(silent[0]);
  assertEquals(faults, ["TLS handshake: gave way after 1 s"]);
  await clientfd.write(bytes("x"));
  assertEquals(await connfd.read(new Uint8Array(1)), 1);
  assertEquals(listenfd.handshaking, 255, "the oldest silent one has gone");
  listenfd.close();
  await closed(half);
  for (const conn of silent) conn.close();
});

Deno.test("close_notify reaches a client that has ended first, however slow the write", async () => {
  const tcp = openListenfd(0, { host: LOCAL });
  const accept = tcp.accept.bind(tcp);
  tcp.accept = async () => {
    const conn = await accept();
    const write = conn.write.bind(conn);
    return Object.assign(conn, {
      async write(p: Uint8Array) {
        for (let i = 0; i < 10; i++) await turn();
        return await write(p);
      },
    });
  };
  const listenfd = new TlsListenfd(tcp, { cert, key });
  const accepted = listenfd.accept();
  const clientfd = await openTlsClientfd(LOCAL, listenfd.addr.port, { caCerts: [ca] });
  const connfd = await accepted;
  await clientfd.write(bytes("hello\n"));
  await clientfd.closeWrite();
  await echo(connfd);
  await connfd.closeWrite();
  connfd[Symbol.dispose]();
  const buf = new Uint8Array(100);
  assertEquals(await rioReadn(clientfd, buf), 6); // throws UnexpectedEof without close_notify
  clientfd.close();
  listenfd.close();
});

Deno.test("who waits for a handshake to begin gives way to nobody", async () => {
  using clock = new Clock();
  const { listenfd } = listen();
  const { port } = listenfd.addr;
  const accepted = listenfd.accept();
  const others: Deno.Conn[] = [];
  while (listenfd.handshaking < 256) {
    const before = listenfd.handshaking;
    others.push(await Deno.connect({ hostname: LOCAL, port }));
    while (listenfd.handshaking === before) await turn();
  }
  await clock.pass(200);
  const opening = openTlsClientfd(LOCAL, port, { caCerts: [ca] });
  while (listenfd.handshaking < 257) await turn();
  await clock.pass(600);
  // A whole record, which begins a handshake and doesn't end it: a turn begins.
  for (const conn of others) await conn.write(bytes("\x16\x03\x01\x00\x04\x01\x00\x10\x00"));
  for (let i = 0; i < 300; i++) await turn();
  await clock.pass(500);
  await clock.pass(600);
  using _clientfd = await opening;
  using _connfd = await accepted;
  listenfd.close();
  for (const conn of others) conn.close();
});

Deno.test("a client that connects while the listener is closed is closed, too", async () => {
  const tcp = openListenfd(0, { host: LOCAL });
  const { port } = tcp.addr;
  const accept = tcp.accept.bind(tcp);
  const listenfd = new TlsListenfd(tcp, { cert, key });
  tcp.accept = async () => {
    const conn = await accept();
    listenfd.close();
    return conn;
  };
  const accepted = listenfd.accept();
  using client = await Deno.connect({ hostname: LOCAL, port });
  await assertRejects(() => accepted, Deno.errors.BadResource);
  await closed(client);
  assertEquals(listenfd.handshaking, 0);
});

Deno.test("what shook hands before the listener was closed isn't accepted after it", async () => {
  const { listenfd } = listen();
  const options = { caCerts: [ca] };
  const accepted = listenfd.accept();
  const sockets = [1, 2].map(() => openTlsClientfd(LOCAL, listenfd.addr.port, options));
  const clients = await Promise.all(sockets);
  (await accepted)[Symbol.dispose]();
  assertEquals(listenfd.handshaking, 1);
  listenfd.close();
  await assertRejects(() => listenfd.accept(), Deno.errors.BadResource);
  for (const fd of clients) fd.close();
});

Deno.test("after stop who shakes hands is still accepted, and then nobody", async () => {
  const { listenfd } = listen();
  const accepted = listenfd.accept();
  const tcp = await openClientfd(LOCAL, listenfd.addr.port);
  await tcp.write(bytes("\x16")); // the beginning of a ClientHello
  while (listenfd.handshaking === 0) await turn();
  listenfd.stop(true);
  tcp.close();
  await assertRejects(() => accepted, Deno.errors.BadResource);
  assertEquals(listenfd.handshaking, 0);

  const other = listen().listenfd;
  const served = other.accept();
  const silent = await openClientfd(LOCAL, other.addr.port);
  while (other.handshaking === 0) await turn();
  await other.stop(true);
  const client = startTlsClientfd(silent, LOCAL, { caCerts: [ca] });
  (await served)[Symbol.dispose]();
  (await client).close();
  other.close();
});

Deno.test("300 clients who all shake hands at once are all served", async () => {
  using _clock = new Clock(); // nobody gives way, however busy the machine
  const { listenfd } = listen();
  const { port } = listenfd.addr;
  const sockets = await Promise.all(Array.from({ length: 300 }, () => openClientfd(LOCAL, port)));
  const accepted = sockets.map(() => listenfd.accept());
  while (listenfd.handshaking < 257) await turn();
  const options = { caCerts: [ca] };
  const clients = await Promise.all(sockets.map((fd) => startTlsClientfd(fd, LOCAL, options)));
  for (const fd of [...await Promise.all(accepted), ...clients]) fd[Symbol.dispose]();
  listenfd.close();
});

Deno.test("a client who resets in the queue turns away nobody who shakes hands", async () => {
  const tcp = openListenfd(0, { host: LOCAL });
  const accept = tcp.accept.bind(tcp);
  let calls = 0;
  const second = Promise.withResolvers<never>();
  tcp.accept = () => ++calls === 2 ? second.promise : accept();
  using clock = new Clock();
  const listenfd = new TlsListenfd(tcp, { cert, key });
  const accepted = listenfd.accept();
  const slow = await openClientfd(LOCAL, listenfd.addr.port);
  while (calls < 2) await turn();
  await clock.pass(2000); // so that it would give way
  second.reject(new Deno.errors.NotConnected("reset"));
  while (calls < 3) await turn();
  using _clientfd = await startTlsClientfd(slow, LOCAL, { caCerts: [ca] });
  using _connfd = await accepted;
  listenfd.close();
});

Deno.test("TLS: the end of a burst doesn't wait either where TCP would have it wait", async () => {
  const tcp = openListenfd(0, { host: LOCAL });
  const accept = tcp.accept.bind(tcp);
  const set: (boolean | undefined)[] = [];
  tcp.accept = async () =>
    Object.assign(await accept(), { setNoDelay: (noDelay?: boolean) => set.push(noDelay) });
  const listenfd = new TlsListenfd(tcp, { cert, key });
  const accepted = listenfd.accept();
  using _clientfd = await openTlsClientfd(LOCAL, listenfd.addr.port, { caCerts: [ca] });
  using _connfd = await accepted;
  assertEquals(set, [true]);
  listenfd.close();
});

Deno.test("TLS: a write after the client's reset rejects, as over TCP", async () => {
  const [cert, key] = await Promise.all([read("cert"), read("key")]);
  const listenfd = openTlsListenfd(0, { host: "127.0.0.1", cert, key });
  const accepted = listenfd.accept();
  const tcp = createConnection(listenfd.addr.port, "127.0.0.1");
  const client = nodeTls.connect({ socket: tcp, host: "127.0.0.1", ca: await read("ca") });
  client.on("error", () => {});
  using connfd = await accepted;
  tcp.resetAndDestroy();
  const error = await assertRejects(async () => {
    for (;;) await connfd.write(new Uint8Array(65_536));
  });
  // And so does each one from then on.
  assertEquals(await assertRejects(() => connfd.write(new Uint8Array(1))), error);
  listenfd.close();
});

Deno.test("startTlsClientfd closes its descriptor when an option is out of range, too", async () => {
  using listenfd = openListenfd(0, { host: "127.0.0.1" });
  const clientfd = await openClientfd("127.0.0.1", listenfd.addr.port);
  (await listenfd.accept()).close();
  await assertRejects(
    () => startTlsClientfd(clientfd, "127.0.0.1", { connectTimeout: -1 }),
    RangeError,
  );
  await assertRejects(() => clientfd.write(new Uint8Array(1)), Deno.errors.BadResource);
});
