/** judge: what --start and --client see of programs that it starts. */
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { Failure, Skip } from "../tools/judge/case.ts";
import { CASES } from "../tools/judge/cases.ts";
import { CLIENT_CASES, ClientTrial } from "../tools/judge/client.ts";
import { Started } from "../tools/judge/process.ts";
import { keepsMemory } from "../tools/judge/proc.ts";
import { MARKS } from "../tools/judge/marks.ts";
import { grows, growth, STARTED } from "../tools/judge/started.ts";
import { tryAll } from "../tools/judge/run.ts";
import { Trial } from "../tools/judge/trial.ts";
import { within } from "../net/time.ts";
import { has, LINUX, Program, ROOT, runProgram } from "./helpers.ts";
import {
  atOnce,
  compile,
  judgeStarted,
  named,
  THOROUGH,
  TIMEOUT,
  unexpected,
} from "./judge/trials.ts";

/** A server in JavaScript: the command that starts it. Its file goes at the end of the test. */
async function script(code: string): Promise<AsyncDisposable & { start: string }> {
  const file = await Deno.makeTempFile({ suffix: ".js" });
  await Deno.writeTextFile(file, code);
  return {
    start: `${Deno.execPath()} run -A ${file} {port}`,
    [Symbol.asyncDispose]: () => Deno.remove(file),
  };
}

// What wrong.c is told, and the case that it fails.
const WRONG_C: [wrong: string, ...fails: string[]][] = [
  ...THOROUGH ? [[""]] as [string][] : [], // those of the lecture pass all of these cases, too
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
const SIGPIPE = "the next client is served after one vanishes mid-write";
// The lecture's programs, with the traps that the book has left in them: the first one, or all if THOROUGH.
const LECTURE: [program: string, ...fails: string[]][] = [
  ["echoserveri", ...RST, SIGPIPE],
  ["echoserverp"],
  [
    "echoservers",
    "a thousand lines in one write come back",
    "lines of MAXLINE - 2 to MAXLINE + 1 bytes come back",
    "a client that reads late gets every byte",
    "each client gets its own bytes",
    "half a line holds up nobody else",
    "more than a thousand clients at once are served",
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
    // The book's iterative server passes all that the lecture asks.
    const [, ...traps] = LECTURE[0];
    assertEquals(traps.filter((name) => MARKS.get(name)!.level === "basic"), []);
    const bin = await Deno.makeTempDir();
    const lecture = LECTURE.slice(0, THOROUGH ? undefined : 1);
    const programs = [...lecture.map(([program]) => program), "wrong"];
    await Promise.all(programs.map((program) => compile(program, bin)));
    const own = (fails: string[]) =>
      THOROUGH ? STARTED : STARTED.filter((c) => fails.includes(c.name));
    const commands = [
      ...lecture.map(([program, ...fails]) => ({
        command: `${program} {port}`,
        fails,
        cases: CASES,
      })),
      ...WRONG_C.map(([wrong, ...fails]) => ({
        command: `wrong {port} ${wrong}`,
        fails,
        cases: own(fails),
      })),
      // Python's ForkingTCPServer waits for its children so, and PHP's handlers run after accept.
      { command: "wrong {port} lazy", fails: [], cases: own(["no process is left unwaited for"]) },
      { command: "wrong {port} late", fails: [], cases: own(["no process is left unwaited for"]) },
    ];
    await atOnce(commands, async ({ command, fails, cases }) => {
      const results = await judgeStarted(`${bin}/${command}`, cases);
      // On a busy machine there may be no time to tell: then there is a finding, not a failure.
      const untold = results.filter(({ verdict, saw }) =>
        (verdict === "passed" || verdict === "skipped") && saw
      );
      const failed = named(results, "failed", "not tried");
      const retry = (cases: typeof CASES) => judgeStarted(`${bin}/${command}`, cases);
      assertEquals(await unexpected(failed, fails, retry, CASES), [], command);
      const missed = fails.filter((name) =>
        ![...failed, ...untold.map((r) => r.name)].includes(name)
      );
      assertEquals(missed, [], command);
    });
    await Deno.remove(bin, { recursive: true });
  },
});

