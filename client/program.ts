/** The program client.ts: command line, signals, exit code. */
import { type CommandLine, type Flags, toMilliseconds } from "../cli/flags.ts";
import { exit, run } from "../cli/program.ts";
import { onSignal, signalCode } from "../cli/signals.ts";
import type { Stdout } from "../cli/stdout.ts";
import { inOrder, traceTo } from "../cli/trace_lines.ts";
import { echoClient } from "../client.ts";
import { openTarget, TARGET, toTarget } from "./target.ts";
import { traceClientfd } from "./trace.ts";

const COMMAND_LINE: CommandLine = {
  name: "client",
  about:
    `The echo client of CS:APP: sends standard input to the server and prints what comes back.`,
  positionals: TARGET.positionals,
  flags: [
    ...TARGET.flags,
    [
      "lockstep",
      "wait for each line to come back before sending the next, as\nthe C program does; always so from a terminal",
    ],
    ["any-answer", "accept any answer: don't compare what comes back"],
    ["connect-timeout=SEC", "time to connect (default 30)"],
    ["timeout=SEC", "time to wait for an answer (default: no limit)"],
    [
      "trace",
      "show the lecture's calls on standard error, in order with standard\noutput; implies --lockstep",
    ],
  ],
  notes: "Exit codes: 0 done, 1 the network or the server failed, 2 usage.",
};

async function main(flags: Flags, stdout: Stdout): Promise<number> {
  const target = await toTarget(flags);
  const { timeout, "connect-timeout": connectTime = "30" } = flags.values;
  const connectTimeout = toMilliseconds("--connect-timeout", connectTime);
  const trace = flags.set.has("trace");
  const options = {
    lockstep: flags.set.has("lockstep") || trace || Deno.stdin.isTerminal(),
    anyAnswer: flags.set.has("any-answer"),
    timeout: timeout === undefined ? undefined : toMilliseconds("--timeout", timeout),
  };
  onSignal((signal) => exit(signalCode(signal), stdout));
  stdout.byLine ||= trace;
  const { unix, host, port } = target;
  const to = unix === undefined ? { host, port } : { path: unix };
  const open = () => openTarget(target, { connectTimeout });
  using clientfd = await (trace ? traceClientfd(to, open, traceTo("client")) : open());
  try {
    await echoClient(clientfd, Deno.stdin, trace ? inOrder(stdout) : stdout, options);
  } finally {
    await stdout.flush().catch(() => {}); // before an error is reported, however slow the reader
  }
  return 0;
}

/** Runs the program. */
export async function program(): Promise<never> {
  return await run(COMMAND_LINE, main);
}
