/** The load client: what it proves, what it finds, and where. */
import { createServer } from "node:net";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { openClientfd } from "@netp/rio/client";
import { Histogram, load, type LoadOptions } from "@netp/rio/load";
import { Rio, rioWriten } from "@netp/rio/rio";
import { Turns } from "../net/turns.ts";
import { Connection } from "../tools/load/connection.ts";
import { Lines } from "../tools/load/lines.ts";
import { Schedule } from "../tools/load/schedule.ts";
import { Tally } from "../tools/load/tally.ts";
import { bytes, freePort, has, LINUX, Program, runProgram, startServer, text } from "./helpers.ts";

const script = (...args: (string | number)[]) =>
  runProgram(Program.script("tools/load.ts", "127.0.0.1", ...args));

/** Serves each connection, the first of which is number 0, while `act` runs. */
async function against<T>(
  serve: (connfd: Deno.TcpConn, number: number) => Promise<void>,
  act: (port: number) => Promise<T>,
): Promise<T> {
  const listenfd = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const connfds: Deno.TcpConn[] = [];
  const handlers: Promise<void>[] = [];
  const accepting = (async () => {
    for await (const connfd of listenfd) {
      connfds.push(connfd);
      const close = () => connfd[Symbol.dispose]();
      handlers.push(serve(connfd, handlers.length).then(close, close));
    }
  })();
  try {
    return await act(listenfd.addr.port);
  } finally {
    listenfd.close();
    await accepting;
    for (const connfd of connfds) connfd[Symbol.dispose]();
    await Promise.all(handlers);
  }
}

/** Echoes, and has `change` have each line before it goes back. */
async function echo(
  connfd: Deno.TcpConn,
  change: (line: Uint8Array<ArrayBuffer>, number: number) => Uint8Array | Promise<Uint8Array>,
): Promise<void> {
  let number = 0;
  for await (const line of new Rio(connfd)) {
    await rioWriten(connfd, await change(line, number++));
  }
}

/** The fault that a load ends with: its kind, its place and its message. */
async function faultOf(port: number, options: LoadOptions) {
  const { fault } = await load(() => openClientfd("127.0.0.1", port), { time: 60_000, ...options });
  return fault && { kind: fault.kind, ...fault.place, message: fault.message };
}

Deno.test("no line is sent twice, and all connections send others", () => {
  const seen = new Set<string>();
  for (const connection of [0, 1, 99_999]) {
    const lines = new Lines(connection, 3, 16);
    for (const line of [0, 1, 2, 3, 4, 5, 999_999_999]) {
      lines.set(line);
      const at = line % 3 * 16;
      const sent = text(lines.bytes.subarray(at, at + 16));
      assertEquals(
        sent,
        `${String(connection).padStart(5, "0")} ${String(line).padStart(9, "0")}\n`,
      );
      seen.add(sent);
    }
  }
  assertEquals(seen.size, 21);
});

Deno.test("the histogram knows quantiles to 0.8 %", () => {
  const histogram = new Histogram();
  assertEquals([histogram.quantile(0.5), histogram.count, histogram.max], [0, 0, 0]);
  for (let i = 1; i <= 100_000; i++) histogram.record(i / 100); // 0.01 to 1000 ms
  for (const q of [0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999]) {
    const error = histogram.quantile(q) / (q * 1000) - 1;
    assert(error >= 0 && error < 0.008, `quantile ${q}: ${error}`);
  }
  assertEquals(histogram.quantile(1), 1000);
  const tenth = histogram.between(100, 200) / histogram.count;
  assert(Math.abs(tenth - 0.1) < 0.002, `${tenth}`);
  histogram.record(10 ** 9); // eleven days count as 214 s, but for the maximum
  assertEquals(histogram.max, 10 ** 9);

  const middle = histogram.quantile(0.5);
  const taken = histogram.take();
  assertEquals([histogram.count, histogram.max], [0, 0]);
  histogram.add(taken);
  histogram.add(taken);
  assertEquals([histogram.count, histogram.max], [200_002, 10 ** 9]);
  assertEquals(histogram.quantile(0.5), middle);
});

