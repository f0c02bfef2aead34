import { createServer } from "node:net";
import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  echoClient,
  type EchoClientOptions,
  NotAnEchoError,
  openClientfd,
  openTlsClientfd,
  ServerClosedError,
} from "@netp/rio/client";
import { Comparison } from "../client/comparison.ts";
import { MAXLINE, Rio, rioWriten } from "@netp/rio/rio";
import { echo, openListenfd, openTlsListenfd } from "@netp/rio/server";
import { Clock, turn } from "./clock.ts";
import {
  bytes,
  fillQueue,
  freePort,
  has,
  MemoryReader,
  MemoryWriter,
  noise,
  Program,
  ROOT,
  runProgram,
  tempDir,
  text,
  TLS_CLIENT,
} from "./helpers.ts";

const LOCAL = { host: "127.0.0.1" };
const MODES = [{ lockstep: false }, { lockstep: true }];

const pem = (name: string) => Deno.readTextFile(`${ROOT}/tests/tls/${name}.pem`);

/** Runs `echoClient` on a connection that `server` serves. */
async function against(
  server: (connfd: Deno.TcpConn) => Promise<unknown>,
  run: (clientfd: Deno.TcpConn) => Promise<unknown>,
): Promise<void> {
  using listenfd = openListenfd(0, LOCAL);
  using clientfd = await openClientfd("127.0.0.1", listenfd.addr.port);
  using connfd = await listenfd.accept();
  const served = server(connfd);
  await run(clientfd);
  await served;
}

const echoThenClose = async (connfd: Deno.TcpConn) => {
  await echo(connfd);
  await connfd.closeWrite();
};

Deno.test("openClientfd walks the addresses of a name until one connects", async () => {
  for (const host of ["127.0.0.1", "::1"]) {
    using listenfd = openListenfd(0, { host });
    const { port } = listenfd.addr;
    // localhost has both addresses, or only the one that some machines give it.
    const names = host === "::1" ? ["::1"] : ["127.0.0.1", "localhost"];
    for (const name of names) {
      using clientfd = await openClientfd(name, port);
      assertEquals(clientfd.remoteAddr.hostname, host);
      (await listenfd.accept()).close();
    }
  }
});

Deno.test("openClientfd names the host, the port and the cause", async () => {
  const port = freePort();
  await assertRejects(
    () => openClientfd("127.0.0.1", port),
    Deno.errors.ConnectionRefused,
    `connect to 127.0.0.1 port ${port}: Connection refused`,
  );
  await assertRejects(
    () => openClientfd("no.such.host.invalid", 7),
    Error,
    "connect to no.such.host.invalid port 7: failed to lookup address",
  );
});

Deno.test("openClientfd takes a port from 1 to 65535", async () => {
  for (const port of [0, -1, 65536, 1.5, NaN]) {
    await assertRejects(
      () => openClientfd("127.0.0.1", port),
      RangeError,
      `current value is ${port}`,
    );
  }
});

Deno.test("openClientfd gives up after connectTimeout, or with the signal", async () => {
  using listenfd = openListenfd(0, { ...LOCAL, backlog: 1 });
  const { port } = listenfd.addr;
  const [queued, error] = await fillQueue(port);
  assert(error instanceof Deno.errors.TimedOut);
  assertEquals(
    error.message,
    `connect to 127.0.0.1 port ${port}: no answer within 0.2 s`,
  );
  assert(queued.length > 0);

  const stop = new AbortController();
  const attempt = openClientfd("127.0.0.1", port, { signal: stop.signal });
  stop.abort(new Error("enough"));
  assertEquals((await assertRejects(() => attempt, Error)).message, "enough");
  await assertRejects(
    () =>
      openClientfd("127.0.0.1", port, {
        signal: AbortSignal.abort(new Error("before")),
        connectTimeout: 1000,
      }),
    Error,
    "before",
  );
  for (const clientfd of queued) clientfd.close();
});

