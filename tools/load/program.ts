/** The program load.ts: threads, report, exit code. */
import { log } from "../../cli/diagnostics.ts";
import type { Flags } from "../../cli/flags.ts";
import { run } from "../../cli/program.ts";
import { onSignal, signalCode } from "../../cli/signals.ts";
import type { Stdout } from "../../cli/stdout.ts";
import { rioWriten } from "../../rio.ts";
import { COMMAND_LINE, loadFlags, type Plan, planned } from "./command_line.ts";
import { drive, type LoadResult } from "./drive.ts";
import { connector } from "./connect.ts";
import { EXIT_CODES } from "./fault.ts";
import { Generator, type Thread } from "./generator.ts";
import { showProgress } from "./progress.ts";
import { jsonSecond, jsonSummary, summary } from "./report.ts";
import { startWorkers } from "./workers.ts";

async function main(flags: Flags, stdout: Stdout): Promise<number> {
  const plan = await loadFlags(flags);
  const { time, warmup, json } = plan;
  const print = (text: string) => rioWriten(stdout, new TextEncoder().encode(text));
  const stop = new AbortController();
  let code = 0;
  onSignal((signal) => {
    code = signalCode(signal);
    stop.abort();
  });
  const threads = await startThreads(plan);
  log(planned(plan));
  const progress = json ? undefined : showProgress(warmup + time);
  const result = await drive(threads, {
    time,
    warmup,
    signal: stop.signal,
    onSecond: (second) => json ? print(jsonSecond(second, plan)) : progress?.second(second),
  });
  await progress?.end();
  const { fault, faults } = result;
  const worst = Object.entries(EXIT_CODES).find(([kind]) => kind in faults);
  if (fault !== undefined) code = EXIT_CODES[fault.kind];
  else if (code === 0 && worst !== undefined) code = worst[1];
  await print(json ? jsonSummary(result, plan, code) : summary(result, plan));
  if (fault !== undefined) log(`load: ${fault.message}`);
  if (isIterative(result)) log(iterative(result));
  return code;
}

/** Uses this thread, or workers if asked for. */
async function startThreads({ shape, endpoint, workers }: Plan): Promise<Thread[]> {
  const { connections, timeout } = shape;
  if (workers !== undefined) return await startWorkers(workers, shape, endpoint);
  return [new Generator(connector(endpoint, timeout), shape, 0, connections)];
}

/** Whether one connection was served, and all others waited for it. */
function isIterative({ asked, answered, lines, fault }: LoadResult): boolean {
  return asked > 1 && answered === 1 && (lines >= ROUNDS || fault?.kind === "timeout");
}

/** Lines that come back on a connection before the others are taken to wait. */
const ROUNDS = 10;

function iterative({ asked }: LoadResult): string {
  return `load: one connection of ${asked} was answered, the others waited: the server seems to serve ` +
    "one client at a time (ours has --concurrency=N)";
}

/** Runs the program. */
export async function program(): Promise<never> {
  return await run(COMMAND_LINE, main);
}
