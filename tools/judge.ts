/**
 * Tests an echo server, in whatever language it is written, for the mistakes the lecture warns of.
 * Each case tests one promise. The cases are in `tools/judge/`, by subject.
 *
 * @module
 */
import {
  type CommandLine,
  type Flags,
  toInteger,
  toMilliseconds,
  UsageError,
} from "../cli/flags.ts";
import { painter } from "../cli/colours.ts";
import { log } from "../cli/diagnostics.ts";
import { exit, run } from "../cli/program.ts";
import { onSignal, signalCode } from "../cli/signals.ts";
import type { Stdout } from "../cli/stdout.ts";
import { toTarget } from "../client/target.ts";
import { openClientfd } from "../client.ts";
import { CASES } from "./judge/cases.ts";
import { Started } from "./judge/process.ts";
import { csv, grade, page, submissions, table } from "./judge/class.ts";
import { CLIENT_CASES, ClientTrial } from "./judge/client.ts";
import { chosen, MARKS, pointsOf } from "./judge/marks.ts";
import { adoptOrphans, checkProc } from "./judge/proc.ts";
import { FORMATS, lines, passed, type Row } from "./judge/report.ts";
import { type Result, type Subject, tryAll } from "./judge/run.ts";
import { type Case, Failure } from "./judge/case.ts";
import { required } from "./judge/several.ts";
import { MANY, MAX_BYTES, MAX_CONNECTIONS, MAX_OPEN, Trial } from "./judge/trial.ts";
import { address } from "../net/address.ts";
import { reason } from "../net/errors.ts";
import { rioWriten } from "../rio.ts";

const COMMAND_LINE: CommandLine = {
  name: "judge",
  about:
    "Tests an echo server, or a client, for the mistakes the lecture warns of, and says what it saw.",
  positionals: [
    ["host", "the server's name or address (default localhost); also HOST:PORT"],
    ["port", "its port (default 15213)"],
  ],
  flags: [
    ["start=CMD", "start the server, look inside it, and stop it; {port} in CMD is its port"],
    ["client=CMD", "test this client; {host} and {port} in CMD are judge's own"],
    ["all=FOLDER", "try each submission in FOLDER: a table of them all"],
    ["build=CMD", "with --all: build a submission; {file} is its path, {out} a program to make"],
    ["reports=FOLDER", "with --all: write a page for each submission"],
    ["csv", "with --all: print comma-separated values"],
    ["only=NAME", "only cases with NAME in their name"],
    ["except=NAME", "no cases with NAME in their name"],
    [
      "level=LEVEL",
      "basic: what the lecture asks; robust: what a network does too; concurrent: all",
    ],
    ["require=concurrent:N", "fail a server that serves fewer than N clients at a time"],
    ["points=FILE", "the cases' points: a JSON object with a number for each name"],
    ["timeout=SEC", "how long to wait for an answer (default 5)"],
    ["total=SEC", "how long a trial may take"],
    ["list", "print the names of the cases"],
    ["explain=CASE", "print the trap behind a case: wrong lines of C, and right ones"],
    ["tap", "print TAP 13"],
    ["json", "print JSON at the end"],
    ["gradescope", "print Gradescope's results.json at the end"],
    ["autolab", "print Autolab's scores in the last line"],
    ["junit", "print JUnit XML at the end"],
  ],
  notes:
    `It sends only to the address given, which for localhost is 127.0.0.1 and ::1. A case opens at
most ${MAX_CONNECTIONS} connections, ${MAX_OPEN} at once, and sends at most ${MAX_BYTES / 1e6} MB.
More connections, and more at once, go to a server that --start starts.

Exit codes: 0 all passed, 1 some failed, 2 usage, 3 judge couldn't run the tests.`,
};

/** What it means that a server doesn't listen. */
const NOT_LISTENING = "it must run until it is stopped, and use the port that it is given";
/** What it means that a client doesn't connect. */
const NOT_CONNECTED = "it must connect before it reads its input, to the host and port it is given";