Deno.test("all comes back: of any depth and length, at a rate, with connections that end", async () => {
  const shapes: LoadOptions[] = [
    { connections: 3 },
    { connections: 1, depth: 128 },
    { connections: 2, depth: 3, length: 16 },
    { connections: 2, depth: 16, length: 8000 },
    { connections: 1, depth: 2, length: 200_000 },
    { connections: 4, depth: 2, churn: 3 },
    { connections: 4, churn: 1 },
    { connections: 4, rate: 1000 },
    { connections: 4, rate: 1000, churn: 2, depth: 2 },
  ];
  for (const shape of shapes) {
    let opened = 0;
    const serve = (connfd: Deno.TcpConn) => {
      opened++;
      return connfd.readable.pipeTo(connfd.writable);
    };
    const result = await against(
      serve,
      (port) => load(() => openClientfd("127.0.0.1", port), { lines: 300, ...shape }),
    );
    assertEquals([result.fault, result.lines], [undefined, 300]);
    if (shape.churn) assert(result.opened > 4 && result.opened <= opened, `${result.opened}`);
    else assertEquals([result.opened, opened], [shape.connections, shape.connections]);
  }
});

Deno.test("connections of the warm-up count as little as its lines", async () => {
  const { lines, opened, fault } = await against(
    (connfd) => connfd.readable.pipeTo(connfd.writable),
    (port) => {
      const connect = () => openClientfd("127.0.0.1", port);
      return load(connect, { connections: 4, churn: 2, warmup: 300, time: 60 });
    },
  );
  assertEquals(fault, undefined);
  // For each of the four: one at the beginning, one at the end, and one being replaced.
  assert(opened <= lines / 2 + 3 * 4, `${opened} connections, ${lines} lines`);
});

Deno.test("a wrong byte is found where it is", async () => {
  const fault = await against(
    (connfd) =>
      echo(connfd, (line, number) => {
        if (number === 7) line[20] = 0x7f;
        return line;
      }),
    (port) => faultOf(port, { connections: 1, length: 32 }),
  );
  assertEquals(fault, {
    kind: "corrupt",
    connection: 0,
    byte: 244,
    line: 7,
    message: "corrupt: connection 0, byte 244 (line 7): expected 0x53, got 0x7f",
  });
});

Deno.test("an answer to somebody else is found, and to whom it was", async () => {
  const lines = [0, 1].map(() => Promise.withResolvers<Uint8Array>());
  const fault = await against((connfd, number) =>
    echo(connfd, async (line, i) => {
      if (i !== 0) return line;
      lines[number].resolve(line.slice());
      return await lines[1 - number].promise;
    }), (port) => faultOf(port, { connections: 2 }));
  assertMatch(
    fault!.message,
    /^corrupt: connection 0, byte 4 \(line 0\): expected 0x30, got 0x31 \(of line 0 of connection 1\)$|^corrupt: connection 1, byte 4 \(line 0\): expected 0x31, got 0x30 \(of line 0 of connection 0\)$/,
  );
});

Deno.test("a flipped bit in a number names no line that wasn't sent", async () => {
  for (const at of [0, 6]) { // of connection 10000; line 100000000
    const fault = await against(
      (connfd) => echo(connfd, (line) => line.with(at, line[at] ^ 1)),
      (port) => faultOf(port, { connections: 1 }),
    );
    assertEquals(
      fault!.message,
      `corrupt: connection 0, byte ${at} (line 0): expected 0x30, got 0x31`,
    );
  }
});

Deno.test("an answer that comes twice is found", async () => {
  const twice = (line: Uint8Array) => Uint8Array.of(...line, ...line);
  const serve = (connfd: Deno.TcpConn) => echo(connfd, twice);
  assertEquals(
    (await against(serve, (port) => faultOf(port, { connections: 1 })))!.message,
    "corrupt: connection 0, byte 64 (line 1): expected nothing, got 0x30",
  );
  assertEquals(
    (await against(serve, (port) => faultOf(port, { connections: 1, depth: 2 })))!.message,
    "corrupt: connection 0, byte 78 (line 1): expected 0x31, got 0x30 (of line 0 of connection 0)",
  );
});