// What wrong_client.c is told, and the case that it fails.
const WRONG_CLIENTS: [wrong: string, ...fails: string[]][] = [
  [""],
  ["lines", "each line comes out once"],
  ["empty", "an empty line comes out"],
  ["format", "text comes out as it was"],
  ["nul", "NUL comes out"],
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
  ["busy", "it sleeps while it waits for an answer"],
  ["exit", "a reset is told by the exit code"],
];
// What is told of mistakes that one case can see in more ways than one.
const TOLD: [wrong: string, fails: string, told: RegExp][] = [
  ["one", "each line comes out once", /sent FIN, though .*: not each line is sent/],
  ["'no FIN'", "each line comes out once", /and has sent no FIN: at the end .* close, or send FIN/],
  ["nul", "NUL comes out", /the NUL and what followed it are gone: the length .* strlen/],
  ["adds", "a last line without a newline comes out", /"no newline\\n".*: a newline is added/],
  ["'busy at end'", "it sleeps while it waits for an answer", /its input has ended/],
];

Deno.test({
  name: "each case of a client has a wrong one, and the lecture's is judged (needs gcc)",
  ignore: !has("gcc"),
  async fn() {
    assertEquals(WRONG_CLIENTS.flatMap(([, ...fails]) => fails), CLIENT_CASES.map((c) => c.name));
    const bin = await Deno.makeTempDir();
    await Promise.all(["wrong_client", "echoclient"].map((program) => compile(program, bin)));
    const [, , , , nul, , , newline, closed, , , , silent, , exit] = WRONG_CLIENTS.map((
      [, fails],
    ) => fails);
    const commands = [
      ...WRONG_CLIENTS.map(([wrong, ...fails]) => [
        `${bin}/wrong_client {host} {port} ${wrong}`,
        ...fails,
      ]),
      [`${bin}/echoclient {host} {port}`, nul, newline, closed, silent, exit],
      [`${Deno.execPath()} run --allow-net ${ROOT}/client.ts {host} {port}`],
    ];
    const tryWith = (command: string) => async (cases: typeof CLIENT_CASES) => {
      await using trial = new ClientTrial(command, TIMEOUT);
      return await Array.fromAsync(tryAll(trial, cases));
    };
    await atOnce(TOLD, async ([wrong, fails, told]) => {
      const cases = CLIENT_CASES.filter(({ name }) => name === fails);
      const tried = await tryWith(`${bin}/wrong_client {host} {port} ${wrong}`)(cases);
      const [{ verdict, saw, means = cases[0].means }] = tried;
      assertEquals(verdict, "failed", wrong);
      assertMatch(`${saw}: ${means}`, told);
    });
    await atOnce(commands, async ([command, ...fails]) => {
      const tryClient = tryWith(command);
      const own = CLIENT_CASES.filter(({ name }) => name === fails[0]);
      const cases = THOROUGH || fails.length !== 1 ? CLIENT_CASES : own;
      const failed = named(await tryClient(cases), "failed", "not tried");
      assertEquals(fails.filter((name) => !failed.includes(name)), [], command);
      assertEquals(await unexpected(failed, fails, tryClient, CLIENT_CASES), [], command);
    });
    await Deno.remove(bin, { recursive: true });
  },
});

