/** judge: reports, points and exit codes. The formats are held against what their readers publish. */
import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { UsageError } from "../cli/flags.ts";
import { CASES } from "../tools/judge/cases.ts";
import { chosen, LEVELS, MARKS, pointsOf, REQUIRED } from "../tools/judge/marks.ts";
import { FORMATS, type Row, score } from "../tools/judge/report.ts";
import { required } from "../tools/judge/several.ts";
import { freePort, has, LINUX, Program, runProgram, startServer } from "./helpers.ts";
import { EchoServer } from "./judge/servers.ts";

const judgeScript = (...args: string[]) => Program.script("tools/judge.ts", ...args);
/** judge with all permissions, as its task has it. */
const judgeTask = (...args: string[]) =>
  new Program(Deno.execPath(), ["run", "--quiet", "--allow-all", "tools/judge.ts", ...args]);

/** Rows of a report: one passed, one failed, one that repeats it, one skipped, one not tried. */
function rows(): Row[] {
  const row = { did: "did", means: "means", read: "read", level: "basic" as const, ms: 1500 };
  const follows = "b";
  return [
    { ...row, name: "\\r # a", points: 5, verdict: "passed", saw: "a finding" },
    { ...row, name: follows, points: 2, verdict: "failed", saw: 'a <b> & "c"\n \x01' },
    { ...row, name: "c", points: 2, verdict: "failed", saw: "the same", follows, same: true },
    { ...row, name: "d", points: 3, verdict: "skipped", saw: "not here", level: "robust" },
    { ...row, name: "e", points: 1, verdict: "not tried", saw: "over", level: "robust" },
  ];
}

/** What a format prints of the rows. */
function printed(format: string): string {
  const report = FORMATS[format]();
  const all = rows();
  return [report.begin("x", all.length), ...all.map(report.tell), report.end(all)].join("");
}

Deno.test("a mistake costs once, what is skipped doesn't count, and tenths add up", () => {
  assertEquals(score(rows()), { score: 7, max: 10 });
  const [{ points: _, ...row }] = rows();
  assertEquals(score([{ ...row, points: 0.1 }, { ...row, points: 0.2 }]), { score: 0.3, max: 0.3 });
});

// https://docs.autolabproject.com/lab/#writing-autograders: the last line is
// { "scores": { "Prob1": 10, "Prob2": 5 } }
Deno.test("Autolab's last line has a number for each problem", () => {
  const text = printed("autolab").trimEnd().split("\n");
  assertEquals(text.slice(-2), ["score: 7 of 10", `{"scores":{"basic":7,"robust":0}}`]);
});

// https://gradescope-autograders.readthedocs.io/en/latest/specs/#output-format
const GRADESCOPE: Record<string, (value: unknown) => boolean> = {
  score: (value) => typeof value === "number",
  max_score: (value) => typeof value === "number",
  status: (value) => value === "passed" || value === "failed",
  name: (value) => typeof value === "string",
  output: (value) => typeof value === "string",
  visibility: (value) =>
    ["hidden", "after_due_date", "after_published", "visible"].includes(value as string),
};

Deno.test("Gradescope's results.json has the fields that its documentation names", () => {
  const { tests, ...others } = JSON.parse(printed("gradescope"));
  assertEquals(others, {});
  assertEquals(tests.map((test: Row & { score: number }) => [test.name, test.score]), [
    ["\\r # a", 5],
    ["b", 0],
    ["c", 2],
    ["e", 0],
  ]);
  for (const test of tests) {
    for (const [field, value] of Object.entries(test)) assert(GRADESCOPE[field](value), field);
  }
});

// https://github.com/jenkinsci/xunit-plugin, junit-10.xsd: the attributes of each element; those
// before the bar have to be there.
const JUNIT: Record<string, string> = {
  testsuites: "| name time tests failures errors",
  testsuite:
    "name tests failures errors | group time skipped timestamp hostname id package file log url",
  testcase: "name | time classname group",
  failure: "| type message",
  skipped: "| type message",
};

