/** judge: each case is failed by a server that is wrong in just this, and by no good one. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { CLIENT_CASES } from "../tools/judge/client.ts";
import { Failure } from "../tools/judge/case.ts";
import { CASES } from "../tools/judge/cases.ts";
import { bytes, difference, longLine } from "../tools/judge/bytes.ts";
import { MARKS } from "../tools/judge/marks.ts";
import { meaning, useful } from "../tools/judge/seen.ts";
import { STARTED } from "../tools/judge/started.ts";
import { type Result, tryAll } from "../tools/judge/run.ts";
import { rioWriten } from "../rio.ts";
import { required } from "../tools/judge/several.ts";
import { Trial } from "../tools/judge/trial.ts";
import { Program, ROOT, runProgram, startServer } from "./helpers.ts";
import { atOnce, named, THOROUGH, TIMEOUT, unexpected } from "./judge/trials.ts";
import { EchoServer, type Wrong } from "./judge/servers.ts";

/** The cases of a server that runs already. */
const RUNNING = CASES.filter((c) => !STARTED.includes(c));

/** A server that says something else for one line. */
const says = (line: string, instead: string): Wrong => ({
  line: (l) => l === line ? instead : l,
});

/** Doesn't answer the nth client that says it comes next. */
function failsNext(nth: number): Wrong["line"] {
  let n = 0;
  return (line) => line === "the next client\n" && ++n === nth ? "" : line;
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
  "no line is a command": says("quit\n", ""),
  "FIN at once is answered by FIN": { closes: ({ lines, half }) => lines > 0 || half },
  "lines, then FIN: all come back, then FIN": says("this is line 2345\n", ""),
  "nothing comes back but what was sent, in order": {
    last: (lines) => lines === 20_000 ? "\n" : "",
  },
  "a last line without a newline comes back": {
    line: (line) => line.endsWith("\n") ? line : "",
  },
  "a client that reads late gets every byte": says("this is line 12345\n", ""),
  "each client gets its own bytes": {
    line: (line) => line.replace(/^B+\n/, (bs) => bs.replaceAll("B", "A")),
  },
  "a client that has to wait is served in the end": says("number 2\n", ""),
  "clients that come at once are all served": says("at once 2\n", ""),
  "half a line holds up nobody else": { locks: true },
  "four clients may wait to be accepted": { iterative: true, backlog: 2 },
  "each address that it listens on is served": says("IPv6\n", ""),
  "after 200 that connect and close the next client is served": {
    line: failsNext(20),
  },
  "after one that said nothing the next client is served": {
    iterative: true,
    line: failsNext(THOROUGH ? 42 : 1), // the case before has 41
  },
  "a client that thinks for two seconds is served on": says("another one\n", ""),
  "hundreds of clients, one after the other, are served": says("client 450 of many\n", ""),
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
  "the next client is served after one vanishes mid-write": {
    iterative: true,
    byLine: true,
    turns: ({ failed }) => failed === "write",
  },
};

/** Tries a server of this process: all the cases, unless some are given. */
async function judge(wrong: Wrong, cases = RUNNING): Promise<Result[]> {
  await using server = new EchoServer(wrong);
  const spare = await Deno.connect({ hostname: "127.0.0.1", port: server.port });
  await using trial = new Trial("localhost", spare, TIMEOUT);
  return await Array.fromAsync(tryAll(trial, cases));
}

Deno.test("a good server passes all the cases, whether it serves one at a time or many", async () => {
  const trials = [judge({}), judge({ iterative: true })];
  const [many, one] = await Promise.all(trials);
  const again = (wrong: Wrong, results: Result[]) =>
    unexpected(named(results, "failed", "not tried"), [], (cases) => judge(wrong, cases), CASES);
  assertEquals(await again({}, many), []);
  assertEquals(named(many, "skipped"), ["four clients may wait to be accepted"]);
  assertEquals(await again({ iterative: true }, one), []);
  assertEquals(named(one, "skipped"), [
    "each client gets its own bytes",
    "half a line holds up nobody else",
  ]);
});