Deno.test("one that comes again after the last line is found too", async () => {
  const fault = await against(async (connfd) => {
    await echo(connfd, (line) => line);
    await rioWriten(connfd, Uint8Array.of(0x21));
  }, (port) => faultOf(port, { connections: 1, rate: 1, time: 10, warmup: 0 }));
  assertEquals(
    fault!.message,
    "corrupt: connection 0, byte 64 (line 1): expected nothing, got 0x21",
  );
});

/** A server of each kind of fault, and what the program says and ends with. */
const FAULTS: [
  name: string,
  serve: (connfd: Deno.TcpConn) => Promise<void>,
  code: number,
  line: string,
][] = [
  [
    "corrupts",
    (connfd) => echo(connfd, (line) => line.fill(0x7f, 63)),
    3,
    "load: corrupt: connection 0, byte 63 (line 0): expected 0x0a, got 0x7f\n",
  ],
  [
    "truncates",
    async (connfd) => {
      const line = await new Rio(connfd).readline();
      await rioWriten(connfd, line!.subarray(0, 10));
    },
    4,
    "load: truncated: connection 0, byte 10 (line 0): the peer closed: 10 of 64 bytes came back\n",
  ],
  [
    "hangs",
    async (connfd) => {
      const line = await new Rio(connfd).readline();
      await rioWriten(connfd, line!.subarray(0, 63));
      await connfd.read(new Uint8Array(1));
    },
    7,
    "load: timeout: connection 0, byte 63 (line 0): no byte came back for 0.5 s\n",
  ],
];
for (const [name, serve, code, line] of FAULTS) {
  Deno.test(`a server that ${name} has an exit code and a line of its own`, async () => {
    const { code: ended, stderr } = await against(
      serve,
      (port) => script(port, "--connections=1", "--timeout=0.5"),
    );
    assertEquals([ended, stderr], [
      code,
      `load: 127.0.0.1:${stderr.match(/:(\d+):/)![1]}: 1 connection, ` +
      `1 line of 64 bytes in flight on each, 5 s after 1 s of warm-up\n${line}`,
    ]);
  });
}