Deno.test("JUnit XML has the elements and attributes of Jenkins' schema, counted and escaped", () => {
  const xml = printed("junit");
  const open: string[] = [];
  for (const [, end, name, attributes, empty] of xml.matchAll(/<(\/?)(\w+)([^>]*?)(\/?)>/g)) {
    if (end) {
      assertEquals(open.pop(), name);
      continue;
    }
    const [required, optional] = JUNIT[name].split("|").map((list) => list.trim().split(" "));
    const has = [...attributes.matchAll(/ (\w+)="([^"<]*)"/g)].map(([, attribute, value]) => {
      if (attribute === "time") assertMatch(value, /^\d{1,3}\.\d{3}$/);
      return attribute;
    });
    assertEquals(has.filter((attribute) => ![...required, ...optional].includes(attribute)), []);
    assertEquals(required.filter((attribute) => attribute && !has.includes(attribute)), [], name);
    if (!empty) open.push(name);
  }
  assertEquals(open, []);
  const totals = 'tests="5" failures="3" errors="0" time="7.500"';
  assert(xml.includes(`<testsuite name="x" ${totals} skipped="1">`), xml);
  assert(xml.includes('<failure message="a &lt;b&gt; &amp; &quot;c&quot;\n ?">'), xml);
});

Deno.test({
  name: "TAP is what Perl's parser, which prove has, reads (needs prove)",
  ignore: !has("prove"),
  async fn() {
    const script = `my $p = TAP::Parser->new({ tap => join "", <STDIN> });
      while (my $r = $p->next) {
        print $r->is_test
          ? join("|", $r->ok, $r->description, $r->directive, $r->explanation) . "\\n"
          : $r->is_yaml ? "saw: " . $r->data->{saw} . "\\n" : $r->is_unknown ? $r->raw : "";
      }
      print join("|", $p->version, $p->plan, $p->parse_errors);`;
    const perl = new Program("perl", ["-MTAP::Parser", "-e", script]);
    const { stdout } = await runProgram(perl, printed("tap"));
    assertEquals(
      stdout,
      `ok|- \\\\r \\# a||
not ok|- b||
saw: a <b> & "c"
 \\u0001
not ok|- c||
saw: the same
ok|- d|SKIP|not here
not ok|- e||
saw: over
13|1..5`,
    );
  },
});

Deno.test("JSON has all rows; what a failure means is told of failures", () => {
  const { cases, ...others } = JSON.parse(printed("json"));
  assertEquals(others, {
    target: "x",
    passed: 1,
    failed: 1,
    follow: 1,
    skipped: 1,
    "not tried": 1,
    score: 7,
    max: 10,
  });
  assertEquals(
    cases,
    rows().map(({ means, ...row }) => row.verdict === "failed" ? { ...row, means } : row),
  );
});

Deno.test("levels and names choose the cases; no level leaves out what is required", async () => {
  const all = [...CASES, required(5)];
  const names = (values: Record<string, string>) => chosen(all, values).map(({ name }) => name);
  LEVELS.forEach((level, most) => {
    const upTo = CASES.filter(({ name }) => LEVELS.indexOf(MARKS.get(name)!.level) <= most);
    assertEquals(names({ level }), [...upTo.map(({ name }) => name), REQUIRED]);
  });
  assertEquals(names({}), all.map(({ name }) => name));
  assertEquals(names({ only: "LINE", except: "COME", level: "basic" }), [
    "no line is a command",
    "it prints how many bytes each line has",
    REQUIRED,
  ]);
  assertEquals(names({ except: "required", only: "NUL" }), ["NUL comes back"]);
  const { stdout } = await runProgram(judgeScript("--list", "--only=NUL"));
  assertEquals(stdout, "NUL comes back\n");
});