Deno.test({
  ...LINUX,
  name:
    "a server that doesn't see its client's end, or ends with it, is told so, and judge goes on",
  async fn() {
    await using server = await script(
      `const l = Deno.listen({ hostname: "127.0.0.1", port: Number(Deno.args[0]) });
      for await (const c of l) {
        const buf = new Uint8Array(8192);
        for (let n; (n = await c.read(buf)) !== null;) await c.write(buf.subarray(0, n));
        if (Deno.args[1] === "ends") Deno.exit(1);
        await new Promise(() => setInterval(() => {}, 9e9));
      }`,
    );
    const only = (...names: string[]) => CASES.filter(({ name }) => names.includes(name));
    const [ends] = await judgeStarted(`${server.start} ends`, only("it ends on SIGTERM"));
    assertEquals([ends.verdict, ends.saw], ["failed", "the server ended with exit code 1"]);
    // It is started again after each failure, and serves one client.
    const [next, more, crlf] = await judgeStarted(
      server.start,
      only(
        "the next client is served",
        "line after line comes back",
        "\\r\\n comes back as it was",
      ),
    );
    assertEquals([next.verdict, more.verdict, crlf.verdict], ["failed", "passed", "failed"]);
    assertEquals(crlf.follows, next.name);
  },
});

Deno.test("memory that is given back and taken again hasn't grown", () => {
  const looks = (...kib: number[]) => kib.map((n, i) => ({ after: 600 * i, memory: 1024 * n }));
  const steady = [looks(5000, 5000, 5000), looks(5000, 5600, 5600), looks(5000, 4900, 4800)];
  for (const taken of steady) assertEquals(grows(taken), false);
  // It has fallen, and rises again: what it grew by is counted from where it was lowest.
  const rises = looks(5000, 4400, 4600, 4800);
  assertEquals(grows(rises), true);
  assertMatch(growth(rises, "lines"), /grew by 400 KiB in 1200 lines, 341 bytes each/);
  assertEquals(grows(looks(5000, 4400, 4800, 4801)), false);
});

Deno.test({
  name: "what Ruby keeps shows no leak",
  ignore: !has("ruby"),
  async fn() {
    await using ruby = new Program("ruby", ["-e", "$stdout.sync = true; puts 1; gets"]);
    await ruby.stdout.until(/1/);
    assertMatch(keepsMemory(ruby.process.pid) ?? "", /collector/);
  },
});

Deno.test("a leak is told, though there was no time for all the clients that were to show it", async () => {
  const look = (clients: number) => ({ clients, held: { memory: 8192 * clients } });
  let served = 1100;
  const t = {
    late: false,
    started: {
      listener: () => ({}),
      keepsMemory: () => undefined,
      held: () => Promise.resolve(look(served).held),
    },
    crowd: () => Promise.resolve({ looks: [50, 400, 750, 1100].map(look) }),
    clients() {
      t.late = true; // after ten of them
      served += 10;
      return Promise.resolve(10);
    },
  };
  const { run } = STARTED.find(({ name }) => name === "no memory is left taken")!;
  assertMatch(await run(t as unknown as Trial) ?? "", /8192 bytes each.*: no time to see more/);
});

Deno.test("memory that grows for thousands of lines, and then no more, isn't left taken", async () => {
  const { run } = STARTED.find(({ name }) => name === "no memory is left taken")!;
  const judge = async (growsFor: number) => {
    let lines = 0;
    const looks = [50, 400, 750, 1100].map((clients) => ({ clients, held: { memory: 0 } }));
    const t = {
      late: false,
      started: {
        listener: () => ({}),
        keepsMemory: () => undefined,
        held: () => Promise.resolve({ memory: 64 * Math.min(lines, growsFor) }),
      },
      crowd: () => Promise.resolve({ looks }),
      connect: () => Promise.resolve({ ask: () => Promise.resolve(void lines++) }),
    };
    return await run(t as unknown as Trial);
  };
  assertEquals(await judge(3000), undefined); // as Ruby's heap does
  await assertRejects(() => judge(Infinity), Failure, "64 bytes each");
});

