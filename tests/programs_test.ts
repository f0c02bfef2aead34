/** The two programs as their users run them: processes, sockets, exit codes. */
import { Buffer } from "node:buffer";
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { openListenfd } from "@netp/rio/server";
import { parseFlags, UsageError } from "../cli/flags.ts";
import { TARGET, toTarget } from "../client/target.ts";
import { COMMAND_LINE, serverFlags } from "../server/command_line.ts";
import {
  fillQueue,
  has,
  noise,
  Program,
  PYTHON,
  PYTHON3,
  ROOT,
  runProgram,
  startServer,
  tempDir,
} from "./helpers.ts";

const client = (...args: (string | number)[]) => Program.script("client.ts", ...args);

Deno.test("client and server print what the C programs print", async () => {
  await using server = await startServer();
  const input = "hello\n\nworld, no newline";
  assertEquals(await runProgram(client("127.0.0.1", server.port), input), {
    code: 0,
    stdout: input,
    stderr: "",
  });
  assertEquals(await server.stop(), 0);
  assertMatch(
    server.stdout.text,
    /^Connected to \(127\.0\.0\.1, \d+\)\nserver received 6 bytes\nserver received 1 bytes\nserver received 17 bytes\n$/,
  );
  assertMatch(
    server.stderr.text,
    /^listening on \[::\]:\d+ \(concurrency 1, backlog 1024\)\nserver: SIGTERM: 0 connections left, 5 s of grace\nserver: 1 connection, 3 lines, 24 bytes in \d+\.\d s\n$/,
  );
});

Deno.test("IPv6 clients are shown with their address, and --host is obeyed", async () => {
  await using server = await startServer("--host=::1", "--backlog=7");
  const { stdout } = await runProgram(client("::1", server.port), "hi\n");
  assertEquals(stdout, "hi\n");
  await server.stdout.until(/^Connected to \(::1, \d+\)$/m);
  assertMatch(
    server.stderr.text,
    /^listening on \[::1\]:\d+ \(concurrency 1, backlog 7\)$/m,
  );
});

Deno.test("--names prints the names of host and service, --quiet nothing", async () => {
  await using named = await startServer("--names");
  const hosts = await Deno.readTextFile("/etc/hosts").catch(() => "");
  const name = /^127\.0\.0\.1\s+(\S+)/m.exec(hosts)?.[1] ?? "127.0.0.1";
  await runProgram(client("127.0.0.1", named.port), "hi\n");
  await named.stop();
  assertMatch(named.stdout.text, new RegExp(`^Connected to \\(${name}, `));

  await using quiet = await startServer("--quiet");
  const { stdout } = await runProgram(client("127.0.0.1", quiet.port), "hi\n");
  assertEquals(stdout, "hi\n");
  await quiet.stop();
  assertEquals(quiet.stdout.text, "");
  assertMatch(quiet.stderr.text, /1 connection, 1 line, 3 bytes/);
});

Deno.test("the second client waits until the first one closes", async () => {
  await using server = await startServer();
  await using first = client("127.0.0.1", server.port);
  await first.write("1\n");
  await first.stdout.until(/^1\n$/);
  await using second = client("127.0.0.1", server.port);
  await second.write("two\n");
  for (const i of [2, 3, 4]) {
    await first.write(`${i}\n`);
    await first.stdout.until(new RegExp(`^${i}$`, "m"));
  }
  assertEquals(second.stdout.text, "");
  assertEquals(await first.code(), 0);
  await second.stdout.until(/^two\n$/);
  assertEquals(await second.code(), 0);
  await server.stop();
  assertMatch(
    server.stdout.text,
    /^Connected to .*\n(server received 2 bytes\n){4}Connected to .*\nserver received 4 bytes\n$/,
  );
});