Deno.test("a server that resets has an exit code and a line of its own", async () => {
  const server = createServer((socket) => {
    socket.once("data", () => socket.resetAndDestroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const { code, stdout, stderr } = await script(port, "--connections=1");
  assertEquals([code, stdout, stderr.split("\n")[1]], [
    5,
    "",
    "load: reset: connection 0, byte 0 (line 0): Connection reset by peer",
  ]);
  await new Promise((resolve) => server.close(resolve));
});

Deno.test("nobody there: exit code 6; a name that isn't known: 1", async () => {
  const port = freePort();
  const { code, stderr } = await script(port);
  assertEquals(code, 6);
  assertMatch(
    stderr,
    /^load: refused: connection \d+, byte 0 \(line 0\): connect to 127\.0\.0\.1 port \d+: Connection refused$/m,
  );
  const unknown = await runProgram(Program.script("tools/load.ts", "no-such-host.invalid"));
  assertEquals(unknown.code, 1);
  assertMatch(
    unknown.stderr,
    /^load: network: connection \d+, byte 0 \(line 0\): connect to no-such/m,
  );
});

Deno.test("what makes no sense, or has no bound, is refused", async () => {
  for (
    const [args, message] of [
      [["--connections=0"], "--connections must be an integer from 1 to 100000, not 0"],
      [["--length=15"], "--length must be an integer from 16 to 1048576, not 15"],
      [["--workers=51"], "--workers must be an integer from 1 to 50, not 51"],
      [
        ["--seconds=never"],
        "--seconds must be a time such as 10s, 500ms or 2m, 1ms to 1000000s, not never",
      ],
      [
        ["--depth=10000", "--length=10000"],
        "--connections, --depth and --length make 5000000000 bytes in flight, 536870912 at most",
      ],
      [["--on-fault=ignore"], "--on-fault must be stop or count, not ignore"],
      [
        ["--timeout=5h"],
        "--timeout must be a time such as 10s, 500ms or 2m, 1ms to 1000000s, not 5h",
      ],
      [["--lines=0"], "--lines must be an integer from 1 to 1000000000, not 0"],
      [["--source=here"], "--source must be IP addresses, not here"],
      [["--source=127.0.0.1", "--tls"], "--source doesn't go with --tls or --unix"],
      [["--unix=/tmp/x"], "no host, port or --tls goes with --unix=/tmp/x"],
    ] as [string[], string][]
  ) {
    const { code, stdout, stderr } = await script(...args);
    assertEquals([code, stdout, stderr.split("\n")[0]], [2, "", `load: ${message}`]);
  }
});

Deno.test("the report: lines, round trips and their histogram", async () => {
  await using server = await startServer("--concurrency=100", "--quiet");
  const { code, stdout, stderr } = await script(server.port, "--seconds=0.3");
  assertEquals(code, 0);
  assertEquals(
    stderr,
    `load: 127.0.0.1:${server.port}: 50 connections, 1 line of 64 bytes in flight on each, ` +
      "0.3 s after 0.06 s of warm-up\n",
  );
  assertMatch(
    new TextDecoder().decode(bytes(stdout)),
    /^[\d,]+ lines in \d\.\d s: [\d,]+ lines\/s, [\d.]+ MB\/s each way, 50 connections, this client \d+ % busy\nround trip, ms: p50 [\d.]+, p90 [\d.]+, p99 [\d.]+, p99\.9 [\d.]+, max [\d.]+\n\n( *[\d.]+ to +[\d.]+ ms +[\d.]+ %[ █▏▎▍▌▋▊▉]*\n)+$/,
  );
});

Deno.test("at a rate the client doesn't say how busy it was: it polls the clock", async () => {
  await using server = await startServer("--concurrency=100", "--quiet");
  const args = ["--seconds=0.1", "--rate=1000"];
  assert(!text(bytes((await script(server.port, ...args)).stdout)).includes("busy"));
  const { stdout } = await script(server.port, ...args, "--json");
  const { summary } = JSON.parse(stdout.trim().split("\n").at(-1)!);
  assertEquals([summary.rate, summary.busy], [1000, undefined]);
});

Deno.test("--json: a line a second, and the summary, in threads too", async () => {
  await using server = await startServer("--concurrency=100", "--quiet");
  const args = ["--seconds=1.9", "--json", "--workers=2", "--connections=3", "--churn=5"];
  const { code, stdout } = await script(server.port, ...args);
  assertEquals(code, 0);
  const [first, second, { summary }, ...rest] = stdout.trim().split("\n").map((line) =>
    JSON.parse(line)
  );
  assertEquals(rest, []);
  assertEquals(first.lines + second.lines, summary.lines);
  assert(first.seconds >= 1 && second.seconds > first.seconds, JSON.stringify([first, second]));
  for (const { milliseconds } of [first, second, summary]) {
    assertEquals(Object.keys(milliseconds), ["p50", "p90", "p99", "p99.9", "max"]);
    assert(milliseconds.p50 > 0 && milliseconds.p50 <= milliseconds.max);
  }
  const { lines: _l, linesPerSecond: _r, megabytesPerSecond: _m, milliseconds: _t, ...known } =
    summary;
  const { seconds: _s, opened, busy: _b, ...same } = known;
  assert(opened > 3, `${opened}`);
  assertEquals(same, {
    target: `127.0.0.1:${server.port}`,
    connections: 3,
    depth: 1,
    length: 64,
    churn: 5,
    workers: 2,
    timeout: 10,
    unsent: 0,
    fault: null,
    exitCode: 0,
  });
});

Deno.test("a fault in a thread is told as one in the only one", async () => {
  const { code, stdout, stderr } = await against(
    (connfd, number) => echo(connfd, (line) => number === 3 ? line.fill(0x7f, 63) : line),
    (port) => script(port, "--connections=4", "--workers=2", "--json"),
  );
  assertEquals(code, 3);
  assertMatch(
    stderr,
    /^load: corrupt: connection \d, byte 63 \(line 0\): expected 0x0a, got 0x7f$/m,
  );
  const { summary } = JSON.parse(stdout.trim().split("\n").at(-1)!);
  assertEquals([summary.exitCode, summary.fault.kind, summary.fault.byte], [3, "corrupt", 63]);
  const unknown = { p50: null, p90: null, p99: null, "p99.9": null, max: null };
  assertEquals(summary.milliseconds, unknown, "a fault in the warm-up");
});

Deno.test("Ctrl-C ends it at once, though the server hangs", async () => {
  const hang = Promise.withResolvers<Uint8Array>();
  let hangs = false;
  await against((connfd) => echo(connfd, (line) => hangs ? hang.promise : line), async (port) => {
    for (const flags of [[], ["--workers=2"]]) {
      hangs = false;
      await using program = Program.script(
        ...[
          "tools/load.ts",
          "127.0.0.1",
          port,
          "--seconds=600",
          "--timeout=600",
          "--json",
        ] as const,
        ...flags,
      );
      await program.stdout.until(/\n/);
      hangs = true;
      assertEquals(await program.stop("SIGINT"), 130);
      const { summary } = JSON.parse(program.stdout.text.trim().split("\n").at(-1)!);
      assert(summary.lines > 0);
      assertEquals([summary.fault, summary.exitCode], [null, 130]);
    }
    hang.resolve(new Uint8Array(1));
  });
});

Deno.test("a summary that can't be written is no success", LINUX, async () => {
  await using server = await startServer("--concurrency=100", "--quiet");
  for (const json of ["", "--json"]) {
    const load = `tools/load.ts 127.0.0.1 ${server.port} --seconds=0.1 ${json}`;
    const command = `exec ${Deno.execPath()} run --quiet --allow-net ${load} > /dev/full`;
    const { code, stderr } = await runProgram(new Program("sh", ["-c", command]));
    assertEquals(code, 1);
    assertMatch(stderr, /^load: standard output: No space left on device$/m);
  }
});

/** Answers so many lines, and takes the others. */
async function stall(connfd: Deno.TcpConn, lines: number): Promise<void> {
  let number = 0;
  for await (const line of new Rio(connfd)) {
    if (number++ < lines) await rioWriten(connfd, line);
  }
}

Deno.test("a load that ends in a timeout counts what was owed and due, with its age", async () => {
  for (const rate of [undefined, 200]) {
    const { fault, lines, unsent, histogram } = await against(
      (connfd) => stall(connfd, 0),
      (port) => {
        const options = { connections: 1, time: 60_000, warmup: 0, timeout: 300, rate };
        return load(() => openClientfd("127.0.0.1", port), options);
      },
    );
    assertEquals([fault?.kind, lines], ["timeout", 0]);
    assert(rate === undefined ? unsent === 0 : unsent > 50, `${unsent}`);
    assertEquals(histogram.count, 1 + unsent);
    assert(histogram.max >= 300, `${histogram.max}`);
  }
});

Deno.test("with onFault count it connects again, and counts what was lost", async () => {
  const endAfter = async (connfd: Deno.TcpConn, lines: number) => {
    const rio = new Rio(connfd);
    for (let i = 0; i < lines; i++) {
      const line = await rio.readline();
      if (line === null) return;
      await rioWriten(connfd, line);
    }
  };
  const result = await against(
    (connfd, number) => endAfter(connfd, number < 4 ? 10 : Infinity),
    (port) => {
      const shape = { connections: 2, depth: 4, rate: 500, lines: 500 };
      return load(() => openClientfd("127.0.0.1", port), { ...shape, onFault: "count" });
    },
  );
  const { fault, opened, faults, lost, outage, lines, unsent, histogram } = result;
  const { truncated = 0, reset = 0, ...others } = faults;
  assertEquals([fault, opened, truncated + reset, others], [undefined, 6, 4, {}]);
  assert(lost <= 16, `${lost}`);
  assertEquals([lines + lost, unsent, histogram.count], [500, 0, 500]);
  assert(outage > 90, `${outage}`);
});

Deno.test("every kind of fault is counted, and the gravest is the exit code", async () => {
  const args = ["--connections=1", "--lines=200", "--on-fault=count", "--timeout=2s"];
  const run = (...flags: string[]) =>
    against(async (connfd, number) => {
      if (number === 0) await stall(connfd, 10);
      else if (number === 1) await echo(connfd, (line, i) => i < 10 ? line : line.fill(0x7f, 63));
      else if (number === 2) await new Rio(connfd).readline();
      else await echo(connfd, (line) => line);
    }, (port) => script(port, ...args, ...flags));
  const json = await run("--json", "--workers=1");
  const { summary } = JSON.parse(json.stdout.trim().split("\n").at(-1)!);
  assertEquals([json.code, summary.exitCode, summary.fault], [3, 3, null]);
  assertEquals(summary.faults, { timeout: 1, corrupt: 1, truncated: 1 });
  assertEquals([summary.opened, summary.lost, summary.lines], [4, 3, 197]);
  assert(summary.outageSeconds > 0.09);
  const { code, stdout } = await run();
  assertEquals(code, 3);
  assertMatch(
    stdout,
    /^faults: 1 timeout, 1 corrupt, 1 truncated; 3 lines lost; a connection was out of service for [\d.]+ s at most$/m,
  );
});

Deno.test("a server that is away for a while is asked again until it is back", async () => {
  let attempts = 0;
  const { fault, faults, opened, lines, lost, outage } = await against(
    async (connfd, number) => {
      if (number === 0) await new Rio(connfd).readline();
      else await echo(connfd, (line) => line);
    },
    (port) => {
      const connect = () => {
        const away = ++attempts > 1 && attempts < 5;
        const refused = new Deno.errors.ConnectionRefused("Connection refused");
        return away ? Promise.reject(refused) : openClientfd("127.0.0.1", port);
      };
      return load(connect, { connections: 1, lines: 20, onFault: "count" });
    },
  );
  assertEquals([fault, faults], [undefined, { truncated: 1, refused: 3 }]);
  assertEquals([attempts, opened, lines, lost], [5, 2, 19, 1]);
  assert(outage > 390, `${outage}`);
});

Deno.test("so many lines are sent, and no more", async () => {
  for (const rate of [undefined, 10_000]) {
    for (const [connections, lines] of [[3, 100], [4, 3], [1, 1]]) {
      let opened = 0;
      const came: number[] = [];
      const result = await against((connfd) => {
        opened++;
        return echo(connfd, (line) => {
          came.push(line.length);
          return line;
        });
      }, (port) => load(() => openClientfd("127.0.0.1", port), { connections, lines, rate }));
      assertEquals([result.fault, result.lines, came.length], [undefined, lines, lines]);
      assertEquals([result.histogram.count, result.opened, opened], [lines, connections, opened]);
    }
  }
  await using server = await startServer("--concurrency=100", "--quiet");
  const args = ["--lines=1001", "--workers=2", "--connections=3", "--churn=10"];
  const { code, stdout, stderr } = await script(server.port, ...args);
  assertEquals(code, 0);
  assertMatch(stderr, /, 1001 lines in all$/m);
  assertMatch(stdout, /^1,001 lines in /);
});

Deno.test("a number of lines is over when the last is back, though the peer doesn't close", async () => {
  const over = Promise.withResolvers<void>();
  const { lines, time, histogram } = await against(
    async (connfd) => {
      await echo(connfd, (line) => line);
      await over.promise;
    },
    (port) =>
      load(() => openClientfd("127.0.0.1", port), { connections: 1, lines: 30 })
        .finally(over.resolve),
  );
  assertEquals(lines, 30);
  assert(time < 30 * histogram.max + 500, `${time} ms`);
});

Deno.test("times have units", async () => {
  await using server = await startServer("--concurrency=100", "--quiet");
  for (
    const [time, said] of [["100ms", "0.1 s after 0.02 s"], ["0.002m", "0.12 s after 0.024 s"]]
  ) {
    const { code, stderr } = await script(server.port, `--seconds=${time}`, "--timeout=5s");
    assertEquals(code, 0);
    assert(stderr.includes(`, ${said} of warm-up`), stderr);
  }
});

Deno.test("where one connection is served and the others wait, it says so", async () => {
  await against(
    (connfd, number) => number === 0 ? echo(connfd, (line) => line) : stall(connfd, 0),
    async (port) => {
      await using program = Program.script(
        ...["tools/load.ts", "127.0.0.1", port, "--connections=3", "--seconds=10m"],
        ...["--timeout=10m", "--json"],
      );
      await program.stdout.until(/"lines":[1-9]\d/);
      assertEquals(await program.stop("SIGINT"), 130);
      assertMatch(
        program.stderr.text,
        /^load: one connection of 3 was answered, the others waited/m,
      );
    },
  );
});

Deno.test("--source: connects from each address in turn, and knows each fault", LINUX, async () => {
  const from = (port: number) =>
    script(port, "--source=127.0.0.2,127.0.0.3", "--connections=4", "--lines=40");
  const seen: string[] = [];
  const good = await against((connfd) => {
    seen.push(connfd.remoteAddr.hostname);
    return echo(connfd, (line) => line);
  }, from);
  assertEquals([good.code, seen.sort()], [0, ["127.0.0.2", "127.0.0.2", "127.0.0.3", "127.0.0.3"]]);

  const corrupts = await against((connfd) => echo(connfd, (line) => line.fill(0x7f, 63)), from);
  assertEquals(corrupts.code, 3);
  const truncates = await against(async (connfd) => {
    await new Rio(connfd).readline();
  }, from);
  assertEquals(truncates.code, 4);
  const server = createServer((socket) => {
    socket.once("data", () => socket.resetAndDestroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  assertEquals((await from((server.address() as { port: number }).port)).code, 5);
  await new Promise((resolve) => server.close(resolve));
  assertEquals((await from(freePort())).code, 6);
  const foreign = await script(freePort(), "--source=192.0.2.1");
  assertEquals(foreign.code, 1);
  assertMatch(foreign.stderr, /^load: network: .* connect from 192\.0\.2\.1 to 127\.0\.0\.1 port/m);
});

Deno.test("at a rate, a pause of the server counts with all lines that were due in it", async () => {
  const long = async (options: LoadOptions) => {
    const { histogram, fault } = await against((connfd) =>
      echo(connfd, async (line, number) => {
        if (number === 20) await new Promise((resolve) => setTimeout(resolve, 400));
        return line;
      }), (port) =>
      load(() => openClientfd("127.0.0.1", port), {
        connections: 1,
        time: 800,
        warmup: 0,
        ...options,
      }));
    assertEquals(fault, undefined);
    return histogram.between(100, Infinity);
  };
  // One, and those of our own that took so long: eight at most in 800 ms.
  const one = await long({});
  assert(one >= 1 && one < 10, `${one}`);
  const many = await long({ rate: 200 });
  assert(many > 40, `${many} of about 60`);
});

/** One connection that isn't open, at a rate, and what it counts. */
function due(rate: number): { connection: Connection; tally: Tally } {
  const schedule = new Schedule(rate, 1);
  const tally = new Tally();
  const connection = new Connection(0, {
    connect: () => Promise.reject(new Error("never called")),
    connections: 1,
    depth: 1,
    length: 64,
    lines: Infinity,
    churn: Infinity,
    timeout: 1000,
    onFault: "stop",
    maybeSent: () => false,
    schedule,
    tally,
    turns: new Turns(),
  });
  schedule.begin();
  return { connection, tally };
}

Deno.test("lines that were due and could not be sent are counted, each with its time so far", () => {
  for (const rate of [1000, 100_000]) {
    const { connection, tally } = due(rate);
    connection.stop(performance.now() + 100);
    const { unsent, histogram } = tally;
    assert(unsent >= rate / 10, `${unsent} lines`);
    assertEquals(histogram.count, unsent);
    assert(histogram.max >= 100 && histogram.quantile(0.5) < histogram.max);
  }
});

Deno.test("TLS and Unix sockets", async () => {
  const files = ["--cert=tests/tls/cert.pem", "--key=tests/tls/key.pem"];
  await using tls = await startServer("--concurrency=100", "--quiet", ...files);
  const secure = ["--seconds=0.2", "--tls", "--cafile=tests/tls/ca.pem", "--connections=5"];
  assertEquals((await script(tls.port, ...secure, "--churn=7")).code, 0);
  const untrusted = await script(tls.port, "--seconds=0.2", "--tls");
  assertEquals(untrusted.code, 1);
  assertMatch(untrusted.stderr, /^load: network: .*TLS handshake with 127\.0\.0\.1/m);

  const path = `${await Deno.makeTempDir()}/echo.sock`;
  await using unix = Program.script("server.ts", `--unix=${path}`, "--concurrency=100", "--quiet");
  await unix.stderr.until(/^listening/m);
  const args = [`--unix=${path}`, "--seconds=0.2", "--depth=4"];
  assertEquals((await runProgram(Program.script("tools/load.ts", ...args))).code, 0);
});

Deno.test({
  name: "a progress bar on a terminal, and none in a pipe (needs script)",
  ignore: !has("script"),
  async fn() {
    await using server = await startServer("--concurrency=100", "--quiet");
    const run = [
      "run",
      "--quiet",
      "--allow-all",
      "--import-map=tests/npm/import_map.json",
      "tools/load.ts",
    ];
    const args = [...run, "127.0.0.1", `${server.port}`, "--seconds=1"];
    const command = [Deno.execPath(), ...args].join(" ");
    const terminal = new Program("script", ["-qec", command, "/dev/null"]);
    const { code, stdout } = await runProgram(terminal);
    assertEquals(code, 0);
    assertMatch(stdout, /\[#+-*\] \d of 1\.2 s, warm-up/);
    const { stderr } = await runProgram(new Program(Deno.execPath(), args));
    assertEquals(stderr.includes("#"), false);
  },
});

/** Echo servers that others wrote, on a port. */
const PEERS: [program: string, name: string, command: (port: number) => string, many: boolean][] = [
  ["socat", "cat", (port) => `exec socat TCP-LISTEN:${port},fork,reuseaddr EXEC:cat`, true],
  ["socat", "PIPE", (port) => `exec socat TCP-LISTEN:${port},fork,reuseaddr PIPE`, true],
  ["ncat", "cat", (port) => `exec ncat -l 127.0.0.1 ${port} -k -e /bin/cat`, true],
  [
    "nc",
    "a FIFO",
    (port) => `d=$(mktemp -d); mkfifo $d/f; cat $d/f | nc -l 127.0.0.1 ${port} > $d/f`,
    false,
  ],
];
for (const [program, name, command, many] of PEERS) {
  Deno.test({
    name: `load against ${program} and ${name} (needs ${program})`,
    ignore: !has(program),
    async fn() {
      const port = freePort();
      await using _ = new Program("sh", ["-c", command(port)]);
      const connections = many ? 5 : 1;
      // A server that can't say when it listens: until then it refuses.
      const attempt = () =>
        load(() => openClientfd("127.0.0.1", port), { connections, lines: 100 });
      let result = await attempt();
      while (result.fault?.kind === "refused") result = await attempt();
      assertEquals([result.fault, result.lines], [undefined, 100]);
    },
  });
}
