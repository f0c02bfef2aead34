/** The recipes of docs/recipes.md, as they stand there. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { chomp, Rio, rioWriten } from "@netp/rio/rio";
import { openListenfd, TlsListenfd } from "@netp/rio/server";
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

Deno.test("recipe: many lines", async () => {
  const { longest } = await recipe("Many lines");
  for (const chunk of [1, 4, 100]) {
    assertEquals(await longest(new Rio(MemoryReader.of("a\r\nlong\n\nb", chunk))), 4);
  }
});

Deno.test("recipe: Redis", async () => {
  const { get } = await recipe("Redis");
  for (
    const [answer, value] of [
      ["$13\r\nhello\r\nworld!\r\n", "hello\r\nworld!"],
      ["$0\r\n\r\n", ""],
      ["$-1\r\n", null],
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
    ]
  ) {
    const port = serveOnce(async (connfd, rio) => {
      while (chomp((await rio.readline())!).length > 0);
      await rioWriten(connfd, bytes(answer));
    });
    await assertRejects(() => get("127.0.0.1", port, "/"), Error, message);
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
  for (const answer of ["220 go ahead\r\n", "220 go\r\n250 in the clear\r\n", "454 no\r\n"]) {
    const listenfd = openListenfd(0, LOCAL);
    const served = (async () => {
      const connfd = await listenfd.accept();
      await rioWriten(connfd, bytes("220 hello\r\n"));
      assertEquals(text((await new Rio(connfd).readline())!), "STARTTLS\r\n");
      await rioWriten(connfd, bytes(answer));
      if (answer !== "220 go ahead\r\n") {
        assertEquals(await connfd.read(new Uint8Array(1)), null);
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
    if (answer === "220 go ahead\r\n") {
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
  const input = `NOOP\r\n${"x".repeat(600)} QUIT\r\nRSET\r\n`;
  for (const chunk of [1, 100, 1000]) {
    assertEquals(await Array.fromAsync(commands(MemoryReader.of(input, chunk))), [
      "NOOP",
      "TOO LONG",
      "RSET",
    ]);
  }
  const broken = new MemoryReader(["NOOP\r\n", new Error("reset")]);
  await assertRejects(() => Array.fromAsync(commands(broken)), Error, "reset");
});

Deno.test("recipe: web streams", async () => {
  const { headAndRest } = await recipe("Web streams");
  const [head, rest] = await headAndRest(new Blob(["head\nbody\n", "and more"]).stream());
  assertEquals(text(head), "head\n");
  assertEquals(await new Response(rest).text(), "body\nand more");
});

Deno.test("recipe: records that end in a NUL", async () => {
  const { paths } = await recipe("Records that end in a NUL");
  assertEquals(await paths(MemoryReader.of("a\0b\nc\0", 2)), ["a", "b\nc"]);
  assertEquals(await paths(MemoryReader.of("a\0b", 2)), ["a", "b"], "the last one may lack it");
});
