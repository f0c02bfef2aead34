/** judge: each case is failed by a server that is wrong in just this, and by no good one. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { CLIENT_CASES, ClientTrial } from "../tools/judge/client.ts";
import { CASES } from "../tools/judge/cases.ts";
import { Started } from "../tools/judge/process.ts";
import { longLine } from "../tools/judge/bytes.ts";
import { STARTED } from "../tools/judge/started.ts";
import { type Result, tryAll } from "../tools/judge/run.ts";
import { Trial } from "../tools/judge/trial.ts";
import { freePort, has, Program, ROOT, runProgram, startServer } from "./helpers.ts";
import { EchoServer, type Wrong } from "./judge/servers.ts";

/** Milliseconds that a wait of a trial may take here. */
const TIMEOUT = 2000;
/** Trials that run at once. */
const AT_ONCE = 12;
/** The cases of a server that runs already. */
const RUNNING = CASES.filter((c) => !STARTED.includes(c));

/** A server that says something else for one line. */
const says = (line: string, instead: string): Wrong => ({
  line: (l) => l === line ? instead : l,
});

/** Doesn't answer the next client when so many have sent nothing. */
function failsNext(from: number): Wrong["line"] {
  let failed = false;
  return (line, silent) => {
    if (failed || silent < from || line !== "the next client\n") return line;
    failed = true;
    return "";
  };
}

// The name of each case, and a server that breaks its promise and no other.
const WRONG: Record<string, Wrong> = {
  "a line comes back": says("hello, world\n", "hello yourself\n"),
  "the next client is served": { away: 1 },
  "line after line comes back": says("line 60 of 100\n", ""),
  "an empty line comes back": says("\n", ""),
  "a thousand lines in one write come back": says("this is line 777\n", ""),
  "a line that comes a byte at a time comes back": { reads: 30 },
  "a line in two halves, a second apart, comes back": says(
    "the first half, the second half\n",
    "the second half\n",
  ),
  "lines of MAXLINE - 2 to MAXLINE + 1 bytes come back": {
    line: (line) => line.length === 8191 ? `${line.slice(0, -1)}\0` : line,
  },
  "a line of 100 KB comes back": { line: (line) => line.slice(0, 65_535) },
  "every byte value comes back": {
    line: (line) => line.replace(/[\x80-\xff]/g, "?"),
  },
  "NUL comes back": { line: (line) => line.replace(/\0.*/, "") },
  "\\r\\n comes back as it was": { line: (line) => line.replace("\r\n", "\n") },
  "a client that reads late gets every byte": says("this is line 12345\n", ""),
  "nothing comes back but what was sent, in order": {
    last: (lines) => lines === 20_000 ? "\n" : "",
  },
  "FIN at once is answered by FIN": { closes: (lines) => lines > 0 },
  "lines, then FIN: all come back, then FIN": says("this is line 2345\n", ""),
  "a last line without a newline comes back": {
    line: (line) => line.endsWith("\n") ? line : "",
  },
  "after 200 that connect and close the next client is served": {
    line: failsNext(100),
  },
  "after one that said nothing the next client is served": {
    iterative: true,
    line: failsNext(202),
  },
  "500 clients, one after the other, are served": {
    turns: ({ long, lines }) => lines === 1 && long === 450,
  },
  "a client that has to wait is served in the end": says("number 2\n", ""),
  "half a line holds up nobody else": { locks: true },
  "each client gets its own bytes": {
    line: (line) => line.replace(/^B+\n/, (bs) => bs.replaceAll("B", "A")),
  },
  "clients that come at once are all served": says("at once 2\n", ""),
  "four clients may wait to be accepted": { iterative: true, backlog: 2 },
  "each address that it listens on is served": says("IPv6\n", ""),
  "after RST in the middle of a line the next client is served": {
    turns: ({ half, failed }) => failed === "read" && half,
  },
  "after RST before accept the next client is served": {
    iterative: true,
    turns: ({ lines, failed }) => failed !== undefined && lines === 0,
  },
  "after a close with unread bytes the next client is served": {
    turns: ({ lines, half, failed }) => failed === "read" && lines === 1 && !half,
  },
  "after a client that vanishes while it is written to the next is served": {
    iterative: true,
    byLine: true,
    turns: ({ failed }) => failed === "write",
  },
};

/** Tries a server of this process. */
async function judge(wrong: Wrong): Promise<Result[]> {
  await using server = new EchoServer(wrong);
  const spare = await Deno.connect({ hostname: "127.0.0.1", port: server.port });
  await using trial = new Trial("localhost", spare, TIMEOUT);
  return await Array.fromAsync(tryAll(trial, RUNNING));
}

