/** The recipes of docs/recipes.md, as they stand there. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { chomp, Rio, rioWriten } from "@netp/rio/rio";
import { openListenfd, TlsListenfd } from "@netp/rio/server";
import { turn } from "./clock.ts";
import { bytes, freePort, has, MemoryReader, Program, ROOT, text } from "./helpers.ts";

const page = await Deno.readTextFile(`${ROOT}/docs/recipes.md`);
const LOCAL = { host: "127.0.0.1" };

/** What the code under a heading exports. */
// deno-lint-ignore no-explicit-any
async function recipe(heading: string): Promise<any> {
  const code = page.split(`\n## ${heading}\n`)[1]?.match(/^```ts ignore\n([^]*?)^```$/m)?.[1];
  assert(code !== undefined, `no recipe ${heading}`);
  const dir = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${dir}/recipe.ts`, code.replace(`"@netp/rio"`, `"${ROOT}/mod.ts"`));
    return await import(`file://${dir}/recipe.ts`);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** Serves one client, byte by byte, and returns the port. */
function serveOnce(serve: (connfd: Deno.TcpConn, rio: Rio) => Promise<void>): number {
  const listenfd = openListenfd(0, LOCAL);
  listenfd.accept().then(async (connfd) => {
    await serve(connfd, new Rio(connfd));
    connfd[Symbol.dispose]();
    listenfd.close();
  });
  return listenfd.addr.port;
}

Deno.test("text keeps its byte order mark, in README too; JSON may have none", async () => {
  const pages = page + await Deno.readTextFile(`${ROOT}/README.md`);
  const careless = [...pages.matchAll(/.*new TextDecoder\(\).*/g)].map(([line]) => line.trim());
  const json = "for await (const line of rio) yield JSON.parse(new TextDecoder().decode(line));";
  assertEquals(careless, [json]);
});

Deno.test("recipe: many lines", async () => {
  const { longest } = await recipe("Many lines");
  for (const chunk of [1, 4, 100]) {
    assertEquals(await longest(new Rio(MemoryReader.of("a\r\nlong\n\nb", chunk))), 4);
  }
  // In pieces, whatever is cut.
  for (const end of ["\n", "\r\n", ""]) {
    for (const length of [8189, 8190, 8191, 8192, 20_000]) {
      const input = `a\r\n${"x".repeat(length)}${end}`;
      assertEquals(await longest(new Rio(MemoryReader.of(input, 9000))), length);
    }
  }
});

Deno.test("recipe: a server of a line protocol", async () => {
  const { shout } = await recipe("A server of a line protocol");
  const listenfd = openListenfd(0, LOCAL);
  const stop = new AbortController();
  const served = shout(listenfd, stop.signal);
  const clients = await Promise.all(
    [1, 2].map(() => Deno.connect({ hostname: "127.0.0.1", port: listenfd.addr.port })),
  );
  for (const clientfd of clients) {
    await rioWriten(clientfd, bytes("one\ntwo\n"));
    const rio = new Rio(clientfd);
    assertEquals(text((await rio.readline())!), "ONE\n");
    assertEquals(text((await rio.readline())!), "TWO\n");
  }
  stop.abort();
  for (const clientfd of clients) { // who is connected can finish
    await rioWriten(clientfd, bytes("three\nfou"));
    await clientfd.closeWrite();
    assertEquals((await Array.fromAsync(new Rio(clientfd))).map(text), ["THREE\n"]);
    clientfd.close();
  }
  assertEquals((await served).closed.done, 2);
});

Deno.test("recipe: Redis", async () => {
  const { get } = await recipe("Redis");
  for (
    const [answer, value] of [
      ["$13\r\nhello\r\nworld!\r\n", "hello\r\nworld!"],
      ["$0\r\n\r\n", ""],
      ["$-1\r\n", null],
      ["$5\r\n\xef\xbb\xbfhi\r\n", "\ufeffhi"],
    ]
  ) {
    const port = serveOnce(async (connfd, rio) => {
      const request = new Uint8Array(27);
      await rio.readnb(request);
      assertEquals(text(request), "*2\r\n$3\r\nGET\r\n$8\r\ngreeting\r\n");
      for (const byte of bytes(answer!)) await rioWriten(connfd, new Uint8Array([byte]));
    });
    assertEquals(await get(port, "greeting"), value);
  }
  for (
    const [answer, message] of [
      ["$13\r\nhel", "the value is cut off"],
      ["$5\r\nhello", "the value is cut off"],
      ["$5\r\nhello!\r\n", "the value is cut off"],
      ["$999999999\r\nhello", "the value is cut off"], // without memory for a gigabyte
      ["-ERR no\r\n", "not a value: -ERR no"],
      ["$99999999999\r\n", "not a value"],
    ]
  ) {
    const port = serveOnce(async (connfd, rio) => {
      await rio.readnb(new Uint8Array(27));
      await rioWriten(connfd, bytes(answer));
    });
    await assertRejects(() => get(port, "greeting"), Error, message);
  }
});

Deno.test({
  name: "recipe: Redis, asked for real (needs redis-server)",
  ignore: !has("redis-server"),
  async fn() {
    const { get } = await recipe("Redis");
    const port = freePort();
    await using redis = new Program("redis-server", [
      "--bind",
      "127.0.0.1",
      "--port",
      `${port}`,
      "--save",
      "",
    ]);
    await redis.stdout.until(/Ready to accept connections/);
    {
      using clientfd = await Deno.connect({ hostname: "127.0.0.1", port });
      await rioWriten(clientfd, bytes("SET greeting hello\r\n"));
      await new Rio(clientfd).readline();
    }
    assertEquals(await get(port, "greeting"), "hello");
    assertEquals(await get(port, "nothing"), null);
  },
});

Deno.test("recipe: HTTP, head and body", async () => {
  const { get } = await recipe("HTTP, head and body");
  const pages: Record<string, BodyInit> = {
    "/greeting": "hello\n",
    "/empty": "",
    "/stream": new Blob(["no ", "length"]).stream(),
  };
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    (request) => new Response(pages[new URL(request.url).pathname]),
  );
  const { port } = server.addr;
  const [headers, body] = await get("127.0.0.1", port, "/greeting");
  assertEquals(headers.get("content-type"), "text/plain;charset=UTF-8");
  assertEquals(body, "hello\n");
  assertEquals((await get("127.0.0.1", port, "/empty"))[1], "");
  assertEquals((await get("127.0.0.1", port, "/stream"))[1], "no length");

  for (
    const [answer, message] of [
      ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", "the body is cut off"],
      ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", "the head is cut off"],
      [`HTTP/1.1 200 OK\r\n${"A: b\r\n".repeat(200)}\r\n`, "the head is cut off, or too long"],
      [`HTTP/1.1 200 OK\r\nA: ${"b".repeat(9000)}\r\n\r\n`, "no delimiter"],
      ["HTTP/1.1 200 OK\r\nno header\r\n\r\n", ""],
      ...["0x5", "5e0", "+5", "", "-5", "5, 5", "5.0", " 5 5"].map((length) => [
        `HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\nhello`,
        `a body of "${length.trim()}" bytes`,
      ]),
      ["HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\nhello", "the body is too long"],
    ]
  ) {
    const port = serveOnce(async (connfd, rio) => {
      while (chomp((await rio.readline())!).length > 0);
      await rioWriten(connfd, bytes(answer));
    });
    await assertRejects(() => get("127.0.0.1", port, "/"), Error, message);
  }
});

