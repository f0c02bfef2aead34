/**
 * Tests an echo server, in whatever language it is written, for the mistakes the lecture warns of.
 * Each case tests one promise. The cases are in `tools/judge/`, by subject.
 *
 * @module
 */
import { type CommandLine, type Flags, toMilliseconds, UsageError } from "../cli/flags.ts";
import { log } from "../cli/diagnostics.ts";
import { exit, run } from "../cli/program.ts";
import { onSignal, signalCode } from "../cli/signals.ts";
import type { Stdout } from "../cli/stdout.ts";
import { toTarget } from "../client/target.ts";
import { openClientfd } from "../client.ts";
import { CASES } from "./judge/cases.ts";
import { Started } from "./judge/process.ts";
import { CLIENT_CASES, ClientTrial } from "./judge/client.ts";
import { json, lines, tap } from "./judge/report.ts";
import { type Result, type Subject, tryAll } from "./judge/run.ts";
import type { Case } from "./judge/case.ts";
import { MAX_BYTES, MAX_CONNECTIONS, MAX_OPEN, Trial } from "./judge/trial.ts";
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
    ["only=NAME", "only cases with NAME in their name"],
    ["timeout=SEC", "how long to wait for an answer (default 5)"],
    ["list", "print the names of the cases"],
    ["tap", "print TAP 14"],
    ["json", "print JSON at the end"],
  ],
  notes:
    `It sends only to the address given, which for localhost is 127.0.0.1 and ::1. A case opens at
most ${MAX_CONNECTIONS} connections, ${MAX_OPEN} at once, and sends at most ${MAX_BYTES / 1e6} MB.

Exit codes: 0 all passed, 1 some failed, 2 usage, 3 judge couldn't try or look.`,
};

async function main(flags: Flags, stdout: Stdout): Promise<number> {
  const { start, client, timeout: time = "5" } = flags.values;
  const timeout = toMilliseconds("--timeout", time);
  const { host, port } = await toTarget(flags);
  if ([start, client, flags.positionals[0]].filter((way) => way !== undefined).length > 1) {
    throw new UsageError("one of --start, --client and a host");
  }
  if (client !== undefined) {
    return await runCases(client, CLIENT_CASES, flags, stdout, async () => {
      await checkRun("--client");
      return await new ClientTrial(client, timeout).check();
    });
  }
  if (start !== undefined) {
    return await runCases(start, CASES, flags, stdout, async () => {
      if (Deno.build.os !== "linux") throw new Error("--start needs Linux: it looks into /proc");
      await checkProc();
      const started = new Started(start, timeout);
      return new Trial("localhost", await started.start(), timeout, started);
    });
  }
  return await runCases(address(host, port), CASES, flags, stdout, async () => {
    const fd = await openClientfd(host, port, { connectTimeout: timeout });
    return new Trial(host, fd, timeout);
  });
}

/** Throws unless any program may be run. */
async function checkRun(flag: string): Promise<void> {
  if ((await Deno.permissions.query({ name: "run" })).state === "granted") return;
  throw new Error(`${flag} needs --allow-run`);
}

/** Throws unless --start may run a program and look into /proc. */
async function checkProc(): Promise<void> {
  try {
    await checkRun("--start");
    await Deno.readTextFile("/proc/self/stat");
  } catch {
    throw new Error("--start needs deno run --allow-all: Deno opens /proc for nothing less");
  }
}

/** Runs the cases on what `open` returns, and reports the results. */
async function runCases<T extends Subject>(
  what: string,
  all: Case<T>[],
  { values: { only = "", client }, set }: Flags,
  stdout: Stdout,
  open: () => Promise<T>,
): Promise<number> {
  if (set.has("tap") && set.has("json")) throw new UsageError("--tap and --json don't go together");
  const cases = all.filter(({ name }) => name.toLowerCase().includes(only.toLowerCase()));
  if (cases.length === 0) throw new UsageError(`no case has ${only} in its name: see --list`);
  const print = (text: string) => rioWriten(stdout, new TextEncoder().encode(text));
  if (set.has("list")) {
    await print(cases.map(({ name }) => `${name}\n`).join(""));
    return 0;
  }

  let subject;
  try {
    subject = await open();
  } catch (error) {
    log(`judge: ${reason(error)}`);
    return 3;
  }
  await using t = subject;
  onSignal(async (signal) => {
    await t[Symbol.asyncDispose]();
    await exit(signalCode(signal), stdout);
  });
  const forPeople = () => lines(Deno.stdout.isTerminal() && !Deno.noColor, client === undefined);
  const report = set.has("json") ? json() : set.has("tap") ? tap() : forPeople();
  const results: Result[] = [];
  await print(report.begin(what, cases.length));
  try {
    for await (const result of tryAll(t, cases)) {
      await print(report.tell(result, cases[results.length]));
      results.push(result);
    }
  } catch (error) {
    if (error === stdout.error) throw error;
    log(`judge: ${reason(error)}`);
    return 3;
  }
  await print(report.end(results));
  return results.every(({ verdict }) => verdict === "passed" || verdict === "skipped") ? 0 : 1;
}

if (import.meta.main) await run(COMMAND_LINE, main);
