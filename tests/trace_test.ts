/** `--trace`: what is told, how it is printed, and that whoever is traced doesn't know. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { openListenfd } from "@netp/rio/server";
import { quote } from "../net/text.ts";
import { traceConn, type TraceEvent } from "../net/traced_conn.ts";
import { queueLength } from "../server/queue_length.ts";
import {
  bytes,
  connect,
  has,
  MemoryReader,
  Program,
  ROOT,
  runProgram,
  startServer,
} from "./helpers.ts";

/** A trace with its times, its ports and the place of this machine masked. */
function masked(trace: string): string {
  return trace.split("\n").filter((line) => /^ +\d+\.\d{3} /.test(line)).join("\n")
    .replace(/^ +\d+\.\d{3} {2}/gm, "")
    .replace(/(:|")\d{4,5}\b/g, "$1PORT")
    .replaceAll(/ +/g, " ");
}

/** A connection in memory, and what is told of it. */
function traced(parts: (string | Error | null)[], write = (p: Uint8Array) => p.length) {
  const reader = new MemoryReader(parts);
  const told: string[] = [];
  const conn = {
    read: (p: Uint8Array) => reader.read(p),
    write: (p: Uint8Array) => Promise.resolve(p).then(write),
    closeWrite: () => Promise.resolve(),
    [Symbol.dispose]: () => {},
  };
  traceConn(conn, "fd", ({ call, result, detail = "", note = "" }: TraceEvent) => {
    told.push([call, result, detail, note].filter((part) => part !== "").join(" "));
  });
  const readAll = async () => {
    while (await conn.read(new Uint8Array(16384)) !== null);
    return told;
  };
  return { conn, told, readAll };
}

Deno.test("bytes are shown as a string of C, and UTF-8 as what it says", () => {
  for (
    const [text, shown] of [
      ["hello\n", `"hello\\n"`],
      ["\0\x01\x7f\r\t", `"\\x00\\x01\\x7f\\r\\t"`],
      [`"\\`, `"\\"\\\\"`],
      ["\xec\x95\x88 \n", `"안 \\n"`],
      ["\xff\xec\x95", `"\\xff\\xec\\x95"`],
      ["\x1b[31m\xc2\x9b", `"\\x1b[31m\\u{9b}"`], // nothing that a terminal obeys
      ["\xe2\x80\xae\xe2\x80\x8b\xef\xbb\xbf", `"\\u{202e}\\u{200b}\\u{feff}"`],
      ["", `""`],
    ]
  ) assertEquals(quote(bytes(text), false), shown);
  assertEquals(quote(bytes("\xec\x95\x88\xec\x95"), true), `"안"...`);
  assertEquals(quote(bytes("\xff"), true), `"\\xff"...`);
});

Deno.test("reads are told as the lines that rio_readlineb makes of them", async () => {
  const line = (n: number) => "a".repeat(n);
  const a32 = `"${line(32)}"...`;
  for (
    const [parts, told] of [
      [["one\n"], [`rio_readlineb(fd) = 4 "one\\n"`]],
      [["one\ntwo\n\n"], [
        `rio_readlineb(fd) = 4 "one\\n"`,
        `rio_readlineb(fd) = 4 "two\\n" (of the same read)`,
        `rio_readlineb(fd) = 1 "\\n" (of the same read)`,
      ]],
      [["o", "ne\ntw", "o"], [
        "read(fd) = 1 the line goes on",
        `rio_readlineb(fd) = 4 "one\\n"`,
        "read(fd) = 1 the line goes on",
        `rio_readlineb(fd) = 3 "two" (EOF before its newline)`,
      ]],
      [[line(31) + "\n"], [`rio_readlineb(fd) = 32 "${line(31)}\\n"`]],
      [[line(32) + "\n"], [`rio_readlineb(fd) = 33 ${a32}`]],
      [[line(8190) + "\n"], [`rio_readlineb(fd) = 8191 ${a32}`]],
      [[line(8191) + "\n"], [
        `rio_readlineb(fd) = 8191 ${a32} (MAXLINE - 1 bytes: the line goes on)`,
        `rio_readlineb(fd) = 1 "\\n" (of the same read)`,
      ]],
      [[line(5000), line(4999) + "\n"], [
        "read(fd) = 5000 the line goes on",
        `rio_readlineb(fd) = 8191 ${a32} (MAXLINE - 1 bytes: the line goes on)`,
        `rio_readlineb(fd) = 1809 ${a32} (of the same read)`,
      ]],
      [["x\n".repeat(1000)], [
        `rio_readlineb(fd) = 2 "x\\n"`,
        ...Array(7).fill(`rio_readlineb(fd) = 2 "x\\n" (of the same read)`),
        "rio_readlineb(fd) 992 times 1984 bytes, of the same read",
      ]],
    ] as [string[], string[]][]
  ) {
    const plain = told.map((line) => line.replace(/ \(([^()]*)\)$/, " $1"));
    const { conn, told: all, readAll } = traced(parts);
    await readAll();
    conn[Symbol.dispose]();
    assertEquals(all, [...plain, "rio_readlineb(fd) = 0 EOF", "close(fd) = 0"]);
  }
});

Deno.test("EOF behind a last line without a newline is told when that has been written back", async () => {
  const line = `rio_readlineb(fd) = 4 "last" EOF before its newline`;
  const begin = async (write?: (p: Uint8Array) => number) => {
    const all = traced(["last"], write);
    await all.readAll();
    return all;
  };
  const echoed = await begin((p) => Math.min(p.length, 3));
  assertEquals(await echoed.conn.write(bytes("last")), 3);
  assertEquals(await echoed.conn.write(bytes("t")), 1);
  assertEquals(await echoed.conn.read(new Uint8Array(9)), null);
  assertEquals(echoed.told.slice(1), [
    line,
    "write(fd, 4) = 3 a short count",
    "rio_writen(fd, 4) = 4",
    "rio_readlineb(fd) = 0 EOF",
    "rio_readlineb(fd) = 0 EOF",
  ]);
  const cut = await begin(() => {
    throw new Deno.errors.BrokenPipe("gone");
  });
  await assertRejects(() => cut.conn.write(bytes("last")), Deno.errors.BrokenPipe);
  cut.conn[Symbol.dispose]();
  assertEquals(cut.told.slice(1), [line, "write(fd, 4) = -1 gone", "close(fd) = 0"]);
});

Deno.test("errors and short counts are told and stay what they are; our own close ends calls silently", async () => {
  const reset = Object.assign(new Deno.errors.ConnectionReset("gone"), { code: "ECONNRESET" });
  const { conn, told } = traced([reset, new Error("strange\nthing")], (p) => Math.min(p.length, 5));
  const buf = new Uint8Array(9);
  await assertRejects(() => conn.read(buf), Deno.errors.ConnectionReset, "gone");
  await assertRejects(() => conn.read(buf), Error, "strange");
  assertEquals(await conn.write(buf), 5);
  assertEquals(await conn.write(buf.subarray(5)), 4);
  await conn.closeWrite();
  conn[Symbol.dispose]();
  conn[Symbol.dispose]();
  assertEquals(told, [
    "read(fd) = -1 ECONNRESET",
    "read(fd) = -1 strange thing",
    "write(fd, 9) = 5 a short count",
    "rio_writen(fd, 9) = 9",
    "shutdown(fd, SHUT_WR) = 0 FIN",
    "close(fd) = 0",
  ]);

  const closed = traced([new Deno.errors.Interrupted("closed")]);
  const reading = closed.conn.read(buf);
  closed.conn[Symbol.dispose]();
  await assertRejects(() => reading, Deno.errors.Interrupted);
  assertEquals(closed.told, ["close(fd) = 0"]);
});

Deno.test({
  name: "the kernel tells how many wait in a listener's queue",
  ignore: Deno.build.os !== "linux",
  async fn() {
    for (const host of ["127.0.0.1", "::1", "::"]) {
      using listenfd = openListenfd(0, { host });
      const { addr } = listenfd;
      assertEquals(await queueLength(addr), 0);
      const to = { hostname: host === "::" ? "127.0.0.1" : host, port: addr.port };
      using _first = await Deno.connect(to);
      using _second = await Deno.connect(to);
      assertEquals(await queueLength(addr), 2);
      using _connfd = await listenfd.accept();
      assertEquals(await queueLength(addr), 1);
    }
    assertMatch(String(await queueLength({ transport: "unix", path: "/x" })), /doesn't tell/);
  },
});

/** What the first server of the lecture tells of one client. */
const SERVER = [
  `server getaddrinfo("::", "0") = 0 [::]:PORT (a number: nothing to look up)`,
  "server socket(AF_INET6, SOCK_STREAM) = listenfd (Deno.listen: from here to listen)",
  "server setsockopt(listenfd, SO_REUSEADDR) = 0",
  "server bind(listenfd, [::]:PORT) = 0",
  "server listen(listenfd, 7) = 0",
  "server accept(listenfd) waiting",
];

Deno.test("a server and a client tell each call, and print what they print without it", async () => {
  await using server = await startServer("--trace", "--backlog=7");
  assertEquals(masked(server.stderr.text).split("\n"), SERVER);
  const client = Program.script("client.ts", "127.0.0.1", server.port, "--trace");
  const { code, stdout, stderr } = await runProgram(client, "hello\nno newline");
  assertEquals({ code, stdout }, { code: 0, stdout: "hello\nno newline" });
  assertEquals(masked(stderr).split("\n"), [
    `client getaddrinfo("127.0.0.1", "PORT") waiting (Deno.connect: a number, nothing to look up)`,
    "client socket(AF_INET, SOCK_STREAM) = clientfd",
    "client connect(clientfd, 127.0.0.1:PORT) = 0 127.0.0.1:PORT -> 127.0.0.1:PORT",
    "client rio_writen(clientfd, 6) = 6",
    `client rio_readlineb(clientfd) = 6 "hello\\n"`,
    "client rio_writen(clientfd, 10) = 10",
    "client shutdown(clientfd, SHUT_WR) = 0 FIN",
    "client read(clientfd) = 10 the line goes on",
    `client rio_readlineb(clientfd) = 10 "no newline" (EOF before its newline)`,
    "client rio_readlineb(clientfd) = 0 EOF",
    "client close(clientfd) = 0",
  ]);
  // Both name the same socket pair.
  const pair = /127\.0\.0\.1:\d+ -> 127\.0\.0\.1:\d+/;
  assertEquals(pair.exec(stderr)![0], pair.exec(server.stderr.text)![0]);

  await server.stderr.until(/close\(connfd 1\)[^]*waiting\n/);
  assertEquals(await server.stop(), 0);
  assertEquals(
    server.stdout.text,
    `Connected to (127.0.0.1, ${/:(\d+) ->/.exec(stderr)![1]})\n` +
      "server received 6 bytes\nserver received 10 bytes\n",
  );
  // A client that stays for long has the queue told, which isn't known here.
  const told = masked(server.stderr.text).split("\n").filter((line) => !line.includes("queue of"));
  assertEquals(told.slice(SERVER.length), [
    "server accept(listenfd) = connfd 1 127.0.0.1:PORT -> 127.0.0.1:PORT",
    `server rio_readlineb(connfd 1) = 6 "hello\\n"`,
    "server rio_writen(connfd 1, 6) = 6",
    "server read(connfd 1) = 10 the line goes on",
    `server rio_readlineb(connfd 1) = 10 "no newline" (EOF before its newline)`,
    "server rio_writen(connfd 1, 10) = 10",
    "server rio_readlineb(connfd 1) = 0 EOF",
    "server shutdown(connfd 1, SHUT_WR) = 0 FIN",
    "server close(connfd 1) = 0",
    "server accept(listenfd) waiting",
    "server close(listenfd) = 0",
  ]);
  // The columns stand one below the other.
  const columns = server.stderr.text.split("\n").filter((line) => / = \d/.test(line))
    .map((line) => line.indexOf(" = "));
  assertEquals(new Set(columns).size, 1);
});

Deno.test("the queue is told while nobody is accepted, or in a word why not", async () => {
  for (const allowed of [true, false]) {
    const args = ["run", "--quiet", "--allow-net", ...allowed ? ["--allow-run=cat"] : []];
    await using server = new Program(Deno.execPath(), [...args, "server.ts", "0", "--trace"]);
    const [, port] = await server.stderr.until(/^listening on .*:(\d+) \(/m);
    using first = await Deno.connect({ port: Number(port) });
    if (!allowed) {
      await server.stderr.until(/queue of listenfd +unknown +needs --allow-run=cat\n/);
      continue;
    }
    await server.stderr.until(/= connfd 1/);
    const waiting = [];
    for (const told of ["1 waits", "2 wait"]) {
      waiting.push(await Deno.connect({ port: Number(port) }));
      await server.stderr.until(new RegExp(`queue of listenfd +${told}\n`));
    }
    first.close();
    for (const [i, conn] of waiting.entries()) {
      await server.stderr.until(new RegExp(`= connfd ${i + 2} `));
      conn.close();
    }
    await server.stop();
    assertEquals(server.stderr.text.match(/queue of/g)!.length, 2); // each once
  }
});

Deno.test("a refused connection, TLS, a Unix socket, threads", async () => {
  const listenfd = openListenfd(0, { host: "127.0.0.1" });
  const { port } = listenfd.addr;
  listenfd.close();
  const refused = await runProgram(Program.script("client.ts", "127.0.0.1", port, "--trace"));
  assertEquals(refused.code, 1);
  assertMatch(refused.stderr, /connect\(clientfd, 127.0.0.1:\d+\) += -1 +ECONNREFUSED\n/);

  const { code, stderr } = await runProgram(Program.script("server.ts", "--trace", "--workers=2"));
  assertEquals(code, 2);
  assertMatch(stderr, /^server: --trace doesn't go with --workers=2\n/);

  const dir = await Deno.makeTempDir();
  const pem = (name: string) => `${ROOT}/tests/tls/${name}.pem`;
  try {
    for (
      const [serverFlags, clientFlags, note] of [
        [[`--unix=${dir}/sock`], [`--unix=${dir}/sock`], "AF_UNIX"],
        [
          ["0", "--host=127.0.0.1", `--cert=${pem("cert")}`, `--key=${pem("key")}`],
          ["127.0.0.1", "--tls", `--cafile=${pem("ca")}`],
          "and the TLS handshake",
        ],
      ] as [string[], string[], string][]
    ) {
      await using server = Program.script("server.ts", ...serverFlags, "--trace");
      const [, where] = await server.stderr.until(/^listening on (\S+)/m);
      const port = /:(\d+)$/.exec(where)?.[1];
      const args = [...clientFlags, ...port === undefined ? [] : [port], "--trace"];
      const client = await runProgram(Program.script("client.ts", ...args), "hello\n");
      assertEquals(client.stdout, "hello\n");
      assertMatch(client.stderr, new RegExp(note));
      assertMatch(client.stderr, /rio_readlineb\(clientfd\) += 6 +"hello\\n"/);
      await server.stderr.until(/close\(connfd 1\) += 0/);
      assertMatch(server.stderr.text, new RegExp(note));
      assertMatch(server.stderr.text, /rio_readlineb\(connfd 1\) += 6 +"hello\\n"/);
    }
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("nobody reads the trace: the server serves on, and all comes back", async () => {
  await using server = await startServer("--trace", "--quiet");
  await server.stderr.cancel();
  const lines = "a line\n".repeat(20_000);
  const { code, stdout } = await runProgram(
    Program.script("client.ts", "127.0.0.1", server.port),
    lines,
  );
  assertEquals({ code, same: stdout === lines }, { code: 0, same: true });
});

Deno.test({
  name: "on a terminal a trace is coloured, unless NO_COLOR says no (needs script)",
  ignore: !has("script"),
  async fn() {
    for (const noColor of ["", "1"]) {
      const command =
        `${Deno.execPath()} run --quiet --no-prompt --allow-net client.ts localhost 1 --trace`;
      const terminal = new Program("script", ["-qec", command, "/dev/null"], { NO_COLOR: noColor });
      const { stdout } = await runProgram(terminal);
      assertEquals(stdout.includes("\x1b[31m= -1"), noColor === "");
      assert(stdout.includes("ECONNREFUSED"));
    }
  },
});

for (const concurrency of [1, 30]) {
  Deno.test(`standard output and the trace are in one order (concurrency ${concurrency}, needs sh)`, async () => {
    const run = `run --quiet --allow-net server.ts 0 --trace --concurrency=${concurrency}`;
    await using server = new Program("sh", ["-c", `exec "$0" ${run} 2>&1`, Deno.execPath()]);
    const [, port] = await server.stdout.until(/^listening on .*:(\d+) \(/m);
    const clients = await Promise.all(Array.from({ length: 30 }, () => connect(Number(port))));
    await Promise.all(clients.map(async (client) => {
      await client.ask();
      await client.ask();
      await client.fd.closeWrite();
      await client.askEnd();
    }));
    assertEquals(await server.stop(), 0);
    let accepted = 0;
    let connected = 0;
    let read = 0;
    let received = 0;
    for (const line of server.stdout.text.split("\n")) {
      if (/ accept\(listenfd\) +=/.test(line)) accepted++;
      if (line.startsWith("Connected to")) assert(++connected <= accepted, line);
      if (/ rio_readlineb\(connfd \d+\) += [1-9]/.test(line)) read++;
      if (line.startsWith("server received")) assert(++received <= read, line);
      if (concurrency === 1) assert(accepted - connected <= 1 && read - received <= 2, line);
    }
    assertEquals([accepted, connected, read, received], [30, 30, 60, 60]);
    for (const client of clients) client[Symbol.dispose]();
  });
}