Deno.test("recipe: HTTP, a body that ends with the connection is bounded too", async () => {
  const { get } = await recipe("HTTP, head and body");
  const port = serveOnce(async (connfd, rio) => {
    while (chomp((await rio.readline())!).length > 0);
    const body = new Uint8Array(2 ** 20 + 1).fill(0x61);
    await rioWriten(connfd, bytes("HTTP/1.1 200 OK\r\n\r\n")).then(() => rioWriten(connfd, body))
      .catch(() => {}); // the client has enough
  });
  await assertRejects(() => get("127.0.0.1", port, "/"), Error, "the body is too long");
});

Deno.test("recipe: JSON lines", async () => {
  const { values } = await recipe("JSON lines");
  const lines = [{ a: 1 }, "x".repeat(500_000), null, [2]];
  for (const end of ["", "\n"]) {
    const input = lines.map((value) => JSON.stringify(value)).join("\r\n") + end;
    assertEquals(await Array.fromAsync(values(MemoryReader.of(input, 60_000))), lines);
  }
  const long = JSON.stringify("x".repeat(2 ** 20));
  const read = (input: string) => Array.fromAsync(values(MemoryReader.of(input, 60_000)));
  await assertRejects(() => read(long), Deno.errors.InvalidData);
  await assertRejects(() => read(`1\n{"cut`), SyntaxError);
});