Deno.test("where the kernel shares clients out (SO_REUSEPORT), one may wait behind another", async () => {
  // Two are served at a time, until they meet.
  const worker = (n: number) => n === 1 ? 1 : 0;
  const several = CASES.filter(({ name }) => /own bytes|half a line holds|has to wait/.test(name));
  const results = await judge({ worker }, several);
  assertEquals(named(results, "failed", "not tried"), []);

  // Who waited has left with the others.
  await using server = new EchoServer({ worker });
  const spare = await Deno.connect({ hostname: "127.0.0.1", port: server.port });
  await using trial = new Trial("localhost", spare, TIMEOUT);
  trial.begin();
  const clients = await trial.many();
  assertEquals(clients.length, 1);
  clients[0].close();
  await (await trial.connect()).ask("the next\n");
});

Deno.test("for each case there is a wrong server, which fails it (judge:thorough: and no other)", async () => {
  assertEquals(Object.keys(WRONG), RUNNING.map(({ name }) => name));
  await atOnce(Object.entries(WRONG), async ([name, wrong]) => {
    const cases = THOROUGH ? RUNNING : RUNNING.filter((c) => c.name === name);
    let failed: string[] = [];
    let told = false;
    // Once more if a client of another test, on a port that was its server's, was turned away here.
    for (let tries = 0; tries < 2 && !failed.includes(name) && !told; tries++) {
      const results = await judge(wrong, cases);
      failed = named(results, "failed", "not tried");
      // On a busy machine there may be no time for all of it: then there is a finding.
      told = results.find((result) => result.name === name)?.saw !== undefined;
    }
    assert(failed.includes(name) || told, `nothing wrong: ${name}`);
    assertEquals(await unexpected(failed, [name], (cases) => judge(wrong, cases), CASES), [], name);
  });
});

const judgeScript = (...args: string[]) => Program.script("tools/judge.ts", ...args);

Deno.test("judge.ts tries a server that runs: exit code 0, and plain text where it is piped", async () => {
  await using server = await startServer();
  const judge = judgeScript("localhost", `${server.port}`);
  const { code, stdout, stderr } = await runProgram(judge);
  assertEquals([code, stderr], [0, ""]);
  assertMatch(stdout, new RegExp(`^localhost:${server.port}\n\nok    a line comes back\n`));
  assertMatch(
    stdout,
    /\n30 passed, 10 skipped\n.*it serves 1 at a time; it listens on IPv4 and IPv6.*\nscore: (\d+) of \1\n$/,
  );
  assert(!stdout.includes("\x1b"));
});

Deno.test("judge.ts says what it saw, that the server has gone, and ends with 1", async () => {
  await using server = new EchoServer({ away: 1 });
  const name = `localhost:${server.port}`;
  const one = await runProgram(judgeScript(name, "--only=next client is"));
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
    /^TAP version 13\n1\.\.40\n# 127\.0\.0\.1:\d+\nnot ok 1 - a line comes back\n {2}---\n {2}saw: "/,
  );
  assertMatch(
    stdout,
    /\nnot ok 40 - .*\n {2}---\n {2}saw: "nobody has been answered since \\"a line comes back\\""\n {2}follows: "a line comes back"\n/,
  );
});

Deno.test("each case has its mark, and the points of a level are told", () => {
  assertEquals([...MARKS.keys()], [...CASES, ...CLIENT_CASES, required(2)].map((c) => c.name));
  for (const { needs } of MARKS.values()) {
    for (const name of needs) assert(MARKS.has(name), name);
  }
});

Deno.test("what a server wrote to standard error is told by its most useful line", () => {
  const table: [stderr: string, line: string][] = [
    ["", ""],
    ["one\nno memory\n", "no memory"],
    [
      "node:events:497\n      throw er;\n      ^\n\nError: listen EADDRINUSE: address already in use :::8\n" +
      "    at f (node:net:1)\nEmitted 'error' event on Server instance at:\n  code: 'EADDRINUSE'\n}\n\nNode.js v20.20.2\n",
      "Error: listen EADDRINUSE: address already in use :::8",
    ],
    [
      "thread 'main' panicked at src/main.rs:5:10:\ncalled `Result::unwrap()` on an `Err` value: X\n" +
      "note: Some details are omitted, run with `RUST_BACKTRACE=full`\n",
      "called `Result::unwrap()` on an `Err` value: X",
    ],
    [
      "panic: index out of range\n\ngoroutine 1 [running]:\nmain.main()\n\t/x.go:3\nexit status 2\n",
      "panic: index out of range",
    ],
    [
      'Traceback (most recent call last):\n  File "x"\nOSError: [Errno 98] in use\n',
      "OSError: [Errno 98] in use",
    ],
    ["\x1b[1m\x1b[31merror\x1b[0m: \x1b]0;x\x07\n", "error: \\x1b]0;x\\x07"],
    ["x".repeat(300), `${"x".repeat(200)} ...`],
  ];
  for (const [stderr, line] of table) assertEquals(useful(stderr), line);
});

