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
import { openClientfd } from "./client.ts";
import { CASES } from "./judge/cases.ts";
import { Started } from "./judge/process.ts";
import { CLIENT_CASES, ClientTrial } from "./judge/client.ts";
import { json, lines, type Report, tap } from "./judge/report.ts";
import { type Result, type Stand, tryAll } from "./judge/run.ts";
import type { Case } from "./judge/case.ts";
import { Trial } from "./judge/trial.ts";
import { toTarget } from "./cli/target.ts";
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
    ["client=CMD", "a client is on trial: {host} and {port} in CMD are judge's"],
    ["only=NAME", "only the cases whose name has NAME in it"],
    ["timeout=SEC", "how long a server may say nothing (default 5)"],
    ["list", "print the names of the cases"],
    ["tap", "print TAP 14"],
    ["json", "print JSON, at the end"],
  ],
  notes: "Exit codes: 0 all passed, 1 some failed, 2 usage, 3 nothing could be tried.",
};

async function main(flags: Flags, stdout: Stdout): Promise<number> {
  const { start, client, only = "", timeout: time = "5" } = flags.values;
  const timeout = toMilliseconds("--timeout", time);
  const { host, port } = await toTarget(flags);
  const formats = ["tap", "json"].filter((format) => flags.set.has(format));
  if (formats.length > 1) throw new UsageError("--tap and --json don't go together");
  const ways = [start, client, flags.positionals[0]].filter((way) => way !== undefined);
  if (ways.length > 1) throw new UsageError("one of --start, --client and a host");
  const print = (text: string) => rioWriten(stdout, new TextEncoder().encode(text));
  const report = formats.includes("json")
    ? json()
    : formats.includes("tap")
    ? tap()
    : lines(Deno.stdout.isTerminal() && !Deno.noColor);
  const hear = async <T extends Stand>(what: string, all: Case<T>[], t: () => Promise<T>) => {
    const cases = all.filter(({ name }) => name.toLowerCase().includes(only.toLowerCase()));
    if (cases.length === 0) throw new UsageError(`no case has ${only} in its name: see --list`);
    if (flags.set.has("list")) {
      await print(cases.map(({ name }) => `${name}\n`).join(""));
      return 0;
    }
    try {
      using stand = await t();
      return await tell(report, what, cases, stand, print);
    } catch (error) {
      log(`judge: ${reason(error)}`);
      return 3;
    }
  };
  if (client !== undefined) {
    await checkPermissions("--client");
    return await hear(
      client,
      CLIENT_CASES,
      () => Promise.resolve(new ClientTrial(client, timeout)),
    );
  }
  const started = start === undefined ? undefined : new Started(start, timeout);
  onSignal(async (signal) => {
    await started?.stop();
    await exit(signalCode(signal), stdout);
  });
  try {
    return await hear(start ?? address(host, port), CASES, async () => {
      if (started !== undefined) await checkPermissions("--start");
      const fd = await (started?.start() ?? openClientfd(host, port, { connectTimeout: timeout }));
      return new Trial({ host, port: fd.remoteAddr.port }, timeout, started, fd);
    });
  } finally {
    await started?.stop();
  }
}

/** Throws one line if Deno may not do what a flag needs. */
async function checkPermissions(flag: string): Promise<void> {
  for (const name of ["run", "read"] as const) {
    if ((await Deno.permissions.query({ name })).state === "granted") continue;
    throw new Error(`${flag} needs --allow-run, and --allow-read for /proc`);
  }
}

/** Tries the cases and tells what becomes of them. */
async function tell<T extends Stand>(
  report: Report,
  what: string,
  cases: Case<T>[],
  t: T,
  print: (text: string) => Promise<unknown>,
): Promise<number> {
  const results: Result[] = [];
  await print(report.begin(what, cases.length));
  for await (const result of tryAll(t, cases)) {
    const told = cases[results.length];
    results.push(result);
    await print(report.tell(result, told));
  }
  await print(report.end(results));
  return results.every(({ verdict }) => verdict === "passed" || verdict === "skipped") ? 0 : 1;
}

if (import.meta.main) await run(COMMAND_LINE, main);
