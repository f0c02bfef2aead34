/** Access to server.ts: --proxy-protocol, --allow, --per-client. */
import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { rioWriten } from "@netp/rio/rio";
import { UsageError } from "../cli/flags.ts";
import { serverFlags } from "../server/command_line.ts";
import { blockList, ClientCounts } from "../server/gate.ts";
import {
  bytes,
  Client,
  connect,
  LINUX,
  Program,
  PYTHON,
  PYTHON3,
  runProgram,
  startServer,
  tempDir,
} from "./helpers.ts";

const SIGNATURE = "\r\n\r\n\0\r\nQUIT\n";
const PROXY = `${SIGNATURE}\x21\x11\0\x0c\xc0\0\x02\x03\x7f\0\0\x01\0\x03\0\x01`;
const LOCAL = `${SIGNATURE}\x20\0\0\0`;

/** A connection on which a header has been sent. */
async function connectBehind(port: number, header: string): Promise<Client> {
  const client = await connect(port);
  await rioWriten(client.fd, bytes(header));
  return client;
}

/** The line of version 1 for a client. */
function line(host: string, port = 1000): string {
  const [family, to] = host.includes(":") ? ["TCP6", "::1"] : ["TCP4", "127.0.0.1"];
  return `PROXY ${family} ${host} ${to} ${port} 15213\r\n`;
}

for (const flags of [["--concurrency=9"], ["--workers=2", "--concurrency=9"]]) {
  Deno.test(`--proxy-protocol shows the clients that headers name (${flags[0]})`, async () => {
    await using server = await startServer("--proxy-protocol=127.0.0.1", ...flags);
    const headers = [
      [line("192.0.2.1", 56324), "192.0.2.1, 56324"],
      [line("2001:DB8::1", 1), "2001:db8::1, 1"],
      [line("::ffff:192.0.2.2", 2), "192.0.2.2, 2"],
      [
        `${SIGNATURE}\x21\x11\0\x0f\xc0\0\x02\x03\x7f\0\0\x01\0\x03\0\x01\x04\0\0`, // and a TLV
        "192.0.2.3, 3",
      ],
      [
        `${SIGNATURE}\x21\x31\0\xd8${"/run/client".padEnd(108, "\0")}${
          "/run/\necho".padEnd(108, "\0")
        }`,
        "localhost, /run/?echo",
      ],
    ];
    for (const [header, shown] of headers) {
      using client = await connectBehind(server.port, header);
      await client.ask("hello\n");
      await client.fd.closeWrite();
      await client.askEnd();
      await server.stdout.until(/received 6 bytes\n$/);
      assertEquals(server.stdout.text, `Connected to (${shown})\nserver received 6 bytes\n`);
      server.stdout.text = "";
    }
    assertEquals(await server.stop(), 0);
    assertMatch(server.stderr.text, /server: 5 connections, 5 lines, 30 bytes/);
  });
}

Deno.test("UNKNOWN and LOCAL leave the address of the connection", async () => {
  await using server = await startServer("--proxy-protocol=127.0.0.1");
  for (const header of ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN ::1 ::1 1 2\r\n", LOCAL]) {
    using client = await connectBehind(server.port, header);
    await client.ask();
    await server.stdout.until(/bytes\n$/);
    const { port } = client.fd.localAddr as Deno.NetAddr;
    assertEquals(
      server.stdout.text,
      `Connected to (127.0.0.1, ${port})\nserver received 6 bytes\n`,
    );
    server.stdout.text = "";
  }
});