async function main(flags: Flags, stdout: Stdout): Promise<number> {
  const { start, client, timeout: time = "5" } = flags.values;
  if (flags.values.explain !== undefined) return await explain(flags.values.explain, stdout);
  const timeout = toMilliseconds("--timeout", time);
  const { host, port } = await toTarget(flags);
  if ([start, client, flags.positionals[0]].filter((way) => way !== undefined).length > 1) {
    throw new UsageError("one of --start, --client and a host");
  }
  if (flags.values.all !== undefined) return await gradeAll(flags, stdout);
  for (const flag of ["build", "reports", "csv"]) {
    if (!flags.set.has(flag) && flags.values[flag] === undefined) continue;
    throw new UsageError(`--${flag} needs --all`);
  }
  if (client !== undefined) {
    return await runCases(client, CLIENT_CASES, flags, stdout, async (use) => {
      await checkRun("--client");
      const trial = new ClientTrial(client, timeout);
      use(trial);
      return await trial.check();
    });
  }
  const cases = toRequired(flags.values.require);
  if (start !== undefined) {
    return await runCases(start, cases, flags, stdout, async (use) => {
      await checkStart();
      const started = new Started(start, timeout);
      use(started);
      return new Trial("localhost", await started.start(), timeout, started);
    });
  }
  return await runCases(address(host, port), cases, flags, stdout, async () => {
    const fd = await openClientfd(host, port, { connectTimeout: timeout });
    return new Trial(host, fd, timeout);
  });
}

/** Tries all submissions in a folder. */
async function gradeAll({ values, set }: Flags, stdout: Stdout): Promise<number> {
  const { all: folder, build, start, total = "60", reports } = values;
  if (start === undefined) throw new UsageError("--all needs --start");
  const format = Object.keys(FORMATS).find((name) => set.has(name));
  if (format !== undefined) throw new UsageError(`--all and --${format} don't go together`);
  chosen(toRequired(values.require), values);
  await pointsOf(values.points);
  await checkStart();
  const forward = ["timeout", "level", "require", "only", "except", "points"];
  await new Deno.Command("prlimit", { args: ["--version"] }).output(); // throws if there is none
  const flags = forward.flatMap((name) => values[name] ? [`--${name}=${values[name]}`] : []);
  const seconds = toMilliseconds("--total", total) / 1000;
  let names: string[];
  try {
    names = submissions(folder!);
  } catch (error) {
    throw new UsageError(`--all: ${reason(error)}`);
  }
  if (names.length === 0) throw new UsageError(`--all: ${folder} is empty`);
  if (reports !== undefined) await Deno.mkdir(reports, { recursive: true });
  const row = set.has("csv") ? csv : table(names);
  let code = 0;
  const over = new AbortController();
  onEnd((_signal, ended) => {
    code = ended;
    over.abort();
  });
  await print(stdout, row());
  const all = { folder: folder!, build, start, total: seconds, flags, over: over.signal };
  for await (const graded of grade(names, all)) {
    await print(stdout, row(graded));
    await stdout.flush().catch(() => {});
    if (reports !== undefined) {
      await Deno.writeTextFile(`${reports}/${graded.name}.txt`, page(graded));
    }
    if (graded.rows.length === 0 || !passed(graded.rows)) code = 1;
  }
  return code;
}

/** Prints, unless the reader, such as head, has all it wants: the exit code still counts. */
async function print(stdout: Stdout, text: string): Promise<void> {
  try {
    await rioWriten(stdout, new TextEncoder().encode(text));
  } catch (error) {
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  }
}

/** Calls `end` on SIGINT, SIGTERM and SIGHUP, with the exit code. */
function onEnd(end: (signal: string, code: number) => unknown): void {
  onSignal((signal) => end(signal, signalCode(signal)));
  if (Deno.build.os !== "windows") Deno.addSignalListener("SIGHUP", () => end("SIGHUP", 129));
}

/** The cases of a server, with that of --require. */
function toRequired(text: string | undefined): Case<Trial>[] {
  if (text === undefined) return CASES;
  const [, n] = /^concurrent:(.*)$/.exec(text) ?? [];
  if (n === undefined) throw new UsageError(`--require must be concurrent:N, not ${text}`);
  return [...CASES, required(toInteger("--require=concurrent:N", n, 1, MANY))];
}