Deno.test("openClientfd sets TCP_NODELAY, for TLS too", async () => {
  const { connect } = Deno;
  const set: unknown[] = [];
  Deno.connect = (async (options: Deno.ConnectOptions) => {
    const clientfd = await connect(options);
    const setNoDelay = clientfd.setNoDelay.bind(clientfd);
    return Object.assign(clientfd, {
      setNoDelay(noDelay?: boolean) {
        set.push(noDelay);
        setNoDelay(noDelay);
      },
    });
  }) as typeof Deno.connect;
  try {
    const [ca, cert, key] = await Promise.all(["ca", "cert", "key"].map(pem));
    const listenfd = openTlsListenfd(0, { ...LOCAL, cert, key });
    const accepted = listenfd.accept();
    using _tlsfd = await openTlsClientfd("127.0.0.1", listenfd.addr.port, { caCerts: [ca] });
    using _connfd = await accepted;
    listenfd.close();
  } finally {
    Deno.connect = connect;
  }
  assertEquals(set, [true]);
});

/** A command that runs `script` where each new connection gets the port 40000. */
const inNamespace = (script: string) =>
  new Program("unshare", [
    "-rn",
    "sh",
    "-c",
    `ip link set lo up && echo 40000 40000 > /proc/sys/net/ipv4/ip_local_port_range && ${script}`,
  ]);
const namespaces = has("unshare") && has("ip") && await inNamespace("true").code() === 0;

Deno.test("a socket that met itself is refused (needs a network namespace)", {
  ignore: !namespaces,
}, async () => {
  const client = `${Deno.execPath()} run -A client.ts 127.0.0.1 40000`;
  assertEquals(await runProgram(inNamespace(client)), {
    code: 1,
    stdout: "",
    stderr: "client: connect to 127.0.0.1 port 40000: Connection refused (the socket met itself)\n",
  });
});

Deno.test("the scope of a link-local address is kept (needs a network namespace)", {
  ignore: !namespaces,
}, async () => {
  await using dir = await tempDir();
  const run = `${Deno.execPath()} run -A --quiet`;
  const { code, stdout, stderr } = await runProgram(inNamespace(`
    ip -6 addr add fe80::1/64 dev lo nodad && mkfifo ${dir.path}/log
    ${run} server.ts 7 '--host=[fe80::1%lo]' --quiet 2>${dir.path}/log & server=$!
    exec 3<${dir.path}/log && read -r line <&3 && echo "$line"
    echo hello | ${run} client.ts fe80::1%lo 7
    ${run} client.ts fe80::1%lo 8
    kill $server && wait $server`));
  assertEquals([code, stdout, stderr], [
    0,
    "listening on [fe80::1%lo]:7 (concurrency 1, backlog 1024)\nhello\n",
    "client: connect to fe80::1%lo port 8: Connection refused\n",
  ]);
});

Deno.test("a socket that met itself is closed", async () => {
  const { connect } = Deno;
  using listenfd = openListenfd(0, LOCAL);
  Deno.connect = (async (options: Deno.ConnectOptions) => {
    const clientfd = await connect(options);
    return Object.defineProperty(clientfd, "localAddr", { value: clientfd.remoteAddr });
  }) as typeof Deno.connect;
  try {
    const { port } = listenfd.addr;
    await assertRejects(
      () => openClientfd("127.0.0.1", port),
      Deno.errors.ConnectionRefused,
      `connect to 127.0.0.1 port ${port}: Connection refused (the socket met itself)`,
    );
  } finally {
    Deno.connect = connect;
  }
  using connfd = await listenfd.accept();
  assertEquals(await connfd.read(new Uint8Array(1)), null);
});

Deno.test("openTlsClientfd names what failed, and leaves nothing open", async () => {
  using listenfd = openListenfd(0, LOCAL);
  const { port } = listenfd.addr;
  const options = { connectTimeout: 100 };
  await assertRejects(
    () => openTlsClientfd("127.0.0.1", port, options),
    Deno.errors.TimedOut,
    `TLS handshake with 127.0.0.1 port ${port}: no answer within 0.1 s`,
  );
  (await listenfd.accept()).close();
  // An address to connect to, and no name that a certificate can have.
  await assertRejects(
    () => openTlsClientfd("127.1", port),
    TypeError,
    `TLS handshake with 127.1 port ${port}: Invalid hostname`,
  );
  using connfd = await listenfd.accept();
  assertEquals(await connfd.read(new Uint8Array(1)), null);
});

