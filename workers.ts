/**
 * The prethreaded server of the book's chapter 12: threads with an accept loop each,
 * on one port among whose listeners the kernel spreads the clients (SO_REUSEPORT).
 * This module is both ends: what starts the threads, and what runs in each of them.
 *
 * @module
 */
import { label, reason, Stdout } from "./cli.ts";
import { EchoServer, type EchoServerOptions, type Printer, type Stats } from "./echo.ts";
import { type ListenOptions, openListenfd } from "./listen.ts";

/** What the main thread says. */
type Order =
  | {
    type: "start";
    port: number;
    listenOptions: ListenOptions;
    options: EchoServerOptions;
  }
  | { type: "stop" }
  | { type: "stats" }
  | { type: "printed" };

/** What a thread says. */
type Report =
  | { type: "listening" }
  | { type: "failed"; message: string }
  | { type: "print"; bytes: Uint8Array<ArrayBuffer> }
  | { type: "log"; line: string }
  | { type: "stats"; stats: Stats }
  | { type: "ended" };

/** The threads of a server, from outside. */
export interface Workers {
  /** Where they listen. */
  addr: Deno.NetAddr;
  /** Resolves when all have ended. */
  ended: Promise<unknown>;
  /** Has all of them accept no more. */
  stop(): void;
  /** What each of them has done. */
  stats(): Promise<Stats[]>;
}

/**
 * Starts threads that listen on one port.
 *
 * @param n How many.
 * @param port The port; 0 takes any free one.
 * @param listenOptions The address and the queue.
 * @param options How each thread serves.
 * @param stdout Where all of them print, in whole lines.
 * @returns The threads, when all of them listen.
 * @throws {Error} If they can't share a port, or can't listen.
 */
export async function startWorkers(
  n: number,
  port: number,
  listenOptions: ListenOptions,
  options: EchoServerOptions,
  stdout: Printer,
): Promise<Workers> {
  if (Deno.build.os !== "linux" || !("listenDatagram" in Deno)) {
    throw new Error(
      `--workers=${n} needs SO_REUSEPORT: Linux, and deno run --unstable-net`,
    );
  }
  const path = new URL(import.meta.url);
  if (
    path.protocol === "file:" &&
    Deno.permissions.requestSync({ name: "read", path }).state !== "granted"
  ) {
    throw new Error(`--workers=${n} needs deno run --allow-read: ${path}`);
  }
  // Holds the port until all threads have it.
  using listenfd = openListenfd(port, listenOptions);
  const { addr } = listenfd;
  const workers = Array.from({ length: n }, () => new EchoWorker(stdout));
  await Promise.all(
    workers.map((worker) =>
      worker.start({ type: "start", port: addr.port, listenOptions, options })
    ),
  );
  return {
    addr,
    ended: Promise.all(workers.map((worker) => worker.ended.promise)),
    stop: () => workers.forEach((worker) => worker.order({ type: "stop" })),
    stats: () => Promise.all(workers.map((worker) => worker.stats())),
  };
}

/** A thread, from outside. */
class EchoWorker {
  readonly #worker = new Worker(import.meta.url, {
    type: "module",
    name: THREAD,
  });
  readonly #listening = Promise.withResolvers<void>();
  readonly ended = Promise.withResolvers<void>();
  #stats = Promise.withResolvers<Stats>();

  constructor(stdout: Printer) {
    this.#worker.onmessage = async ({ data }: MessageEvent<Report>) => {
      if (data.type === "listening") this.#listening.resolve();
      else if (data.type === "failed") {
        this.#listening.reject(new Error(data.message));
      } else if (data.type === "log") console.error(data.line);
      else if (data.type === "ended") this.ended.resolve();
      else if (data.type === "stats") {
        this.#stats.resolve(data.stats);
        this.#stats = Promise.withResolvers();
      } else {
        await stdout.print(data.bytes);
        this.order({ type: "printed" });
      }
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      const error = label("a worker failed", new Error(event.message));
      this.#listening.reject(error);
      this.ended.reject(error);
    };
  }

  order(order: Order): void {
    this.#worker.postMessage(order);
  }

  async start(order: Order): Promise<void> {
    this.order(order);
    await this.#listening.promise;
  }

  async stats(): Promise<Stats> {
    this.order({ type: "stats" });
    return await this.#stats.promise;
  }
}

/** The name of a thread, by which this module knows that it runs in one. */
const THREAD = "rio echo server";

/** What runs in a thread. */
function thread(): void {
  const port = globalThis as unknown as {
    postMessage(report: Report): void;
    onmessage: (event: MessageEvent<Order>) => void;
  };
  let printed = Promise.withResolvers<void>();
  // A block at a time is on its way to the main thread, so that memory is bounded.
  const stdout = new Stdout({
    async write(p) {
      printed = Promise.withResolvers();
      port.postMessage({ type: "print", bytes: p.slice() });
      await printed.promise;
      return p.length;
    },
  });
  let server: EchoServer | undefined;

  async function start(order: Order & { type: "start" }): Promise<void> {
    server = new EchoServer(
      order.options,
      stdout,
      (line) => port.postMessage({ type: "log", line }),
    );
    try {
      const listenfd = openListenfd(order.port, order.listenOptions);
      port.postMessage({ type: "listening" });
      await server.run(listenfd);
      await stdout.flush();
      port.postMessage({ type: "ended" });
    } catch (error) {
      port.postMessage({ type: "failed", message: reason(error) });
    }
  }

  port.onmessage = ({ data }) => {
    if (data.type === "start") start(data);
    else if (data.type === "printed") printed.resolve();
    else if (data.type === "stop") server?.stop();
    else if (server) port.postMessage({ type: "stats", stats: server.stats });
  };
}

if ("name" in globalThis && globalThis.name === THREAD) thread();
