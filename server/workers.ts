/**
 * The prethreaded server of the book's chapter 12: threads, each with its own accept loop, on one
 * listening socket. This is the main thread's side; worker.ts runs in the threads.
 */
import { log } from "../cli/diagnostics.ts";
import { label } from "../net/errors.ts";
import type { ServerOptions } from "./command_line.ts";
import type { Printer } from "./report.ts";
import type { Stats } from "./stats.ts";
import type { Pair } from "./tls.ts";

/** Where the threads listen, and their certificate. */
export interface Where {
  hostname: string;
  port: number;
  tls: Pair | undefined;
}

/** A message to a thread. */
export type Order =
  | { type: "start"; where: Where; options: ServerOptions }
  | { type: "stop" }
  | { type: "renew"; pair: Pair }
  | { type: "stats" }
  | { type: "printed" };

/** A message from a thread. */
export type Answer =
  | { type: "listening" }
  | { type: "failed"; message: string }
  | { type: "print"; bytes: Uint8Array<ArrayBuffer> }
  | { type: "log"; line: string }
  | { type: "stats"; stats: Stats }
  | { type: "ended" };

/** The threads of a server. */
export class Workers {
  readonly #workers: EchoWorker[];

  private constructor(workers: EchoWorker[]) {
    this.#workers = workers;
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
    const module = new URL("./worker.ts", import.meta.url);
    if (module.protocol === "file:") {
      const { state } = Deno.permissions.querySync({ name: "read", path: module });
      if (state !== "granted") {
        throw new Error(`--workers=${n} needs deno run --allow-read: ${module}`);
      }
    }
    const workers = Array.from({ length: n }, () => new EchoWorker(module, stdout));
    await Promise.all(workers.map((worker) => worker.start(where, options)));
    return new Workers(workers);
  }

  /** Resolves when all have ended; rejects if one fails. */
  get ended(): Promise<unknown> {
    return Promise.all(this.#workers.map((worker) => worker.ended.promise));
  }

  /** Tells all of them to stop, as `EchoServer.stop` does. */
  stop(): void {
    for (const worker of this.#workers) worker.tell({ type: "stop" });
  }

  /** Tells all of them to use another certificate. */
  renew(pair: Pair): void {
    for (const worker of this.#workers) worker.tell({ type: "renew", pair });
  }

  /** The counters of each of them. */
  stats(): Promise<Stats[]> {
    return Promise.all(this.#workers.map((worker) => worker.stats()));
  }
}

/** A thread, seen from the main thread. */
class EchoWorker {
  readonly #worker: Worker;
  readonly #listening = Promise.withResolvers<void>();
  readonly ended = Promise.withResolvers<void>();
  readonly #asked: ((stats: Stats) => void)[] = [];

  constructor(module: URL, stdout: Printer) {
    this.#worker = new Worker(module, { type: "module" });
    this.ended.promise.catch(() => {}); // `Workers.ended` reports it
    this.#worker.onmessage = async ({ data }: MessageEvent<Answer>) => {
      if (data.type === "listening") this.#listening.resolve();
      else if (data.type === "failed") this.#fail(new Error(data.message));
      else if (data.type === "log") log(data.line);
      else if (data.type === "ended") this.ended.resolve();
      else if (data.type === "stats") this.#asked.shift()?.(data.stats);
      else {
        await stdout.print(data.bytes);
        this.tell({ type: "printed" });
      }
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(label("a worker failed", new Error(event.message)));
    };
  }

  #fail(error: unknown): void {
    this.#listening.reject(error);
    this.ended.reject(error);
  }

  tell(order: Order): void {
    this.#worker.postMessage(order);
  }

  async start(where: Where, options: ServerOptions): Promise<void> {
    this.tell({ type: "start", where, options });
    await this.#listening.promise;
  }

  stats(): Promise<Stats> {
    this.tell({ type: "stats" });
    return new Promise((resolve) => this.#asked.push(resolve));
  }
}