Deno.test("the certificate must be for servername, if that is given", async () => {
  const [ca, cert, key] = await Promise.all(["ca", "cert", "key"].map(pem));
  const listenfd = openTlsListenfd(0, { ...LOCAL, cert, key });
  const { port } = listenfd.addr;
  // An address to connect to, and no name that a certificate can have.
  const args = ["127.1", port, ...TLS_CLIENT, "--servername=localhost"];
  const program = runProgram(Program.script("client.ts", ...args), "hello\n");
  {
    using connfd = await listenfd.accept();
    await echo(connfd);
    await connfd.closeWrite();
  }
  assertEquals(await program, { code: 0, stdout: "hello\n", stderr: "" });

  const accepted = listenfd.accept().catch(() => {}); // it doesn't return who failed a handshake
  await assertRejects(
    () => openTlsClientfd("127.0.0.1", port, { caCerts: [ca], servername: "other.example" }),
    Error,
    `TLS handshake with 127.0.0.1 port ${port} as other.example: `,
  );
  listenfd.close();
  await accepted;
  const alone = await runProgram(Program.script("client.ts", "--servername=a.example"));
  assertEquals([alone.code, alone.stderr.split("\n")[0]], [
    2,
    "client: --servername=a.example goes with --tls",
  ]);
});

Deno.test("echoClient brings back every byte, in both modes", async () => {
  const inputs = [
    "",
    "hello\n",
    "no newline",
    "one\n\n\r\nthree\0\xff\xfe\nlast",
    `${"x".repeat(3 * MAXLINE)}\n${"y".repeat(MAXLINE - 1)}`,
    text(noise(300_000)),
  ];
  for (const mode of MODES) {
    for (const input of inputs) {
      await against(echoThenClose, async (clientfd) => {
        const output = new MemoryWriter();
        assertEquals(
          await echoClient(
            clientfd,
            MemoryReader.of(input, 5000),
            output,
            mode,
          ),
          { sent: input.length, received: input.length },
        );
        assert(output.text === input);
      });
    }
  }
});

Deno.test("echoClient in lockstep has one line under way at a time", async () => {
  await against(async (connfd) => {
    const buf = new Uint8Array(100);
    for (let i = 0; i < 3; i++) {
      const n = await connfd.read(buf);
      assertEquals(text(buf.subarray(0, n!)), `${i}\n`);
      await connfd.write(buf.subarray(0, n!));
    }
    await connfd.closeWrite();
  }, async (clientfd) => {
    const output = new MemoryWriter();
    const input = new MemoryReader(["0\n1\n2\n"]);
    await echoClient(clientfd, input, output, { lockstep: true });
    assertEquals(output.text, "0\n1\n2\n");
  });
});

Deno.test("echoClient prints what still comes after the end of input", async () => {
  for (const mode of MODES) {
    await against(async (connfd) => {
      await echo(connfd);
      await connfd.write(bytes("and good bye\n"));
      await connfd.closeWrite();
    }, async (clientfd) => {
      const output = new MemoryWriter();
      const input = MemoryReader.of("hello\n", 9);
      await echoClient(clientfd, input, output, { ...mode, anyAnswer: true });
      assertEquals(output.text, "hello\nand good bye\n");
    });
  }
});

Deno.test("echoClient says how far it came if the server ends first", async () => {
  const input = "12 bytes...\nand 28 bytes, never echoed.\n";
  for (const mode of MODES) {
    await against(async (connfd) => {
      const buf = new Uint8Array(100);
      await connfd.read(buf);
      await connfd.write(buf.subarray(0, 12));
      if (mode.lockstep) await connfd.read(buf);
      await connfd.closeWrite();
    }, async (clientfd) => {
      const output = new MemoryWriter();
      await assertRejects(
        () => echoClient(clientfd, new MemoryReader([input]), output, mode),
        ServerClosedError,
        "server closed the connection: 12 of 40 bytes came back",
      );
      assertEquals(output.text, "12 bytes...\n");
    });
  }
});