/** The names of the cases that came to a verdict. */
function named(results: Result[], ...verdicts: Result["verdict"][]): string[] {
  return results.filter(({ verdict }) => verdicts.includes(verdict)).map(({ name }) => name);
}

Deno.test("a good server passes all the cases, whether it serves one at a time or many", async () => {
  const trials = [judge({}), judge({ iterative: true })];
  const [many, one] = await Promise.all(trials);
  assertEquals(named(many, "failed", "not tried"), []);
  assertEquals(named(many, "skipped"), ["four clients may wait to be accepted"]);
  assertEquals(named(one, "failed", "not tried"), []);
  assertEquals(named(one, "skipped"), [
    "half a line holds up nobody else",
    "each client gets its own bytes",
  ]);
});

Deno.test("for each case there is a wrong server, which fails it and no other", async () => {
  assertEquals(Object.keys(WRONG), RUNNING.map(({ name }) => name));
  const failed = await atOnce(Object.entries(WRONG), async ([name, wrong]) => {
    const results = await judge(wrong);
    return [name, named(results, "failed", "not tried")];
  });
  assertEquals(failed, Object.keys(WRONG).map((name) => [name, [name]]));
});

// What wrong.c is told, and the case that it fails.
const WRONG_C: [wrong: string, ...fails: string[]][] = [
  [""],
  ["count", "it prints how many bytes each line has"],
  ["descriptors", "no descriptor is left open"],
  ["resets", "no descriptor is left open"],
  ["zombies", "no process is left unwaited for"],
  ["memory", "no memory is left taken"],
  ["busy", "it sleeps while nobody says anything"],
  ["sigterm", "it ends on SIGTERM"],
  ["reuse", "it listens again on the same port at once"],
];

const RST = [
  "after RST in the middle of a line the next client is served",
  "after RST before accept the next client is served",
  "after a close with unread bytes the next client is served",
];
const SIGPIPE = "after a client that vanishes while it is written to the next is served";
// The lecture's programs, with the traps that the book has left in them.
const LECTURE: [program: string, ...fails: string[]][] = [
  ["echoserveri", ...RST, SIGPIPE],
  ["echoserverp"],
  [
    "echoservers",
    "a thousand lines in one write come back",
    "lines of MAXLINE - 2 to MAXLINE + 1 bytes come back",
    "a client that reads late gets every byte",
    "half a line holds up nobody else",
    ...RST,
    SIGPIPE,
  ],
  ["echoservert", ...RST, SIGPIPE],
  ["echoservert_pre", ...RST, SIGPIPE],
];

Deno.test({
  name: "what only --start sees has a wrong server each, and the lecture's are judged (needs gcc)",
  ignore: !has("gcc"),
  async fn() {
    const bin = await Deno.makeTempDir();
    const programs = [...LECTURE.map(([program]) => program), "wrong"];
    await Promise.all(programs.map((program) => compile(program, bin)));
    const commands = [
      ...LECTURE.map(([program, ...fails]) => [`${program} {port}`, ...fails]),
      ...WRONG_C.map(([wrong, ...fails]) => [`wrong {port} ${wrong}`, ...fails]),
    ];
    const verdicts = await atOnce(commands, async ([command]) => {
      const results = await judgeStarted(`${bin}/${command}`);
      return [command, ...named(results, "failed", "not tried")];
    });
    assertEquals(verdicts, commands);
    await Deno.remove(bin, { recursive: true });
  },
});

// What wrong_client.c is told, and the case that it fails.
const WRONG_CLIENTS: [wrong: string, ...fails: string[]][] = [
  [""],
  ["lines", "each line comes out once"],
  ["read", "a line that comes back a byte at a time comes out whole"],
  ["long", "a line longer than MAXLINE comes out whole"],
  ["newline", "a last line without a newline comes out"],
  ["stale", "when the server closes after a line the client ends, and prints nothing stale"],
  [
    "count",
    "when the server closes in the middle of a line the client ends, and prints no more of it",
  ],
  ["reset", "when the server resets the client ends, and prints nothing stale"],
  ["extra", "when the server says more than it was sent the client ends"],
  [
    "'stale at once'",
    "when the server closes without an answer the client ends, and prints nothing stale",
  ],
];