Deno.test("recipe: replies of several lines", async () => {
  const { reply } = await recipe("Replies of several lines: SMTP");
  const rio = (input: string, chunk: number) =>
    new Rio(MemoryReader.of(input, chunk), { delimiter: "\r\n", tooLong: "throw" });
  for (const chunk of [1, 5, 100]) {
    const replies = rio("220 hello\r\n250-one\r\n250-\r\n250 two\nnot\r\n354\r\n", chunk);
    assertEquals(await reply(replies), { code: 220, lines: ["hello"] });
    assertEquals(await reply(replies), { code: 250, lines: ["one", "", "two\nnot"] });
    assertEquals(await reply(replies), { code: 354, lines: [""] });
  }
  for (
    const [input, message] of [
      ["", "cut off"],
      ["250-one\r\n", "cut off"],
      ["250 one", "cut off"],
      ["250 one\n", "cut off"],
      ["250-one\r\n251 two\r\n", "no reply: 251 two"],
      ["hello\r\n", "no reply: hello"],
      ["2500 one\r\n", "no reply"],
      ["250-one\r\n".repeat(101), "too long"],
    ]
  ) {
    await assertRejects(() => reply(rio(input, 9)), Error, message);
  }
});

Deno.test("recipe: a length before each message", async () => {
  const { messages } = await recipe("A length before each message: LSP");
  const frame = (value: unknown) => {
    const body = JSON.stringify(value);
    return `Content-Length: ${body.length}\r\nContent-Type: json\r\n\r\n${body}`;
  };
  const values = [{ id: 1 }, "two\n\r\n", []];
  for (const chunk of [1, 7, 1000]) {
    const rio = new Rio(MemoryReader.of(values.map(frame).join(""), chunk));
    assertEquals(await Array.fromAsync(messages(rio)), values);
  }
  for (
    const [input, message] of [
      [frame(values).slice(0, -1), "cut off"],
      [frame(values).slice(0, 20), "cut off"],
      ["Content-Type: json\r\n\r\n{}", "a message of NaN bytes"],
      ["Content-Length: 99999999999\r\n\r\n{}", "a message of 99999999999 bytes"],
      ["Content-Length: 0x5\r\n\r\n12345", "a message of NaN bytes"],
      ["Content-Length: 16777216\r\n\r\n{}", "cut off"],
    ]
  ) {
    const rio = new Rio(MemoryReader.of(input, 9));
    await assertRejects(() => Array.fromAsync(messages(rio)), Error, message);
  }
});

Deno.test("recipe: STARTTLS, as a client", async () => {
  const { startTls } = await recipe("STARTTLS, as a client");
  const [ca, cert, key] = await Promise.all(
    ["ca", "cert", "key"].map((name) => Deno.readTextFile(`${ROOT}/tests/tls/${name}.pem`)),
  );
  const ANSWERS = [
    "220 go ahead\r\n",
    "220-go\r\n220 ahead\r\n",
    "220 go\r\n250 in the clear\r\n",
    "454 no\r\n",
    "454-no\r\n454 220 \r\n",
    "220-\r\n".repeat(200),
  ];
  for (const answer of ANSWERS) {
    const good = ANSWERS.indexOf(answer) < 2;
    const listenfd = openListenfd(0, LOCAL);
    const served = (async () => {
      const connfd = await listenfd.accept();
      await rioWriten(connfd, bytes("220-hello\r\n220-220 \r\n220 who are you\r\n"));
      assertEquals(text((await new Rio(connfd).readline())!), "STARTTLS\r\n");
      await rioWriten(connfd, bytes(answer));
      if (!good) {
        await connfd.read(new Uint8Array(1)).catch(() => {}); // it closes, or resets
        connfd.close();
        return listenfd.close();
      }
      // A listener that speaks TLS, and has this one connection.
      const accepted = [Promise.resolve(connfd), new Promise<never>(() => {})];
      const tls = new TlsListenfd(
        { accept: () => accepted.shift(), close() {} } as Deno.TcpListener,
        { cert, key },
      );
      using tlsfd = await tls.accept();
      await rioWriten(tlsfd, bytes("250 in secret\r\n"));
      await tlsfd.closeWrite();
      await tlsfd.read(new Uint8Array(1));
      listenfd.close();
    })();
    const attempt = startTls("127.0.0.1", listenfd.addr.port, [ca]);
    if (good) {
      using tlsfd = await attempt;
      assertEquals(text((await new Rio(tlsfd).readline())!), "250 in secret\r\n");
    } else {
      await assertRejects(() => attempt, Error, "no TLS");
    }
    await served;
  }
});

Deno.test("recipe: a deadline for each line", async () => {
  const { readlineWithin } = await recipe("A deadline for each line");
  using listenfd = openListenfd(0, LOCAL);
  using clientfd = await Deno.connect({ port: listenfd.addr.port });
  using connfd = await listenfd.accept();
  const rio = new Rio(connfd);
  await clientfd.write(bytes("half a "));
  assertEquals(await readlineWithin(rio, 20), "late");
  await clientfd.write(bytes("line\n"));
  assertEquals(text(await readlineWithin(rio, 60_000)), "half a line\n");
});