Deno.test("echoClient ends with the server, also while input is awaited", async () => {
  const silent = { read: () => new Promise<null>(() => {}) };
  for (const mode of MODES) {
    for (const unasked of ["", "good bye\n"]) {
      await against(async (connfd) => {
        await connfd.write(bytes(unasked));
        await connfd.closeWrite();
      }, async (clientfd) => {
        const output = new MemoryWriter();
        await assertRejects(
          () => echoClient(clientfd, silent, output, { ...mode, anyAnswer: true }),
          ServerClosedError,
          `server closed the connection: ${unasked.length} of 0 bytes came back`,
        );
        assertEquals(output.text, unasked);
      });
    }
  }
});

Deno.test("echoClient in lockstep says what ended the connection while input is awaited", async () => {
  const reset = new Deno.errors.ConnectionReset("Connection reset by peer");
  const clientfd = {
    read: () => Promise.reject(reset),
    write: () => Promise.reject(new Error("never called")),
    closeWrite: () => Promise.resolve(),
  };
  const silent = { read: () => new Promise<null>(() => {}) };
  await assertRejects(
    () => echoClient(clientfd, silent, new MemoryWriter(), { lockstep: true }),
    ServerClosedError,
    "server closed the connection (Connection reset by peer): 0 of 0 bytes came back",
  );
});

/** Lets time pass once so many bytes came, until the exchange has failed; returns how. */
async function late(clientfd: Deno.TcpConn, options: EchoClientOptions, bytes: number) {
  using clock = new Clock();
  let came = 0;
  const read = clientfd.read.bind(clientfd);
  Object.assign(clientfd, {
    async read(p: Uint8Array) {
      const n = await read(p);
      came += n ?? 0;
      return n;
    },
  });
  const input = new MemoryReader(["12345\n"]);
  const failed = failure(echoClient(clientfd, input, new MemoryWriter(), options));
  while (came < bytes && failed.message === undefined) await clock.pass(0);
  while (failed.message === undefined) await clock.pass(1);
  return failed.message;
}

Deno.test("echoClient gives up on a server that owes an answer", async () => {
  for (const mode of MODES) {
    await against(async (connfd) => {
      const buf = new Uint8Array(100);
      const n = await connfd.read(buf);
      await connfd.write(buf.subarray(0, n! / 2));
    }, async (clientfd) => {
      const message = await late(clientfd, { ...mode, timeout: 50 }, 3);
      assertEquals(message, "no answer for 0.05 s: 3 of 6 bytes came back");
    });
  }
});

/** An input of these lines, `pause` milliseconds before each and before its end. */
function slowly(lines: string[], pause: number) {
  return {
    async read(p: Uint8Array) {
      await new Promise((resolve) => setTimeout(resolve, pause));
      const line = lines.shift();
      if (line === undefined) return null;
      p.set(bytes(line));
      return line.length;
    },
  };
}

Deno.test("echoClient waits as long as nothing is owed", async () => {
  for (const mode of MODES) {
    await against(echoThenClose, async (clientfd) => {
      using clock = new Clock();
      const output = new MemoryWriter();
      const input = slowly(["a\n", "b\n"], 600);
      const exchange = echoClient(clientfd, input, output, { ...mode, timeout: 500 });
      const failed = failure(exchange);
      for (const came of ["a\n", "a\nb\n"]) {
        await clock.pass(600);
        while (output.text !== came && failed.message === undefined) await clock.pass(0);
      }
      await clock.pass(600);
      await exchange;
    });
  }
});

Deno.test("echoClient throws on what its input throws, after the echo", async () => {
  for (const mode of MODES) {
    await against(echoThenClose, async (clientfd) => {
      const output = new MemoryWriter();
      const input = new MemoryReader(["a\n", new Error("bad disk")]);
      await assertRejects(
        () => echoClient(clientfd, input, output, mode),
        Error,
        "bad disk",
      );
      assertEquals(output.text, "a\n");
    });
  }
});