Deno.test({
  name: "each case of a client has a wrong one, and the lecture's is judged (needs gcc)",
  ignore: !has("gcc"),
  async fn() {
    assertEquals(WRONG_CLIENTS.flatMap(([, ...fails]) => fails), CLIENT_CASES.map((c) => c.name));
    const bin = await Deno.makeTempDir();
    await Promise.all(["wrong_client", "echoclient"].map((program) => compile(program, bin)));
    const [, , , , newline, closed, , , , silent] = WRONG_CLIENTS.map(([, fails]) => fails);
    const commands = [
      ...WRONG_CLIENTS.map(([wrong, ...fails]) => [
        `${bin}/wrong_client {host} {port} ${wrong}`,
        ...fails,
      ]),
      [`${bin}/echoclient {host} {port}`, newline, closed, silent],
      [`${Deno.execPath()} run --allow-net ${ROOT}/client.ts {host} {port}`],
    ];
    const verdicts = await atOnce(commands, async ([command]) => {
      await using trial = new ClientTrial(command, TIMEOUT);
      const results = await Array.fromAsync(tryAll(trial, CLIENT_CASES));
      return [command, ...named(results, "failed", "not tried")];
    });
    assertEquals(verdicts, commands);
    await Deno.remove(bin, { recursive: true });
  },
});