Deno.test("a name, a level or points that judge doesn't know are told, with the value", async () => {
  const wrong: [values: Record<string, string>, message: string][] = [
    [{ only: "nosuch" }, "no case has nosuch in its name: see --list"],
    [{ except: "nosuch" }, "no case has nosuch in its name: see --list"],
    [{ only: "RST", level: "basic" }, "no case is left: see --list"],
    [{ level: "x" }, "--level must be basic, robust, concurrent, not x"],
  ];
  for (const [values, message] of wrong) {
    assertThrows(() => chosen(CASES, values), UsageError, message);
  }
  const file = await Deno.makeTempFile();
  const points: [json: string, message: string][] = [
    ["{", "--points: "],
    ["null", `--points: ${file} must be an object with a number for each name`],
    ["[1]", `--points: ${file} must be an object with a number for each name`],
    [`{"x": 1}`, "--points: no case is called x"],
    [`{"NUL comes back": "5"}`, `--points: NUL comes back must be a number, 0 or more, not "5"`],
    [`{"NUL comes back": -1}`, "--points: NUL comes back must be a number, 0 or more, not -1"],
  ];
  for (const [json, message] of points) {
    await Deno.writeTextFile(file, json);
    await assertRejects(() => pointsOf(file), UsageError, message);
  }
  await Deno.remove(file);
  await assertRejects(() => pointsOf(file), UsageError, "--points: No such file or directory");
});

Deno.test("--points gives a case its points, and --require fails who serves too few", async () => {
  const file = await Deno.makeTempFile();
  await Deno.writeTextFile(file, `{"NUL comes back": 2.5}`);
  await using one = new EchoServer({ iterative: true });
  await using two = await startServer("--concurrency=2");
  const judge = async (port: number, ...flags: string[]) => {
    const { code, stdout } = await runProgram(judgeTask("127.0.0.1", `${port}`, ...flags));
    return [code, stdout.match(/saw: +.*|score: .*/g)?.join("; ")];
  };
  const require = ["--only=required", "--require=concurrent:2"];
  assertEquals(
    await Promise.all([
      judge(two.port, "--only=NUL", `--points=${file}`),
      judge(two.port, ...require),
      judge(one.port, ...require),
    ]),
    [
      [0, "score: 2.5 of 2.5"],
      [0, "score: 5 of 5"],
      [1, "saw:    it serves 1 at a time, not 2; score: 0 of 5"],
    ],
  );
  await Deno.remove(file);
});