Deno.test("one client shows whether a server prints: many may take long", async () => {
  const { run } = STARTED.find(({ name }) => name.startsWith("it prints"))!;
  let clients = 0;
  const client = { ask: () => Promise.resolve(), leave: () => Promise.resolve() };
  const t = {
    late: false,
    quiet: 1,
    started: {
      program: { stdout: "" },
      listener: () => ({}),
      start: () => Promise.resolve({}),
      held: () => Promise.resolve({}),
    },
    renew() {},
    crowd: () => Promise.resolve({ looks: [{ clients: clients += 1100 }] }),
    connect: () => Promise.resolve(++clients && client),
  };
  await assertRejects(() => Promise.resolve(run(t as unknown as Trial)), Skip, "printed nothing");
  assertEquals(clients, 1);
});

Deno.test("what waits in the kernel isn't kept in memory, whatever a collector hasn't freed", async () => {
  const { run } = CASES.find(({ name }) => name.startsWith("a client that reads late"))!;
  const judge = async (from: number) => {
    const done = () => Promise.resolve();
    const queued = () => ({ to: 1e6, from });
    const client = { send: done, queued, finish: done, expect: done, endsHere: done };
    const started = { listener: () => ({}) };
    const t = { late: false, quiet: 500, started, connect: () => Promise.resolve(client) };
    return await run(t as unknown as Trial);
  };
  assertMatch(await judge(30e6) ?? "", /^it took 32\.\d MB and didn't stand still$/);
  await assertRejects(() => judge(10e6), Failure, "kept it in memory");
});

Deno.test("of the thousand no more than four wait to be accepted: some servers have a queue of five", async () => {
  const { run } = STARTED.find(({ name }) => name.startsWith("more than a thousand"))!;
  let [wait, most, clients] = [0, 0, 0];
  const server = { listener: () => ({}), start: () => Promise.resolve({}) };
  const t = {
    late: false,
    started: { ...server, descriptorLimit: () => Infinity },
    renew() {},
    concurrency: () => Promise.resolve(20),
    connect() {
      most = Math.max(most, ++wait);
      clients++;
      // Something has come: a server has accepted.
      const answered = () => Promise.resolve(void wait--);
      const done = () => Promise.resolve();
      const client = { ask: answered, next: answered, send: done, expect: done, leave: done };
      return Promise.resolve(client);
    },
  };
  await run(t as unknown as Trial);
  assertEquals(clients, 1101);
  assertEquals(most, 4);
});

/** Checks that a server in JavaScript passes the case of more than a thousand clients. */
async function passesThousand(code: string): Promise<void> {
  await using server = await script(code);
  const thousand = STARTED.filter(({ name }) => name.startsWith("more than a thousand"));
  const tryIt = () => judgeStarted(server.start, thousand);
  const failed = named(await tryIt(), "failed", "not tried");
  assertEquals(await unexpected(failed, [], tryIt, thousand), []);
}

Deno.test("a right server may serve a thousand clients, and the next when they have left", async () => {
  const select =
    `const listener = Deno.listen({ hostname: "127.0.0.1", port: Number(Deno.args[0]) });
    let clients = 0;
    let left = Promise.withResolvers();
    for (;;) {
      while (clients === 1010) await left.promise;
      const connfd = await listener.accept();
      clients++;
      echo(connfd);
    }
    async function echo(connfd) {
      const buf = new Uint8Array(4096);
      for (let n; (n = await connfd.read(buf).catch(() => null)) !== null;) {
        await connfd.write(buf.subarray(0, n));
      }
      connfd.close();
      clients--;
      left.resolve();
      left = Promise.withResolvers();
    }`;
  await passesThousand(select);
});

Deno.test("a server that is busy with the end of a thousand clients may be late for the next", async () => {
  const late = `const listener = Deno.listen({ hostname: "127.0.0.1", port: Number(Deno.args[0]) });
    for (;;) echo(await listener.accept());
    async function echo(connfd) {
      const buf = new Uint8Array(4096);
      for (let n; (n = await connfd.read(buf).catch(() => null)) !== null;) {
        const line = new TextDecoder().decode(buf.subarray(0, n));
        if (line.startsWith("after so many")) await new Promise((go) => setTimeout(go, ${
    1.2 * TIMEOUT
  }));
        await connfd.write(buf.subarray(0, n));
      }
      connfd.close();
    }`;
  await passesThousand(late);
});

Deno.test("the kernel may take less of a second client that reads late than of the first", async () => {
  const { run } = CASES.find(({ name }) => name.startsWith("a client that reads late"))!;
  let clients = 0;
  const connect = () => {
    let blocks = clients++ === 0 ? 20 : 5;
    const reads = Promise.withResolvers<void>();
    const done = () => Promise.resolve();
    return Promise.resolve({
      send: () => blocks-- > 0 ? Promise.resolve() : reads.promise,
      expect: () => Promise.resolve(reads.resolve()),
      queued: () => ({ to: 0, from: 1e6 }),
      finish: done,
      endsHere: done,
    });
  };
  const t = { late: false, quiet: 20, started: { listener: () => ({}) }, connect };
  const saw = await within(TIMEOUT, Promise.resolve(run(t as unknown as Trial)));
  assertMatch(saw ?? "", /^it stood still/);
  assertEquals(clients, 2);
});

Deno.test("a look at the kernel's queues that takes long is taken less often", async () => {
  const { run } = CASES.find(({ name }) => name.startsWith("a client that reads late"))!;
  const quiet = 50;
  const full = 1e6;
  let [clients, sent, looks] = [0, 0, 0];
  const connect = () => {
    const second = clients++ > 0;
    const reads = Promise.withResolvers<void>();
    const done = () => Promise.resolve();
    return Promise.resolve({
      send: ({ length }: Uint8Array) => second || (sent += length) < full ? done() : reads.promise,
      expect: () => Promise.resolve(reads.resolve()),
      queued() {
        looks++;
        for (const end = performance.now() + quiet / 2; performance.now() < end;);
        return { to: 1, from: full };
      },
      finish: done,
      endsHere: done,
    });
  };
  const t = { late: false, quiet, started: { listener: () => ({}) }, connect };
  await run(t as unknown as Trial);
  assertEquals([clients, looks], [2, 1 + 2]);
});

Deno.test("a server that destroys what it has still to write, at its client's FIN, loses bytes", async () => {
  const code = (end: string) =>
    `import { createServer } from "node:net";
    createServer({ allowHalfOpen: true }, (connfd) => {
      connfd.on("error", () => {});
      connfd.pipe(connfd, { end: false });
      connfd.on("end", () => connfd.${end}());
    }).listen(Number(Deno.args[0]), "127.0.0.1");`;
  const late = CASES.filter(({ name }) => name === "a client that reads late gets every byte");
  for (const end of ["destroy", "end"]) {
    await using server = await script(code(end));
    const fails = end === "destroy" ? [late[0].name] : [];
    const tryIt = () => judgeStarted(server.start, late);
    let failed: string[] = [];
    // On a busy machine there may be no time for it.
    for (let times = 0; times < 3 && failed.length === 0; times++) {
      failed = named(await tryIt(), "failed", "not tried");
      if (fails.length === 0) break;
    }
    assertEquals(await unexpected(failed, fails, tryIt, late), [], end);
    assertEquals(fails.filter((name) => !failed.includes(name)), [], end);
  }
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
  await using server = await script(dies);
  const started = new Started(server.start, TIMEOUT);
  await using trial = new Trial("localhost", await started.start(), TIMEOUT, started);
  const [{ saw, means }] = await Array.fromAsync(tryAll(trial, CASES.slice(0, 1)));
  assertMatch(saw ?? "", /^the server ended with exit code 7: no memory \(/);
  assertMatch(means ?? "", /^the server ended: /);
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
  assertMatch(stdout, /\n\nok {4}no descriptor is left open\n\n1 passed\nscore: 2 of 2\n$/);
});