Deno.test("what failed is explained by what was seen", () => {
  const table: [saw: string, means: RegExp][] = [
    ["the server ended with exit code 1: accept: Interrupted system call", /EINTR/],
    ["the server ended by SIGPIPE (x)", /SIGPIPE/],
    ["the server ended with exit code 1: bind: Address already in use", /SO_REUSEADDR/],
    ["the server ended by SIGSEGV", /fsanitize/],
    ["Connection reset by peer: 3 of 9 bytes came back", /closes with RST/],
    ["connect to 127.0.0.1 port 8: Connection refused", /nobody listens/],
    ["nothing came for 5 s: its end", /connfd isn't closed/],
    ['then came "\\0\\0\\0", which nobody had sent', /sizeof buf/],
    ['then came "\\n", which nobody had sent', /a newline is added/],
    ['then came "\\0", which nobody had sent', /the NUL behind/],
    ["it took 32.0 MB, and kept it in memory", /nothing is to be read/],
    [difference(bytes("hello\n"), bytes("> hell"))!, /before what came/],
    [difference(bytes("line 2\n"), bytes("\nline 2"))!, /a newline is added/],
    [difference(bytes("line 2\n"), bytes("\0line 2"))!, /the NUL behind/],
    [difference(bytes("line 2\n"), bytes("line 2\r\n"))!, /the end of a line is changed/],
    ['then came "\\n", which nobody had sent', /a newline is added/],
    [difference(bytes("line\n"), bytes("line\r"))!, /the end of a line is changed/],
    [difference(bytes("line  \n"), bytes("line\n"))!, /blanks are stripped/],
    [difference(bytes("a  line\tof text\n"), bytes("a line of te"))!, /blanks are stripped/],
    [difference(bytes("Line %d\n"), bytes("LINE %D\n"))!, /letters are changed/],
    ["the server ended with exit code 1: UnicodeDecodeError: 'utf-8' codec", /for characters/],
  ];
  for (const [saw, means] of table) assertMatch(meaning(saw) ?? "", means);
  for (const [line, came] of [["a\0b\n", "a?b\n"], ["a bc\n", "a\nbc"], ["Aab\n", "ab\n"]]) {
    assertEquals(meaning(difference(bytes(line), bytes(came))!), undefined, line);
  }
  assertEquals(meaning("nothing came for 5 s: 0 of 6 bytes came back"), undefined);
});

Deno.test("a server that has ended is explained by its end, not by what the next client saw", async () => {
  const dead = {
    timeout: 5000,
    begin() {},
    end: () => Promise.resolve(),
    recover: () => Promise.resolve(true),
    ended: () => Promise.resolve("the server ended by SIGPIPE"),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  const run = () => Promise.reject(new Failure("the next client: Connection reset by peer"));
  for (const fatal of [true, undefined] as const) {
    const [{ means }] = await Array.fromAsync(
      tryAll<typeof dead>(dead, [{ ...CASES[0], fatal, run }]),
    );
    assertMatch(means ?? "", /^a write to a connection that is gone ends the server/);
  }
});

Deno.test("what a mistake costs doesn't depend on whether its client sees FIN or RST", async () => {
  const closed = "the server closed the connection: 0 of 9 bytes came back";
  const reset = "Connection reset by peer: 0 of 9 bytes came back";
  const costs = async (saws: Record<string, string>) => {
    const cases = Object.entries(saws).map(([name, saw]) => ({
      ...CASES.find((c) => c.name === name)!,
      run: () => Promise.reject(new Failure(saw)),
    }));
    const wrong = {
      timeout: 5000,
      begin() {},
      end: () => Promise.resolve(),
      recover: () => Promise.resolve(true),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
    const results = await Array.fromAsync(tryAll<typeof wrong>(wrong, cases));
    return results.filter(({ same }) => !same).map(({ name }) => name);
  };
  const [more, many, late] = [
    "line after line comes back",
    "a thousand lines in one write come back",
    "a client that reads late gets every byte",
  ];
  const refused = "the next client: connect to 127.0.0.1 port 8: Connection refused";
  for (const first of [closed, reset, refused]) {
    for (const next of [closed, reset, refused, "Broken pipe"]) {
      assertEquals(await costs({ [more]: closed, [many]: first, [late]: next }), [
        more,
        many,
        late,
      ]);
    }
  }
  // When all has come back, RST is the server's own doing: a mistake that is known again.
  const fin = "FIN at once is answered by FIN";
  const end = "Connection reset by peer: its end";
  assertEquals(await costs({ [fin]: end, [late]: reset }), [fin]);
  // Who waits to be accepted when nobody listens any more is reset, too.
  const next = "the next client is served";
  assertEquals(await costs({ [next]: refused, [fin]: end, [late]: reset }), [next, fin, late]);
});

Deno.test("who has been served and closed isn't served any more: that is one at a time", async () => {
  const listenfd = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serving = (async () => {
    for await (using connfd of listenfd) {
      const buf = new Uint8Array(80);
      const n = await connfd.read(buf);
      await rioWriten(connfd, buf.subarray(0, n ?? 0));
    }
  })();
  const spare = await Deno.connect({ hostname: "127.0.0.1", port: listenfd.addr.port });
  await using trial = new Trial("localhost", spare, TIMEOUT);
  trial.begin();
  assertEquals(await trial.concurrency(), 1);
  const [{ saw }] = await Array.fromAsync(tryAll(trial, [required(2)]));
  assertEquals(saw, "it serves 1 at a time, not 2");
  listenfd.close();
  await serving;
});

Deno.test("a write that stands still has no time of its own: what comes back has", async () => {
  await using server = new EchoServer({});
  const spare = await Deno.connect({ hostname: "127.0.0.1", port: server.port });
  await using trial = new Trial("localhost", spare, TIMEOUT / 2);
  trial.begin();
  const client = await trial.connect();
  const expect = client.expect.bind(client);
  client.expect = async (data) => {
    client.expect = expect;
    // A busy machine: judge reads on only when a write would have had its time.
    await assertRejects(() => trial.wait("nobody", new Promise(() => {})), Failure);
    await expect(data);
  };
  trial.connect = () => Promise.resolve(client);
  const { run } = CASES.find(({ name }) => name === "a client that reads late gets every byte")!;
  assertMatch(await run(trial) ?? "", /^it stood still after /);
});

Deno.test("a server that answers, but has no time to end a case, is slow and hasn't failed", async () => {
  let end = () => {};
  const slow = {
    timeout: 5,
    begin() {},
    end: () => Promise.resolve(end()),
    recover: () => Promise.resolve(true),
    progress: () => 3,
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  const waits = { ...CASES[0], run: () => new Promise<void>((resolve) => end = resolve) };
  const tried = await Array.fromAsync(tryAll<typeof slow>(slow, [waits, waits]));
  assertEquals(tried.map(({ verdict, saw }) => [verdict, saw]), [
    ["skipped", "too slow to tell: 3 bytes came back in 0.03 s"],
    ["skipped", "too slow to tell: 3 bytes came back in 0.01 s"],
  ]);
  slow.progress = () => 0;
  const [{ verdict, saw }] = await Array.fromAsync(tryAll<typeof slow>(slow, [waits]));
  assertEquals([verdict, saw], ["failed", "not over after 0.03 s"]);
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

Deno.test("docs/judge.md has the cases, all of them and no other", async () => {
  const doc = await Deno.readTextFile(`${ROOT}/docs/judge.md`);
  const names = [...CASES, ...CLIENT_CASES].map(({ name }) => name);
  assertEquals([...doc.matchAll(/^### (.*)$/gm)].map(([, name]) => name), names);
  const rows = [...doc.matchAll(/^\| (.*?) +\| [✓✗–]/gm)].map(([, name]) => name);
  assertEquals(rows, CASES.map(({ name }) => name));
});