for (const rules of [[], ["--allow=198.51.100.0/24"]]) {
  Deno.test(`a health check, which closes without a byte of its own, prints nothing ${rules}`, async () => {
    await using server = await startServer("--proxy-protocol=127.0.0.1", ...rules);
    const clients = rules.length > 0 ? [line("127.0.0.1")] : [line("192.0.2.1"), PROXY];
    for (const header of ["", LOCAL, "PROXY UNKNOWN\r\n", ...clients]) {
      using check = await connectBehind(server.port, header);
      await check.fd.closeWrite();
      await check.askEnd();
    }
    assertEquals(await server.stop(), 0);
    assertEquals(server.stdout.text, "");
    assertEquals(server.stderr.text.match(/^server: .*$/gm)!.length, 2); // the signal, the summary
  });
}

Deno.test({
  name: "nor does a health check that resets its connection (needs python3)",
  ...PYTHON,
  async fn() {
    await using server = await startServer("--proxy-protocol=127.0.0.1");
    const program = new Program(PYTHON3, [
      "-c",
      `import socket, struct
for i in range(50):
    s = socket.create_connection(("127.0.0.1", ${server.port}))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if i % 2: s.sendall(b"PROXY TCP4 192.0.2.9 192.0.2.1 1 2\\r\\n")
    s.close()`,
    ]);
    assertEquals(await runProgram(program), { code: 0, stdout: "", stderr: "" });
    using client = await connectBehind(server.port, line("192.0.2.1"));
    await client.ask();
    await client.fd.closeWrite();
    await client.askEnd();
    await server.stop();
    assertEquals(server.stdout.text, "Connected to (192.0.2.1, 1000)\nserver received 6 bytes\n");
    assertEquals(server.stderr.text.match(/^server: .*$/gm)!.length, 2);
  },
});

Deno.test("an invalid PROXY header ends the connection, in one line", async () => {
  await using server = await startServer("--proxy-protocol=::/0,127.0.0.1");
  const wrong: [input: string, told: string][] = [
    ["hello\n", 'it begins with "hello\\n"'],
    ["PROXY TCP4 1.2.3.4 5.6.7.8 1 99999\r\n", 'no port: "99999"'],
    [`${SIGNATURE}\x31\x11\0\0`, "version 3, not 2"],
    ["PROXY TCP4 1.2.3.4 5.6", "the connection ended before its end"],
  ];
  for (const [input, told] of wrong) {
    using client = await connectBehind(server.port, input);
    await client.fd.closeWrite().catch(() => {}); // it may have been reset already
    await client.askEnd();
    const { port } = client.fd.localAddr as Deno.NetAddr;
    const [fault] = await server.stderr.until(new RegExp(`^server: 127.0.0.1:${port}: .*\n`, "m"));
    assertEquals(fault, `server: 127.0.0.1:${port}: Cannot read a PROXY header: ${told}\n`);
  }
  assertEquals(server.stdout.text, "");
});

Deno.test("a PROXY header has three seconds, and then the next is served", async () => {
  await using server = await startServer("--proxy-protocol=127.0.0.1");
  using silent = await connectBehind(server.port, "PROXY TCP4 ");
  using next = await connectBehind(server.port, line("192.0.2.1"));
  await silent.askEnd();
  await server.stderr.until(/: no PROXY header for 3 s\n/);
  await next.ask();
});