/** Prints what docs/judge.md says of the cases with `name` in theirs. */
async function explain(name: string, stdout: Stdout): Promise<number> {
  const page = await (await fetch(new URL("../docs/judge.md", import.meta.url))).text();
  const parts = page.split(/^(?=##+ )/m).filter((part) =>
    part.startsWith("### ") && part.split("\n")[0].toLowerCase().includes(name.toLowerCase())
  );
  if (parts.length === 0) throw new UsageError(`no case has ${name} in its name: see --list`);
  const text = parts.map((part) => part.slice(4).replace(/^```\w*\n/gm, "").trimEnd()).join("\n\n");
  await rioWriten(stdout, new TextEncoder().encode(`${text}\n`));
  return 0;
}

/** Throws unless any program may be run. Where it may, judge sees from now on all that they leave. */
async function checkRun(flag: string): Promise<void> {
  const may = async (name: "run" | "ffi") =>
    (await Deno.permissions.query({ name })).state === "granted";
  if (!(await may("run"))) throw new Error(`${flag} needs --allow-run`);
  if (Deno.build.os === "linux" && await may("ffi")) adoptOrphans();
}

/** Throws unless --start may run a program and look into /proc. */
async function checkStart(): Promise<void> {
  if (Deno.build.os !== "linux") throw new Error("--start needs Linux: it looks into /proc");
  try {
    await checkRun("--start");
    checkProc();
  } catch {
    throw new Error("--start needs deno run --allow-all: Deno opens /proc for nothing less");
  }
}

/** Runs the cases on what `open` returns, and reports the results, whatever happens. */
async function runCases<T extends Subject>(
  what: string,
  all: Case<T>[],
  { values, set }: Flags,
  stdout: Stdout,
  open: (use: (started: AsyncDisposable) => void) => Promise<T>,
): Promise<number> {
  const formats = Object.keys(FORMATS).filter((name) => set.has(name));
  if (formats.length > 1) throw new UsageError(`--${formats.join(" and --")} don't go together`);
  const cases = chosen(all, values);
  const total = values.total === undefined ? Infinity : toMilliseconds("--total", values.total);
  const points = await pointsOf(values.points);
  if (set.has("list")) {
    await print(stdout, cases.map(({ name }) => `${name}\n`).join(""));
    return 0;
  }

  const forPeople = () => lines(painter(Deno.stdout), values.client === undefined);
  const report = (FORMATS[formats[0]] ?? forPeople)();
  const rows: Row[] = [];
  const tell = async (result: Result) => {
    const { did, means, read } = cases[rows.length];
    const { level, points: usual } = MARKS.get(result.name)!;
    const row = { did, read, level, points: points[result.name] ?? usual, ...result };
    if (rows.length === 0) await print(stdout, report.begin(what, cases.length));
    rows.push({ ...row, means: result.means ?? means });
    await print(stdout, report.tell(rows.at(-1)!));
  };
  /** Reports what wasn't tried, and ends the report. */
  const finish = async (saw: string) => {
    for (const { name } of cases.slice(rows.length)) {
      await tell({ name, verdict: "not tried", saw, ms: 0 });
    }
    await print(stdout, report.end(rows));
  };

  let subject: AsyncDisposable | undefined;
  let over = false;
  onEnd(async (signal, code) => {
    if (over) return;
    over = true;
    await subject?.[Symbol.asyncDispose]();
    if (rows.length > 0 || formats.length > 0) await finish(`judge was ended by ${signal}`);
    await exit(code, stdout);
  });

  try {
    const results = async function* (): AsyncGenerator<Result> {
      let t: T;
      try {
        subject = t = await open((started) => subject = started);
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        // The submission has failed, not judge.
        const means = values.client === undefined ? NOT_LISTENING : NOT_CONNECTED;
        yield { name: cases[0].name, verdict: "failed", saw: error.message, means, ms: 0 };
        return;
      }
      yield* tryAll(t, cases, total);
    };
    for await (const result of results()) {
      if (over) await new Promise(() => {}); // exits
      await tell(result);
    }
    await finish("it doesn't run");
  } catch (error) {
    if (over) await new Promise(() => {}); // exits
    log(`judge: ${reason(error)}`);
    if (formats.length > 0) await finish("judge couldn't try");
    return 3;
  } finally {
    if (!over) await subject?.[Symbol.asyncDispose]();
  }
  return passed(rows) ? 0 : 1;
}

/** Runs judge, and exits with 3 if anything but the server or client keeps it from its report. */
async function mainOrThree(flags: Flags, stdout: Stdout): Promise<number> {
  let code: number | undefined;
  try {
    code = await main(flags, stdout);
    await stdout.flush();
  } catch (error) {
    if (error instanceof UsageError) throw error;
    if (code === undefined || !(error instanceof Deno.errors.BrokenPipe)) {
      log(`judge: ${reason(error)}`);
      code = 3;
    }
  }
  return await exit(code);
}

if (import.meta.main) await run(COMMAND_LINE, mainOrThree);
