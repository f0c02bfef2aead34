/**
 * The prethreaded server of the book's chapter 12: threads, each with its own accept loop, on one
 * listening socket. This is the main thread's side; worker.ts runs in the threads.
 */
import { log } from "../cli/diagnostics.ts";
import { type OtherThread, startThreads } from "../cli/threads.ts";
import type { ServerOptions } from "./command_line.ts";
import type { Printer } from "./report.ts";
import type { Running } from "./program.ts";
import type { Pair } from "./tls.ts";
import type { ServerThread } from "./worker.ts";

/** Where the threads listen, and their certificate. */
export interface Where {
  hostname: string;
  port: number;
  tls: Pair | undefined;
}

/** What a thread may call. */
export interface MainThread {
  print(bytes: Uint8Array): Promise<void> | undefined;
  log(line: string): void;
}

/**
 * Starts `n` threads that print to `stdout`, in whole lines; resolves once all of them listen.
 * @throws {Error} If one of them can't listen, or the module may not be read.
 */
export async function startWorkers(
  n: number,
  where: Where,
  options: ServerOptions,
  stdout: Printer,
): Promise<Omit<Running, "where">> {
  const own: MainThread = { print: (bytes) => stdout.print(bytes), log };
  const module = new URL("./worker.ts", import.meta.url);
  const threads = startThreads<ServerThread>(n, module, own);
  const all = <T>(call: (thread: OtherThread<ServerThread>) => Promise<T>): Promise<T[]> => {
    const answers = Promise.all(threads.map(call));
    answers.catch(() => {}); // `ended` reports a thread that fails
    return answers;
  };
  await all((thread) => thread.call("listen", where, options));
  return {
    ended: all((thread) => thread.call("run")),
    stop: () => void all((thread) => thread.call("stop")),
    renew: (pair) => void all((thread) => thread.call("renew", pair)),
    stats: () => all((thread) => thread.call("stats")),
  };
}