Deno.test("a file of 20 MB of random bytes comes back identical", async () => {
  await using server = await startServer();
  const dir = await Deno.makeTempDir();
  try {
    const data = noise(20_000_000);
    await Deno.writeFile(`${dir}/in`, data);
    const deno = Deno.execPath();
    const command = `"${deno}" run -q --allow-net client.ts 127.0.0.1 ${server.port}`;
    await using shell = new Program("sh", [
      "-c",
      `${command} < "${dir}/in" > "${dir}/out"`,
    ]);
    assertEquals(await shell.code(), 0);
    const back = await Deno.readFile(`${dir}/out`);
    assertEquals(back.length, data.length);
    assert(Buffer.from(back.buffer).equals(data));
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

const USAGE_ERRORS: [program: "server" | "client", args: string, message: string][] = [
  ["server", "70000", "port must be an integer from 0 to 65535, not 70000"],
  [
    "server",
    "--concurrency=0",
    "--concurrency must be an integer from 1 to 1000000, not 0",
  ],
  [
    "server",
    "--grace=soon",
    "--grace must be seconds from 0 to 1000000, not soon",
  ],
  ["client", "localhost 0", "port must be an integer from 1 to 65535, not 0"],
  ["server", "--cert=c.pem", "--cert and --key go together"],
  ["server", "--unix=u 7", "port 7 doesn't go with --unix=u"],
  ["server", "--unix=u --workers=2", "--workers doesn't go with --unix=u"],
  [
    "server",
    "--workers=0",
    "--workers must be an integer from 1 to 1024, not 0",
  ],
  [
    "server",
    "--idle-timeout=0",
    "--idle-timeout must be seconds from 0.001 to 1000000, not 0",
  ],
  ["client", "--unix=u localhost", "no host, port or --tls goes with --unix=u"],
  ["client", "--cafile=c.pem", "--cafile=c.pem goes with --tls"],
  ["client", "localhost:99999", "port must be an integer from 1 to 65535, not 99999"],
  ...["localhost:echo", "http://localhost", "localhost:7 7", "[::1]:7 7", "[127.0.0.1]", "a:b:c"]
    .map((
      args,
    ): ["client", string, string] => [
      "client",
      args,
      `the host must be a name or an address, without a port, not ${args.split(" ")[0]}`,
    ]),
  ...["127.0.0.1:7", "[::1]:7", "[::1", "[127.0.0.1]", "a/b", "[::1::]"].map((
    host,
  ): ["server", string, string] => [
    "server",
    `--host=${host}`,
    `--host must be a name or an address, without a port, not ${host}`,
  ]),
];
const PARSED = {
  server: (args: string[]) => serverFlags(parseFlags(args, COMMAND_LINE)),
  client: (args: string[]) => toTarget(parseFlags(args, { ...COMMAND_LINE, ...TARGET })),
};
for (const [program, args, message] of USAGE_ERRORS) {
  Deno.test(`${program} ${args}: a usage error`, async () => {
    const parse = async () => await PARSED[program](args.split(" "));
    assertEquals((await assertRejects(parse, UsageError)).message, message);
  });
}

Deno.test("a usage error is told with the usage line, and is exit code 2", async () => {
  for (
    const [program, args, message] of [
      ["server", "--backlog=-1", "--backlog must be an integer from 1 to 65535, not -1"],
      ["client", "--timeout=0", "--timeout must be seconds from 0.001 to 1000000, not 0"],
      [
        "client",
        "--connect-timeout=x",
        "--connect-timeout must be seconds from 0.001 to 1000000, not x",
      ],
    ]
  ) {
    const { code, stdout, stderr } = await runProgram(Program.script(`${program}.ts`, args));
    assertEquals([code, stdout], [2, ""]);
    const [first, usage, ...more] = stderr.split("\n");
    assertEquals(first, `${program}: ${message}`);
    assertMatch(usage, new RegExp(`^usage: ${program}.ts \\[`));
    assertEquals(more, [""]);
  }
});

for (const program of ["server", "client"]) {
  Deno.test(`${program} --help and --version`, async () => {
    const script = (flag: string) => runProgram(Program.script(`${program}.ts`, flag));
    const help = await script("--help");
    assertEquals([help.code, help.stderr], [0, ""]);
    assertEquals(await script("-h"), help);
    const usage = help.stdout.split("\n")[0];
    for (const [flag] of usage.matchAll(/--[\w-]+/g)) {
      assertMatch(help.stdout, new RegExp(`^  .*${flag}.{2,}`, "m"));
    }
    const version = await script("--version");
    assertEquals(version.code, 0);
    assertMatch(
      version.stdout,
      new RegExp(`^${program} \\d+\\.\\d+\\.\\d+\n$`),
    );
  });
}

/** Runs a program that must fail with one line on standard error. */
async function fails(
  program: Program,
  message: RegExp | string,
  input = "",
): Promise<void> {
  const { code, stderr } = await runProgram(program, input);
  assertEquals(code, 1);
  if (typeof message === "string") assertEquals(stderr, `${message}\n`);
  else assertMatch(stderr, message);
}

Deno.test("a taken port: one line, exit code 1", async () => {
  using listenfd = openListenfd(0);
  const { port } = listenfd.addr;
  await fails(
    Program.script("server.ts", port),
    `server: listen on [::]:${port}: Address already in use`,
  );
});

Deno.test({
  name: "a privileged port: one line, exit code 1 (needs setpriv)",
  ignore: !has("setpriv"),
  async fn() {
    const args = ["run", "-q", "--allow-net", "server.ts", "1"];
    await fails(
      new Program("setpriv", [
        ...Deno.uid() === 0 ? ["--bounding-set=-net_bind_service"] : [],
        Deno.execPath(),
        ...args,
      ]),
      "server: listen on [::]:1: Permission denied",
    );
  },
});

Deno.test("a connect that is never answered: one line, exit code 1", async () => {
  using listenfd = openListenfd(0, { host: "127.0.0.1", backlog: 1 });
  const { port } = listenfd.addr;
  const [queued] = await fillQueue(port);
  await fails(
    client("127.0.0.1", port, "--connect-timeout=0.2"),
    `client: connect to 127.0.0.1 port ${port}: no answer within 0.2 s`,
  );
  for (const clientfd of queued) clientfd.close();
});

Deno.test("a server that never echoes: --timeout, one line, exit code 1", async () => {
  using listenfd = openListenfd(0, { host: "127.0.0.1" });
  for (const lockstep of [[], ["--lockstep"]]) {
    await fails(
      client("127.0.0.1", listenfd.addr.port, "--timeout=0.2", ...lockstep),
      "client: no answer for 0.2 s: 0 of 6 bytes came back",
      "hello\n",
    );
  }
});

Deno.test("a reader of standard output that goes away ends the client quietly", async () => {
  await using server = await startServer();
  await using program = client("127.0.0.1", server.port);
  await program.write("y\n");
  await program.stdout.until(/^y\n$/);
  await program.stdout.cancel();
  let code: number | undefined;
  const ended = program.process.status.then((status) => code = status.code);
  while (code === undefined) {
    await program.write("y\n".repeat(1000)).catch(() => ended);
  }
  await program.code();
  assertEquals([code, program.stderr.text], [0, ""]);
});

for (const kind of ["pipe", "unix", "pty"]) {
  Deno.test({
    name: `standard output is written once, whoever makes it non-blocking: ${kind} (needs python3)`,
    ...PYTHON,
    async fn() {
      await using python = new Program(PYTHON3, [
        "tests/flip.py",
        kind,
        Deno.execPath(),
        ..."run -q --allow-net".split(" "),
      ]);
      assertEquals([await python.code(), python.stderr.text], [0, ""]);
    },
  });
}

Deno.test("the programs run from a URL with an empty cache, no registry asked", async () => {
  const asked: string[] = [];
  await using web = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    async (request) => {
      const path = new URL(request.url).pathname;
      asked.push(path);
      const source = await Deno.readTextFile(ROOT + path).catch(() => null);
      return source === null ? new Response(null, { status: 404 }) : new Response(source, {
        headers: { "content-type": "application/typescript" },
      });
    },
  );
  const origin = `http://127.0.0.1:${web.addr.port}`;
  const dir = await Deno.makeTempDir();
  try {
    const env = {
      DENO_DIR: dir,
      JSR_URL: `${origin}/jsr/`,
      NPM_CONFIG_REGISTRY: `${origin}/npm/`,
    };
    const script = (name: string, ...args: string[]) =>
      new Program(Deno.execPath(), [
        "run",
        "--no-config",
        "--allow-net",
        `--allow-import=127.0.0.1:${web.addr.port}`,
        `${origin}/${name}`,
        ...args,
      ], env);
    await using server = script("server.ts", "0");
    const [, port] = await server.stderr.until(/^listening on .*:(\d+) \(/m);
    const { code, stdout } = await runProgram(
      script("client.ts", "127.0.0.1", port),
      "from afar\n",
    );
    assertEquals([code, stdout], [0, "from afar\n"]);
    assertEquals(await server.stop(), 0);
    const modules = [...new Set(asked)].sort();
    assertEquals(modules.filter((path) => /jsr|npm/.test(path)), [], "no registry");
    for (const path of ["/client.ts", "/rio.ts", "/server.ts"]) {
      assert(modules.includes(path), path);
    }

    for (const name of ["server", "client", "tools/judge", "tools/load", "tools/lecture"]) {
      const { code, stdout } = await runProgram(script(`${name}.ts`, "--help"));
      assertEquals([code, stdout.startsWith("usage: ")], [0, true], name);
      const mistyped = await runProgram(script(`${name}.ts`, "--hepl"));
      assertEquals(mistyped.code, 2);
      assertMatch(mistyped.stderr, /no such flag: --hepl \(did you mean --help\?\)\n/);
    }
    assertEquals(asked.filter((path) => /jsr|npm/.test(path)), [], "no registry, with flags");
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("the client takes HOST PORT, HOST:PORT and PORT", async () => {
  await using server = await startServer("--concurrency=9");
  const { port } = server;
  for (const args of [["127.0.0.1", port], [`127.0.0.1:${port}`], [`[::1]:${port}`], [port]]) {
    const { code, stdout } = await runProgram(client(...args), "hi\n");
    assertEquals([code, stdout], [0, "hi\n"], `${args}`);
  }
});

Deno.test({
  name:
    "at a terminal Ctrl-D ends the client: twice behind a line without a newline (needs python3)",
  ...PYTHON,
  async fn() {
    await using server = await startServer("--concurrency=9");
    const script = `
import os, pty, select, sys
def run(keys, expected):
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(sys.argv[1], sys.argv[1:])
    out = b""
    for key, until in keys:
        os.write(fd, key)
        while out.count(b"abc") < until:
            out += os.read(fd, 100)
    # A third Ctrl-D isn't sent: it must end by itself.
    assert select.select([fd], [], [], 20)[0], "it goes on"
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code == expected, code
run([(b"abc\\n", 2), (b"\\x04", 2)], 0)
run([(b"abc", 1), (b"\\x04", 1), (b"\\x04", 2)], 0)
`;
    await using python = new Program(PYTHON3, [
      "-c",
      script,
      Deno.execPath(),
      ..."run -q --allow-net client.ts 127.0.0.1".split(" "),
      `${server.port}`,
    ]);
    assertEquals([await python.code(), python.stderr.text], [0, ""]);
  },
});

Deno.test("with silent registries and an empty cache every flag works, and nobody is asked", async () => {
  using listenfd = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const conns: Deno.Conn[] = [];
  const accepting = (async () => {
    for (;;) conns.push(await listenfd.accept());
  })().catch(() => {});
  await using dir = await tempDir();
  const registry = `http://127.0.0.1:${listenfd.addr.port}/`;
  const env = {
    DENO_DIR: dir.path,
    JSR_URL: registry,
    NPM_CONFIG_REGISTRY: registry,
    DENO_NO_UPDATE_CHECK: "1",
  };
  const script = (args: string) =>
    new Program(Deno.execPath(), `run -q --allow-net --allow-run ${args}`.split(" "), env);
  await using server = script("server.ts 0 --quiet --host=127.0.0.1");
  const [, port] = await server.stderr.until(/^listening on .*:(\d+) \(/m);
  for (
    const args of [
      `client.ts --lockstep 127.0.0.1 ${port}`,
      `tools/load.ts --seconds=0.1 --connections=1 127.0.0.1 ${port}`,
      "tools/judge.ts --only=empty --list",
      "tools/lecture.ts --fast",
    ]
  ) {
    const { code, stderr } = await runProgram(script(args), "hello\n");
    assertEquals(code, 0, `${args}: ${stderr}`);
  }
  assertEquals(await server.stop(), 0);
  assertEquals(conns.length, 0, "nobody was asked");
  listenfd.close();
  await accepting;
});
