/**
 * The prethreaded server of the book's chapter 12: threads, each with its own accept loop, on one
 * listening socket. This is the main thread's side; worker.ts runs in the threads.
 */
import { log } from "../cli/diagnostics.ts";
import { type OtherThread, startThreads } from "../cli/threads.ts";
import type { ServerOptions } from "./command_line.ts";
import type { Printer } from "./report.ts";
import type { Stats } from "./stats.ts";
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

/** The threads of a server. */
export class Workers {
  readonly #threads: OtherThread<ServerThread>[];
  /** Resolves when all have ended; rejects if one fails. */
  readonly ended: Promise<unknown>;

  private constructor(threads: OtherThread<ServerThread>[]) {
    this.#threads = threads;
    this.ended = this.#all((thread) => thread.call("run"));
  }

  /**
   * Starts `n` threads that print to `stdout`, in whole lines; resolves once all of them listen.
   * @throws {Error} If one of them can't listen, or the module may not be read.
   */
  static async start(
    n: number,
    where: Where,
    options: ServerOptions,
    stdout: Printer,
  ): Promise<Workers> {
    const own: MainThread = { print: (bytes) => stdout.print(bytes), log };
    const module = new URL("./worker.ts", import.meta.url);
    const threads = startThreads<ServerThread>(n, module, own);
    await Promise.all(threads.map((thread) => thread.call("listen", where, options)));
    return new Workers(threads);
  }

  /** Tells all of them to stop, as `EchoServer.stop` does. */
  stop(): void {
    this.#all((thread) => thread.call("stop"));
  }

  /** Tells all of them to use another certificate. */
  renew(pair: Pair): void {
    this.#all((thread) => thread.call("renew", pair));
  }

  /** The counters of each of them. */
  stats(): Promise<Stats[]> {
    return this.#all((thread) => thread.call("stats"));
  }

  #all<T>(call: (thread: OtherThread<ServerThread>) => Promise<T>): Promise<T[]> {
    const answers = Promise.all(this.#threads.map(call));
    answers.catch(() => {}); // `ended` reports a thread that fails
    return answers;
  }
}
