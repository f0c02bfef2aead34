/** TLS clients who don't shake hands, and who have to wait for whom. */
import { assertEquals, assertRejects } from "@std/assert";
import { openTlsClientfd } from "@netp/rio/client";
import { openTlsListenfd } from "@netp/rio/server";
import { bytes, ROOT } from "./helpers.ts";
import { Clock, turn } from "./clock.ts";

const [ca, cert, key] = await Promise.all(
  ["ca", "cert", "key"].map((name) => Deno.readTextFile(`${ROOT}/tests/tls/${name}.pem`)),
);
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
  while (listenfd.shaking < 2) await turn();
  await clock.pass(9_999);
  assertEquals([listenfd.shaking, faults], [2, []]);
  await clock.pass(1);
  await Promise.all([closed(silent), closed(slow)]);
  while (listenfd.shaking > 0) await turn();
  assertEquals(faults, Array(2).fill("TLS handshake: no answer for 10 s"));
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
  for (const accepted of [first, undefined, undefined]) {
    const caller = accepted ?? listenfd.accept();
    using _clientfd = await connect();
    using _connfd = await caller;
  }
  listenfd.close();
});

Deno.test("a client who says nothing gives way to one more than 256", async () => {
  const { listenfd } = listen();
  const { port } = listenfd.addr;
  const accepted = listenfd.accept();
  using half = await Deno.connect({ hostname: LOCAL, port });
  // A whole record, which begins a handshake and doesn't end it.
  await half.write(bytes("\x16\x03\x01\x00\x04\x01\x00\x10\x00"));
  while (listenfd.shaking < 1) await turn();
  const silent: Deno.Conn[] = [];
  while (listenfd.shaking < 256) {
    const before = listenfd.shaking;
    silent.push(await Deno.connect({ hostname: LOCAL, port }));
    while (listenfd.shaking === before) await turn();
  }
  using clientfd = await openTlsClientfd(LOCAL, port, { caCerts: [ca] });
  using connfd = await accepted;
  await closed(silent[0]);
  await clientfd.write(bytes("x"));
  assertEquals(await connfd.read(new Uint8Array(1)), 1);
  assertEquals(listenfd.shaking, 255, "the oldest silent one has gone");
  listenfd.close();
  await closed(half);
  for (const conn of silent) conn.close();
});