Deno.test("judge.ts: 2 for usage, with the value, and 3 when nothing could be tried", async () => {
  const table: [code: number, stderr: RegExp, ...args: string[]][] = [
    [2, /^judge: --require must be concurrent:N, not basic:5\n/, "--require=basic:5"],
    [2, /^judge: --require.* from 1 to 20, not 21\n/, "--require=concurrent:21"],
    [2, /^judge: --tap and --json don't go together\n/, "--tap", "--json"],
    [2, /^judge: --csv needs --all\n/, "--csv"],
    [2, /^judge: --all and --tap don't go together\n/, "--all=.", "--start=a", "--tap"],
    [2, /^judge: --all: No such file or directory: .*nosuch/, "--all=nosuch", "--start=a"],
    [2, /^judge: one of --start, --client and a host\n/, "--start=a", "localhost"],
    [2, /^judge: port must be/, "localhost", "0"],
    [3, /^judge: connect to 127\.0\.0\.1 port \d+: Conn.* refused\n/, "127.0.0.1", `${freePort()}`],
  ];
  await Promise.all(table.map(async ([code, stderr, ...args]) => {
    const result = await runProgram(judgeTask(...args));
    assertEquals([result.code, result.stdout], [code, ""], args.join(" "));
    assertMatch(result.stderr, stderr);
  }));
  const permissions: [stderr: RegExp, flag: string][] = [
    [/^judge: --start needs deno run --allow-all: Deno opens \/proc for /, "--start=cat"],
    [/^judge: --client needs --allow-run\n$/, "--client=cat"],
  ];
  await Promise.all(permissions.map(async ([stderr, flag]) => {
    const result = await runProgram(judgeScript(flag));
    assertEquals([result.code, result.stdout], [3, ""]);
    assertMatch(result.stderr, stderr);
  }));
});

Deno.test({
  ...LINUX,
  name: "a submission that doesn't run ends with 1, a command that doesn't exist with 3",
  async fn() {
    const table: [code: number, stderr: RegExp, saw: RegExp, flag: string][] = [
      [1, /^$/, /saw: +the server ended with exit code 7\n/, "--start=sh -c 'exit 7'"],
      [
        1,
        /^$/,
        /saw: +the client ended with exit code 1\n +means: +it must connect before it reads /,
        "--client=/bin/false {host} {port}",
      ],
      [3, /^judge: the client ended with exit code 127: .*nosuch/, /^$/, "--client=./nosuch"],
      [3, /^judge: the server ended with exit code 127: .*nosuch/, /^$/, "--start=./nosuch"],
    ];
    await Promise.all(table.map(async ([expected, error, saw, flag]) => {
      const { code, stdout, stderr } = await runProgram(judgeTask(flag));
      assertEquals(code, expected, flag);
      assertMatch(stdout, saw);
      assertMatch(stderr, error);
    }));
  },
});

Deno.test({
  ...LINUX,
  name:
    "a report is whole whatever happens: the server dies, a signal, a full disk, a reader's end",
  async fn() {
    const dead = "--start=sh -c 'exit 7'";
    const sh = (script: string, flag: string) =>
      runProgram(
        new Program("sh", [
          "-c",
          `judge() { '${Deno.execPath()}' run -qA tools/judge.ts "$@"; }; ${script}`,
          "sh",
          flag,
        ]),
      );
    const results = await Promise.all([
      runProgram(judgeTask(dead, "--json")),
      sh('judge "$1" > /dev/full', dead),
      sh('{ judge "$1"; echo $? >&2; } | head -1', dead),
    ]);
    assertEquals(results.map(({ code }) => code), [1, 3, 0]);
    const [json, full, head] = results;
    assertEquals(JSON.parse(json.stdout)["not tried"], CASES.length - 1);
    assertMatch(full.stderr, /^judge: standard output: No space left on device\n$/);
    assertEquals([head.stdout, head.stderr], ["sh -c 'exit 7'\n", "1\n"]);

    const signals: [signal: Deno.Signal, code: number][] = [
      ["SIGTERM", 143],
      ["SIGINT", 130],
      ["SIGHUP", 129],
    ];
    await Promise.all(signals.map(async ([signal, code]) => {
      // A server that is silent: judge waits for it until the signal comes.
      const silent = `const l = Deno.listen({ hostname: "127.0.0.1", port: Number(Deno.args[0]) });
        await l.accept(); console.error("accepted"); await new Promise(() => setInterval(() => {}, 9e9));`;
      const file = await Deno.makeTempFile({ suffix: ".js" });
      await Deno.writeTextFile(file, silent);
      const started = await Deno.makeTempFile();
      const command = `${Deno.execPath()} run -A ${file} {port} 2> ${started}`;
      await using judge = judgeTask("--tap", "--timeout=60", `--start=${command}`);
      while ((await Deno.readTextFile(started)) === "") await new Promise((r) => setTimeout(r, 20));
      assertEquals(await judge.stop(signal), code);
      const last = `not ok ${CASES.length} - `;
      const { text } = judge.stdout;
      assert(text.startsWith(`TAP version 13\n1..${CASES.length}\n`), text);
      assert(text.includes(`\n${last}`), text);
      assertMatch(text, new RegExp(`saw: "judge was ended by ${signal}"`));
      await Promise.all([file, started].map((path) => Deno.remove(path)));
    }));
  },
});