/** Does some work for each, a few at once. */
async function atOnce<T, R>(all: T[], work: (one: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const worker = async () => {
    for (let i; (i = next++) < all.length;) results[i] = await work(all[i]);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return results;
}

/** Compiles one of the lecture's programs. */
async function compile(program: string, bin: string): Promise<void> {
  const sources = [program, "csapp"].map((name) => `${ROOT}/tests/c/${name}.c`);
  const args = ["-O2", "-Wall", "-Wextra", "-Werror", "-o", `${bin}/${program}`, ...sources];
  const { success } = await new Deno.Command("gcc", { args: [...args, "-lpthread"] }).output();
  assert(success, program);
}

/** Tries a server that judge starts. */
async function judgeStarted(command: string): Promise<Result[]> {
  const started = new Started(command, TIMEOUT);
  await using trial = new Trial("localhost", await started.start(), TIMEOUT, started);
  return await Array.fromAsync(tryAll(trial, CASES));
}

const judgeScript = (...args: string[]) => Program.script("tools/judge.ts", ...args);

Deno.test("judge.ts tries a server that runs: exit code 0, and plain text where it is piped", async () => {
  await using server = await startServer();
  const judge = judgeScript("localhost", `${server.port}`, "--timeout=1");
  const { code, stdout, stderr } = await runProgram(judge);
  assertEquals([code, stderr], [0, ""]);
  assertMatch(stdout, new RegExp(`^localhost:${server.port}\n\nok    a line comes back\n`));
  assertMatch(
    stdout,
    /\n28 passed, 9 skipped\n.*it serves 1 at a time; it listens on IPv4 and IPv6\n$/,
  );
  assert(!stdout.includes("\x1b"));
});

Deno.test("judge.ts says what it saw, that the server has gone, and ends with 1", async () => {
  await using server = new EchoServer({ away: 1 });
  const name = `localhost:${server.port}`;
  const one = await runProgram(judgeScript(name, "--only=next client is", "--timeout=1"));
  assertEquals(one.code, 1);
  assertMatch(
    one.stdout,
    /\nFAIL {2}the next client is served\n {6}judge: {2}.*\n {6}saw: {4}the server closed .*\n {6}means: {2}.*\n {6}read: {3}CS:APP .*\n/,
  );

  using listenfd = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const accepted = listenfd.accept();
  const gone = runProgram(judgeScript(`127.0.0.1`, `${listenfd.addr.port}`, "--tap"));
  (await accepted).close();
  listenfd.close();
  const { code, stdout } = await gone;
  assertEquals(code, 1);
  assertMatch(
    stdout,
    /^TAP version 14\n1\.\.37\n# 127\.0\.0\.1:\d+\nnot ok 1 - a line comes back\n {2}---\n {2}saw: "/,
  );
  assertMatch(
    stdout,
    /\nnot ok 37 - .*\n {2}---\n {2}saw: "nobody has been answered since \\"a line comes back\\""\n/,
  );
});

Deno.test("judge.ts prints JSON and TAP 14, and lists its cases", async () => {
  await using server = await startServer("--concurrency=100");
  const where = `127.0.0.1:${server.port}`;
  const json = await runProgram(judgeScript(where, "--json", "--only=each"));
  assertEquals(JSON.parse(json.stdout), {
    target: where,
    passed: 1,
    failed: 0,
    skipped: 2,
    "not tried": 0,
    cases: CASES.filter(({ name }) => name.includes("each")).map((c, i) => ({
      name: c.name,
      did: c.did,
      means: c.means,
      read: c.read,
      ...JSON.parse(json.stdout).cases[i],
    })),
  });
  const tap = await runProgram(judgeScript(where, "--tap", "--only=\\r\\n"));
  assertEquals(
    tap.stdout,
    `TAP version 14\n1..1\n# ${where}\nok 1 - \\\\r\\\\n comes back as it was\n`,
  );
  const list = await runProgram(judgeScript("--list"));
  assertEquals(list.stdout, CASES.map(({ name }) => `${name}\n`).join(""));
});

Deno.test("judge.ts: 2 for usage, 3 when nothing could be tried", async () => {
  const port = `${freePort()}`;
  const table: [code: number, stderr: RegExp, ...args: string[]][] = [
    [2, /^judge: no case has nosuch in its name: see --list\n/, "--only=nosuch"],
    [2, /^judge: --tap and --json don't go together\n/, "--tap", "--json"],
    [2, /^judge: one of --start, --client and a host\n/, "--start=a", "localhost"],
    [2, /^judge: port must be/, "localhost", "0"],
    [3, /^judge: connect to 127\.0\.0\.1 port \d+: Connection refused\n$/, "127.0.0.1", port],
    [3, /^judge: --start needs deno run --allow-all: Deno opens \/proc for /, "--start=cat"],
    [3, /^judge: --client needs --allow-run\n$/, "--client=cat"],
  ];
  await Promise.all(table.map(async ([expected, stderr, ...args]) => {
    const result = await runProgram(judgeScript(...args));
    assertEquals([result.code, result.stdout], [expected, ""]);
    assertMatch(result.stderr, stderr);
  }));
  const started: [stderr: RegExp, flag: string][] = [
    [/^judge: the server ended with exit code 7\n$/, "--start=sh -c 'exit 7'"],
    [/^judge: the client ended with exit code 127: .*nosuch.*: not found\n$/, "--client=./nosuch"],
    [/^judge: the client ended with exit code 1\n$/, "--client=/bin/false {host} {port}"],
  ];
  await Promise.all(started.map(async ([expected, flag]) => {
    const judge = ["run", "--quiet", "--allow-all", "tools/judge.ts", flag];
    const { code, stdout, stderr } = await runProgram(new Program(Deno.execPath(), judge));
    assertEquals([code, stdout], [3, ""]);
    assertMatch(stderr, expected);
  }));
});

Deno.test("a long line shows what is often done to one", () => {
  const line = longLine(8191);
  assertEquals([line.length, line.indexOf("\n")], [8191, 8190]);
  const changed = [
    line.toUpperCase(),
    line.toLowerCase(),
    line.replaceAll("%d", "0"),
    line.replaceAll("  ", " "),
    `${line.trimEnd()}\n`,
  ];
  for (const other of changed) assert(other !== line);
});

Deno.test("judge says that the server has ended, and how", async () => {
  const dies = `const listener = Deno.listen({ hostname: "127.0.0.1", port: Number(Deno.args[0]) });
    for (;;) {
      const connfd = await listener.accept();
      if (await connfd.read(new Uint8Array(9)) === 9) {
        console.error("one\\nno memory");
        Deno.exit(7);
      }
    }`;
  const file = await Deno.makeTempFile({ suffix: ".js" });
  await Deno.writeTextFile(file, dies);
  const started = new Started(`${Deno.execPath()} run -A ${file} {port}`, TIMEOUT);
  await using trial = new Trial("localhost", await started.start(), TIMEOUT, started);
  const [{ saw, means }] = await Array.fromAsync(tryAll(trial, CASES.slice(0, 1)));
  assertMatch(saw ?? "", /^the server ended with exit code 7: no memory \(/);
  assertMatch(means ?? "", /^the server ended, /);
  await Deno.remove(file);
});

Deno.test("deno task judge --start looks into the server", async () => {
  const server = `${Deno.execPath()} run --allow-net ${ROOT}server.ts {port}`;
  const only = "--only=no descriptor";
  const task = new Program(Deno.execPath(), [
    "task",
    "--quiet",
    "judge",
    `--start=${server}`,
    only,
  ]);
  const { code, stdout, stderr } = await runProgram(task);
  assertEquals(code, 0, stderr);
  assertMatch(stdout, /\n\nok {4}no descriptor is left open\n\n1 passed\n$/);
});

Deno.test("docs/judge.md has the cases, all of them and no other", async () => {
  const doc = await Deno.readTextFile(`${ROOT}/docs/judge.md`);
  const names = [...CASES, ...CLIENT_CASES].map(({ name }) => name);
  assertEquals([...doc.matchAll(/^### (.*)$/gm)].map(([, name]) => name), names);
  const rows = [...doc.matchAll(/^\| (.*?) +\| [✓✗–]/gm)].map(([, name]) => name);
  assertEquals(rows, CASES.map(({ name }) => name));
});
