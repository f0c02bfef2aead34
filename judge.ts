/**
 * An echo server on trial, in whatever language it is written: what the lecture warns of is tried on
 * it, a case a promise. The cases lie in `judge/`, by subject.
 *
 * @module
 */
import { type CommandLine, type Flags, toMilliseconds, UsageError } from "./cli/flags.ts";
import { log } from "./cli/diagnostics.ts";
import { exit, run } from "./cli/program.ts";
import { onSignal, signalCode } from "./cli/signals.ts";
import type { Stdout } from "./cli/stdout.ts";
import { openClientfd, target } from "./client.ts";
import { CASES } from "./judge/cases.ts";
import { Started } from "./judge/process.ts";
import { json, lines, type Report, tap } from "./judge/report.ts";
import { type Result, tryAll } from "./judge/run.ts";
import { type Case, Trial } from "./judge/trial.ts";
import { address } from "./net/address.ts";
import { reason } from "./net/errors.ts";
import { rioWriten } from "./rio.ts";

const COMMAND_LINE: CommandLine = {
  name: "judge",
  about: "",
  positionals: [
    ["host", "the server's name or address (default localhost); also HOST:PORT"],
    ["port", "its port (default 15213)"],
  ],
  flags: [
    ["start=CMD", "start the server, look into it, and end it; {port} in CMD is its port"],
    ["only=NAME", "only the cases whose name has NAME in it"],
    ["timeout=SEC", "how long a server may say nothing (default 5)"],
    ["list", "print the names of the cases"],
    ["tap", "print TAP 14"],
    ["json", "print JSON, at the end"],
  ],
  notes: "Exit codes: 0 all passed, 1 some failed, 2 usage, 3 nothing could be tried.",
};

async function main(flags: Flags, stdout: Stdout): Promise<number> {
  const { start, only = "", timeout: time = "5" } = flags.values;
  const timeout = toMilliseconds("--timeout", time);
  const [host, port] = target(flags.positionals);
  const print = (text: string) => rioWriten(stdout, new TextEncoder().encode(text));
  const cases = CASES.filter(({ name }) => name.toLowerCase().includes(only.toLowerCase()));
  if (cases.length === 0) throw new UsageError(`no case has ${only} in its name: see --list`);
  if (flags.set.has("list")) {
    await print(cases.map(({ name }) => `${name}\n`).join(""));
    return 0;
  }
  const report = flags.set.has("json")
    ? json()
    : flags.set.has("tap")
    ? tap()
    : lines(Deno.stdout.isTerminal() && !Deno.noColor);

  const started = start === undefined ? undefined : new Started(start, timeout);
  onSignal(async (signal) => {
    await started?.stop();
    await exit(signalCode(signal), stdout);
  });
  try {
    const spare = await (started?.start() ?? openClientfd(host, port, { connectTimeout: timeout }));
    using trial = new Trial({ host, port: spare.remoteAddr.port }, timeout, started, spare);
    return await hear(report, start ?? address(host, port), cases, trial, print);
  } catch (error) {
    log(`judge: ${reason(error)}`);
    return 3;
  } finally {
    await started?.stop();
  }
}

async function hear(
  report: Report,
  target: string,
  cases: Case[],
  trial: Trial,
  print: (text: string) => Promise<unknown>,
): Promise<number> {
  const results: Result[] = [];
  await print(report.begin(target, cases.length));
  for await (const result of tryAll(trial, cases)) {
    const told = cases[results.length];
    results.push(result);
    await print(report.tell(result, told));
  }
  await print(report.end(results));
  return results.every(({ verdict }) => verdict === "passed" || verdict === "skipped") ? 0 : 1;
}

if (import.meta.main) await run(COMMAND_LINE, main);