Deno.test("only the addresses of --proxy-protocol may send headers", async () => {
  await using server = await startServer("--proxy-protocol=127.0.0.2,10.0.0.0/8", "--stats");
  using client = await connectBehind(server.port, line("10.0.0.1"));
  await client.askEnd();
  await server.stderr.until(
    /^server: 127\.0\.0\.1:\d+: refused: its address isn't in --proxy-protocol\n/m,
  );
  await server.stop();
  assertEquals(server.stdout.text, "");
  assertMatch(server.stderr.text, /"closed":\{.*"refused":1/);
});

Deno.test("--allow lets addresses in, and refuses others at once, in one line", async () => {
  await using server = await startServer("--allow=::1,127.0.0.0/8");
  using client = await connect(server.port);
  await client.ask();

  await using other = await startServer("--allow=192.0.2.0/24", "--stats");
  using refused = await connect(other.port);
  await refused.askEnd();
  await other.stderr.until(/^server: 127\.0\.0\.1:\d+: refused: its address isn't in --allow\n/m);
  await other.stop();
  assertEquals(other.stdout.text, "");
  assertMatch(other.stderr.text, /"accepted":1,"active":0,.*"refused":1/);
});

Deno.test("--allow and --per-client go by the clients that headers name", async () => {
  await using server = await startServer(
    "--proxy-protocol=127.0.0.1",
    "--allow=192.0.2.0/24",
    "--per-client=2",
    "--concurrency=9",
  );
  const come = (host: string, port: number) => connectBehind(server.port, line(host, port));
  using first = await come("192.0.2.1", 1);
  await first.ask();
  using second = await come("192.0.2.1", 2);
  await second.ask();

  using third = await come("192.0.2.1", 3);
  await third.askEnd();
  await server.stderr.until(/^server: 192\.0\.2\.1:3: refused: its address has 2 connections\n/m);
  // The same address within IPv6 is the same client.
  using mapped = await come("::ffff:192.0.2.1", 4);
  await mapped.askEnd();
  await server.stderr.until(/^server: 192\.0\.2\.1:4: refused: its address has 2 connections\n/m);
  using foreign = await come("198.51.100.1", 5);
  await foreign.askEnd();
  await server.stderr.until(/^server: 198\.51\.100\.1:5: refused: its address isn't in --allow\n/m);
  using other = await come("192.0.2.2", 6);
  await other.ask();

  // One that closes makes room.
  await first.fd.closeWrite();
  await first.askEnd();
  using fourth = await come("192.0.2.1", 7);
  await fourth.ask();
});

Deno.test("clients that are refused hold up nobody, though they say nothing", async () => {
  await using server = await startServer(
    "--proxy-protocol=127.0.0.1",
    "--per-client=1",
    "--concurrency=2",
  );
  const silent = [];
  for (let i = 0; i < 100; i++) silent.push(await connectBehind(server.port, line("192.0.2.1")));
  using client = await connectBehind(server.port, line("192.0.2.2"));
  await client.ask();
  for (const other of silent) other[Symbol.dispose]();
});

Deno.test("a client that is closed before its first byte gives back its place", async () => {
  await using server = await startServer(
    "--proxy-protocol=127.0.0.1",
    "--per-client=1",
    "--idle-timeout=0.1",
    "--concurrency=9",
  );
  using silent = await connectBehind(server.port, line("192.0.2.1"));
  await silent.askEnd();
  using client = await connectBehind(server.port, line("192.0.2.1"));
  await client.ask();
});

Deno.test("ClientCounts counts each IPv4 address and IPv6 prefix, and who goes makes room", () => {
  const take = (counts: ClientCounts, ...hosts: string[]) =>
    hosts.map((host) => counts.take(host) !== undefined);
  const counts = new ClientCounts({ max: 1, prefix: 64 });
  const place = counts.take("192.0.2.1");
  assertEquals(take(counts, "192.0.2.1", "192.0.2.2"), [false, true]);
  place?.[Symbol.dispose]();
  assertEquals(take(counts, "192.0.2.1", "192.0.2.1"), [true, false]);

  const hosts = ["2001:db8::1", "2001:db8::2:0:0:1", "2001:db8:0:1::", "fe80::1%eth0", "fe80::2"];
  assertEquals(take(counts, ...hosts), [true, false, true, true, false]);
  assertEquals(take(new ClientCounts({ max: 1, prefix: 128 }), ...hosts, "2001:DB8::1"), [
    ...Array(5).fill(true),
    false,
  ]);
  assertEquals(take(new ClientCounts({ max: 2, prefix: 32 }), ...hosts.slice(0, 3)), [
    true,
    true,
    false,
  ]);
  assertEquals(take(new ClientCounts({ max: 1, prefix: 96 }), "::1", "::1.2.3.4"), [true, false]);
});

Deno.test("blockList knows addresses and blocks of them", () => {
  const cases: [list: string, inside: string[], outside: string[]][] = [
    ["192.0.2.1", ["192.0.2.1"], ["192.0.2.2", "::1"]],
    ["192.0.2.9/24", ["192.0.2.0", "192.0.2.255"], ["192.0.3.0"]],
    ["0.0.0.0/0", ["192.0.2.1", "255.255.255.255"], ["::1"]],
    ["::ffff:10.0.0.0/104", ["10.255.255.255"], ["11.0.0.0"]],
    ["::ffff:10.0.0.1", ["10.0.0.1"], ["10.0.0.2"]],
    ["2001:DB8::/32,::1", ["2001:db8:ffff::1", "::1"], ["2001:db9::", "::2"]],
  ];
  for (const [list, inside, outside] of cases) {
    const blocks = blockList(list);
    const check = (host: string) => blocks.check(host, host.includes(":") ? "ipv6" : "ipv4");
    assertEquals([list, ...inside.filter((host) => !check(host))], [list]);
    assertEquals([list, ...outside.filter(check)], [list]);
  }
});

Deno.test("invalid values and combinations are usage errors", async () => {
  const check = (values: Record<string, string>, told: string) =>
    assertThrows(
      () => serverFlags({ positionals: [], values, set: new Set() }),
      UsageError,
      told,
    );
  const wrong = [
    "10.0.0.0/33",
    "10.0.0",
    "::/129",
    "::ffff:10.0.0.0/95",
    "1.2.3.4/08",
    "fe80::1%lo",
  ];
  for (const name of ["allow", "proxy-protocol"]) {
    for (const block of wrong) {
      check({ [name]: `::1,${block}` }, `--${name} must be addresses or CIDR blocks, not ${block}`);
    }
    check({ [name]: "::1," }, `--${name} must be addresses or CIDR blocks, not ::1,`);
  }
  check({ "per-client": "0" }, "--per-client must be an integer from 1 to 1000000, not 0");
  check({ "per-client": "1/64/3" }, "--per-client must be N or N/BITS, not 1/64/3");
  check({ "per-client": "1/129" }, "--per-client: BITS must be an integer from 1 to 128, not 129");
  for (const name of ["allow", "per-client", "proxy-protocol"]) {
    check(
      { [name]: "1.2.3.4".slice(0, name === "per-client" ? 1 : 7), unix: "echo.sock" },
      `--${name} doesn't go with --unix=echo.sock`,
    );
  }
  const { code, stderr } = await runProgram(Program.script("server.ts", "--allow=host"));
  assertEquals(
    [code, stderr.split("\n")[0]],
    [2, "server: --allow must be addresses or CIDR blocks, not host"],
  );
});

Deno.test({
  ...LINUX,
  name:
    "--proxy-protocol=unix: a balancer behind a Unix socket shows its clients, rules apply to them",
  async fn() {
    await using dir = await tempDir();
    const path = `${dir.path}/echo.sock`;
    const flags = [`--unix=${path}`, "--proxy-protocol=unix", "--allow=192.0.2.0/24", "--stats"];
    await using server = Program.script("server.ts", ...flags);
    await server.stderr.until(/^listening on/m);
    for (const host of ["192.0.2.1", "198.51.100.1"]) {
      using client = new Client(await Deno.connect({ transport: "unix", path }));
      await rioWriten(client.fd, bytes(line(host)));
      await rioWriten(client.fd, bytes("hello\n"));
      await client.fd.closeWrite();
      await new Response(client.fd.readable).text().catch(() => {});
    }
    assertEquals(await server.stop(), 0);
    assertEquals(server.stdout.text, "Connected to (192.0.2.1, 1000)\nserver received 6 bytes\n");
    assertMatch(server.stderr.text, /"refusals":\{"allow":1,"per-client":0,"proxy-protocol":0\}/);
  },
});