Deno.test("echoClient throws on what its output throws", async () => {
  for (const mode of MODES) {
    await against(
      (connfd) => echo(connfd).catch(() => {}),
      async (clientfd) => {
        const full = { write: () => Promise.reject(new Error("disk full")) };
        await assertRejects(
          () => echoClient(clientfd, new MemoryReader(["a\n"]), full, mode),
          Error,
          "disk full",
        );
        clientfd.close();
      },
    );
  }
});

Deno.test("echoClient writes what came before a reset, and says what ended it", async () => {
  for (const mode of MODES) {
    const server = createServer((socket) => {
      socket.once("data", (data) => {
        // The reset comes when the client has what was sent before it.
        socket.write(data.subarray(0, 3), () => setTimeout(() => socket.resetAndDestroy(), 100));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as { port: number };
    {
      using clientfd = await openClientfd("127.0.0.1", port);
      const lines = ["12345\n"];
      const input = {
        read(p: Uint8Array) {
          const line = lines.shift();
          if (line === undefined) return new Promise<null>(() => {});
          p.set(bytes(line));
          return Promise.resolve(line.length);
        },
      };
      const output = new MemoryWriter();
      await assertRejects(
        () => echoClient(clientfd, input, output, mode),
        ServerClosedError,
        "server closed the connection (Connection reset by peer",
      );
      assertEquals(output.text, "123");
    }
    await new Promise((resolve) => server.close(resolve));
  }
});

Deno.test("echoClient prints a prompt without a newline at once", async () => {
  await against(async (connfd) => {
    await connfd.write(bytes("login: "));
    await connfd.read(new Uint8Array(9));
    await connfd.closeWrite();
  }, async (clientfd) => {
    const prompted = Promise.withResolvers<string>();
    const output = {
      write(p: Uint8Array) {
        prompted.resolve(text(p));
        return Promise.resolve(p.length);
      },
    };
    const silent = { read: () => new Promise<null>(() => {}) };
    const exchange = echoClient(clientfd, silent, output, { anyAnswer: true });
    assertEquals(await prompted.promise, "login: ");
    await clientfd.write(bytes("x"));
    await assertRejects(() => exchange, ServerClosedError);
  });
});

Deno.test("echoClient's timeout also holds for the end of the connection", async () => {
  for (const mode of MODES) {
    await against(async (connfd) => {
      const buf = new Uint8Array(9);
      const n = await connfd.read(buf);
      await connfd.write(buf.subarray(0, n!));
    }, async (clientfd) => {
      const message = await late(clientfd, { ...mode, timeout: 50 }, 6);
      assertEquals(message, "no EOF for 0.05 s: 6 of 6 bytes came back");
    });
  }
});

const NO_ECHOES: [answer: string, message: string][] = [
  ["heLlo\n", "no echo: byte 2 differs from what was sent"],
  ["hello\n!", "no echo: 7 bytes came back for 6"],
];
for (const [answer, message] of NO_ECHOES) {
  Deno.test(`echoClient takes ${JSON.stringify(answer)} for no echo of "hello\\n"`, async () => {
    for (const mode of MODES) {
      for (const anyAnswer of [false, true]) {
        await against(async (connfd) => {
          await connfd.read(new Uint8Array(9));
          await connfd.write(bytes(answer));
          await connfd.closeWrite();
        }, async (clientfd) => {
          const output = new MemoryWriter();
          const input = new MemoryReader(["hello\n"]);
          const done = echoClient(clientfd, input, output, { ...mode, anyAnswer });
          if (anyAnswer) await done;
          else await assertRejects(() => done, NotAnEchoError, message);
          assertEquals(output.text, answer);
        });
      }
    }
  });
}

Deno.test("echoClient is content with a server that answers all and closes at once", async () => {
  for (let round = 0; round < 50; round++) {
    await against(async (connfd) => {
      const buf = new Uint8Array(9);
      const n = await connfd.read(buf);
      await connfd.write(buf.subarray(0, n!));
      connfd.close();
    }, async (clientfd) => {
      const input = new MemoryReader(["hello\n"]);
      const mode = MODES[round % 2];
      const counts = await echoClient(clientfd, input, new MemoryWriter(), mode);
      assertEquals(counts, { sent: 6, received: 6 });
    });
  }
});

Deno.test("echoClient is content too when the end of its input shows a moment later", async () => {
  for (const mode of MODES) {
    await against(async (connfd) => {
      const buf = new Uint8Array(9);
      const n = await connfd.read(buf);
      await connfd.write(buf.subarray(0, n!));
      connfd.close();
    }, async (clientfd) => {
      const input = slowly(["hello\n"], 60);
      const counts = await echoClient(clientfd, input, new MemoryWriter(), mode);
      assertEquals(counts, { sent: 6, received: 6 });
    });
  }
});

Deno.test("what a peer owes is compared, wherever it lies when more comes than there is room for", () => {
  const sent = noise(400_000);
  const comparison = new Comparison();
  let [at, back] = [0, 0];
  for (const [more, come] of [[60_000, 50_000], [100_000, 90_000], [240_000, 260_000]]) {
    comparison.sent(sent.subarray(at, at += more));
    comparison.came(sent.subarray(back, back += come));
  }
  assertEquals([comparison.same, comparison.difference], [sent.length, undefined]);
});

Deno.test("what a peer owes is compared in bounded memory, and each difference is found", () => {
  const block = noise(1 << 20);
  const OWED = 84; // MiB: beyond 16 of them there is only a checksum
  for (const at of [undefined, 5 << 20, (OWED << 20) - 1]) {
    const comparison = new Comparison();
    for (let i = 0; i < OWED; i++) comparison.sent(block);
    const back = block.slice();
    for (let i = 0; i < OWED && comparison.difference === undefined; i++) {
      const wrong = at !== undefined && at >> 20 === i;
      if (wrong) back[at % block.length] ^= 1;
      for (let n = 0; n < back.length; n += 50_001) comparison.came(back.subarray(n, n + 50_001));
      if (wrong) back[at % block.length] ^= 1;
    }
    if (at === undefined) {
      assertEquals(comparison.same, OWED << 20);
      comparison.came(block.subarray(0, 1));
      assertEquals(comparison.difference, { from: OWED << 20, to: OWED << 20 });
      continue;
    }
    const { from, to } = comparison.difference!;
    assertEquals([from, to], at < 16 << 20 ? [at, at] : [16 << 20, (OWED << 20) - 1]);
  }

  // What is sent while some of that is back comes behind it.
  const comparison = new Comparison();
  for (let i = 0; i < 17; i++) comparison.sent(block);
  comparison.came(block);
  comparison.sent(block.toReversed());
  for (let i = 1; i < 17; i++) comparison.came(block);
  comparison.came(block.toReversed());
  assertEquals([comparison.same, comparison.difference], [18 << 20, undefined]);
});

/** A connection whose other end is the test. */
class FakeClientfd {
  sent = 0;
  finished = false;
  readonly #came: number[] = [];
  #wake = () => {};

  write(p: Uint8Array): Promise<number> {
    this.sent += p.length;
    return Promise.resolve(p.length);
  }

  closeWrite(): Promise<void> {
    this.finished = true;
    return Promise.resolve();
  }

  async read(p: Uint8Array): Promise<number | null> {
    while (this.#came.length === 0) await new Promise<void>((resolve) => this.#wake = resolve);
    const n = this.#came.shift()!;
    p.fill(0x78, 0, n);
    return n === 0 ? null : n;
  }

  /** The server answers so many bytes; 0 is its FIN. */
  answer(n: number): void {
    this.#came.push(n);
    this.#wake();
  }
}

/** An input of so many bytes `x` a read, `pause` milliseconds before each. */
function input(lengths: number[], pause = 0) {
  return {
    async read(p: Uint8Array) {
      if (pause > 0) await new Promise((resolve) => setTimeout(resolve, pause));
      const length = lengths.shift();
      if (length === undefined) return null;
      const n = Math.min(length, p.length);
      if (n < length) lengths.unshift(length - n);
      p.fill(0x78, 0, n);
      return n;
    },
  };
}

/** What a promise rejects with, once it has. */
function failure(promise: Promise<unknown>) {
  const seen: { message?: string } = {};
  promise.catch((error) => seen.message = error.message);
  return seen;
}

Deno.test("what is sent doesn't give the server more time, what comes does", async () => {
  using clock = new Clock();
  const clientfd = new FakeClientfd();
  const lengths = Array.from({ length: 9 }, () => 1);
  const failed = failure(
    echoClient(clientfd, input(lengths, 200), new MemoryWriter(), { timeout: 500 }),
  );
  await clock.pass(600); // three were sent, the first 400 ms ago
  clientfd.answer(1);
  await clock.pass(499);
  assertEquals(failed.message, undefined);
  await clock.pass(2);
  assertEquals(failed.message, "no answer for 0.5 s: 1 of 5 bytes came back");
  clientfd.answer(0);
  await clock.pass(2000);
});

Deno.test("in lockstep each piece of a long line comes back before the next goes out", async () => {
  const clientfd = new FakeClientfd();
  const lengths = [3 * (MAXLINE - 1)];
  const client = echoClient(clientfd, input(lengths), new MemoryWriter(), { lockstep: true });
  for (let piece = 1; piece <= 3; piece++) {
    for (let i = 0; i < 5; i++) await turn();
    assertEquals(clientfd.sent, piece * (MAXLINE - 1));
    clientfd.answer(MAXLINE - 1);
  }
  clientfd.answer(0);
  await client;
});

Deno.test("who gives up between connect and handshake isn't kept", async () => {
  using listenfd = openListenfd(0, { host: "127.0.0.1" });
  const stop = new AbortController();
  const { startTls } = Deno;
  Deno.startTls = async (...args: Parameters<typeof startTls>) => {
    const tlsfd = await startTls(...args);
    stop.abort(new Error("enough"));
    return tlsfd;
  };
  try {
    const { port } = listenfd.addr;
    const opened = openTlsClientfd("127.0.0.1", port, { signal: stop.signal });
    using _connfd = await listenfd.accept();
    await assertRejects(() => opened, Error, "enough");
  } finally {
    Deno.startTls = startTls;
  }
});

Deno.test("with anyAnswer the timeout counts answers, not bytes", async () => {
  // An answer shorter than its line is an answer.
  await against(async (connfd) => {
    const rio = new Rio(connfd);
    while (await rio.readline() !== null) await rioWriten(connfd, bytes("ok\n"));
    await connfd.closeWrite();
  }, async (clientfd) => {
    using clock = new Clock();
    const output = new MemoryWriter();
    const options = { anyAnswer: true, timeout: 300 };
    const input = slowly(["hello there\n", "bye, then\n"], 600);
    const exchange = echoClient(clientfd, input, output, options);
    const failed = failure(exchange);
    for (const came of ["ok\n", "ok\nok\n"]) {
      await clock.pass(600);
      while (output.text !== came && failed.message === undefined) await clock.pass(0);
    }
    await clock.pass(600);
    await exchange;
  });
  // A greeting longer than all that is sent is none to the second line.
  await against(async (connfd) => {
    await rioWriten(connfd, bytes("a long greeting\n"));
    while (await connfd.read(new Uint8Array(9)) !== null);
  }, async (clientfd) => {
    const input = new MemoryReader(["a\n", "b\n"]);
    const options = { anyAnswer: true, lockstep: true, timeout: 50 };
    await assertRejects(
      () => echoClient(clientfd, input, new MemoryWriter(), options),
      Deno.errors.TimedOut,
    );
    await clientfd.closeWrite();
  });
});

Deno.test("a line that can't be sent in lockstep is told, with anyAnswer too", async () => {
  const reset = new Deno.errors.ConnectionReset("Connection reset by peer");
  const clientfd = {
    read: () => Promise.resolve(null),
    write: () => Promise.reject(reset),
    closeWrite: () => Promise.resolve(),
  };
  for (const anyAnswer of [false, true]) {
    await assertRejects(
      () =>
        echoClient(clientfd, new MemoryReader(["a\n"]), new MemoryWriter(), {
          lockstep: true,
          anyAnswer,
        }),
      ServerClosedError,
      "server closed the connection (Connection reset by peer): 0 of 2 bytes came back",
    );
  }
});