Deno.test("recipe: commands, none of them too long", async () => {
  const { commands } = await recipe("Commands, none of them too long");
  const input = `NOOP\r\n${"x".repeat(600)} QUIT\r\n\xef\xbb\xbfRSET\r\n`;
  for (const end of ["", "DELETE /home/user/tmp", "\r"]) { // the client has gone
    for (const chunk of [1, 100, 1000]) {
      assertEquals(await Array.fromAsync(commands(MemoryReader.of(input + end, chunk))), [
        "NOOP",
        "TOO LONG",
        "\ufeffRSET",
      ]);
    }
  }
  const broken = new MemoryReader(["NOOP\r\n", new Error("reset")]);
  await assertRejects(() => Array.fromAsync(commands(broken)), Error, "reset");
});

Deno.test("recipe: what a read that was given up leaves behind", async () => {
  // A process that would wait for its standard input ends.
  const section = page.split("\n## What a read that was given up leaves behind\n")[1];
  const code = /^```ts ignore\n([^]*?)^```$/m.exec(section)![1];
  const dir = await Deno.makeTempDir();
  const file = `${dir}/recipe.ts`;
  await Deno.writeTextFile(
    file,
    code.replace(`"@netp/rio"`, `"${ROOT}/mod.ts"`) +
      "\nawait answerWithin(Number(Deno.args[0]));\n",
  );
  for (const [ms, input, printed] of [["20", "", "no answer\n"], ["60000", "yes\n", "yes\n"]]) {
    await using program = new Program(Deno.execPath(), ["run", "--quiet", "--no-check", file, ms]);
    await program.write(input);
    await program.stdout.until(new RegExp(printed));
    assertEquals((await program.process.status).code, 0);
  }
  await Deno.remove(dir, { recursive: true });

  // TLS can't begin.
  using listenfd = openListenfd(0, LOCAL);
  const clientfd = await Deno.connect({ port: listenfd.addr.port });
  using _connfd = await listenfd.accept();
  const signal = AbortSignal.timeout(1);
  await assertRejects(() => new Rio(clientfd).readline({ signal }), DOMException);
  await assertRejects(() => Deno.startTls(clientfd), Deno.errors.Busy);
});

Deno.test("recipe: what is written to a file", async () => {
  const { tail } = await recipe("What is written to a file: tail -f");
  const path = await Deno.makeTempFile();
  {
    using file = await Deno.open(path);
    using log = await Deno.open(path, { append: true });
    const stop = new AbortController();
    const lines = tail(file, stop.signal);
    const write = (part: string) => rioWriten(log, bytes(part));
    await write("one\ntw");
    assertEquals(text((await lines.next()).value), "one\n");
    const next = lines.next();
    const early = await Promise.race([next, turn().then(() => "held back")]);
    assertEquals(early, "held back");
    await write("o\n");
    assertEquals(text((await next).value), "two\n");
    const last = lines.next();
    stop.abort();
    assertEquals((await last).done, true);
    const broken = tail(new MemoryReader(["a\n", new Error("gone")]), new AbortController().signal);
    await assertRejects(() => Array.fromAsync(broken), Error, "gone");
  }
  await Deno.remove(path);
});

Deno.test("recipe: web streams", async () => {
  const { headAndRest } = await recipe("Web streams");
  const [head, rest] = await headAndRest(new Blob(["head\nbody\n", "and more"]).stream());
  assertEquals(text(head), "head\n");
  assertEquals(await new Response(rest).text(), "body\nand more");

  let cancelled: unknown;
  const stream = new ReadableStream({
    start(controller) {
      for (const part of ["", "he", "", "ad\nbo"]) controller.enqueue(bytes(part));
    },
    cancel: (reason) => void (cancelled = reason),
  });
  const [line, body] = await headAndRest(stream);
  assertEquals(text(line), "head\n");
  const reader = body.getReader();
  assertEquals(text((await reader.read()).value), "bo");
  await reader.cancel("enough");
  assertEquals(cancelled, "enough");
});

Deno.test("recipe: records that end in a NUL", async () => {
  const { paths } = await recipe("Records that end in a NUL");
  assertEquals(await paths(MemoryReader.of("a\0b\nc\0", 2)), ["a", "b\nc"]);
  assertEquals(await paths(MemoryReader.of("a\0b", 2)), ["a", "b"], "the last one may lack it");
});
