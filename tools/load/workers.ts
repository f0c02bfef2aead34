/** The threads of a load, seen from the main thread; worker.ts runs in them. */
import type { Endpoint } from "./connect.ts";
import { Fault } from "./fault.ts";
import type { Shape, Thread } from "./generator.ts";
import type { Taken } from "./tally.ts";

/** What a thread does: its share of the connections, `from` up to but excluding `to`. */
export interface Share {
  shape: Shape;
  endpoint: Endpoint;
  from: number;
  to: number;
}

/** A message to a thread: first its share, then the name of a method of its generator. */
export type Order = { id: number; call: Share | keyof Thread };

/** A message from a thread. */
export type Answer =
  & { id: number }
  & (
    | { value: unknown }
    | { error: { fault: Pick<Fault, "kind" | "place" | "what"> | undefined; message: string } }
  );

const MODULE = new URL("./worker.ts", import.meta.url);
/** Whether a worker can be started, which needs permission to read its file. */
function mayStart(): boolean {
  if (MODULE.protocol !== "file:") return true;
  return Deno.permissions.querySync({ name: "read", path: MODULE }).state === "granted";
}

/** Starts `n` threads, and divides the connections among them. */
export async function startWorkers(
  n: number,
  shape: Shape,
  endpoint: Endpoint,
): Promise<Thread[]> {
  if (!mayStart()) throw new Error(`--workers=${n} needs deno run --allow-read: ${MODULE}`);
  const at = (i: number) => Math.floor(shape.connections * i / n);
  const workers = Array.from({ length: n }, () => new LoadWorker());
  await Promise.all(
    workers.map((worker, i) => worker.call({ shape, endpoint, from: at(i), to: at(i + 1) })),
  );
  return workers;
}

/** A thread, seen from the main thread. */
class LoadWorker implements Thread {
  readonly #worker = new Worker(MODULE, { type: "module" });
  readonly #calls = new Map<number, PromiseWithResolvers<unknown>>();
  #last = 0;
  #failure: unknown;

  constructor() {
    this.#worker.onmessage = ({ data }: MessageEvent<Answer>) => {
      const call = this.#calls.get(data.id);
      this.#calls.delete(data.id);
      if ("value" in data) call?.resolve(data.value);
      else call?.reject(thrown(data.error));
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#failure = new Error(`a worker failed: ${event.message}`);
      for (const call of this.#calls.values()) call.reject(this.#failure);
      this.#calls.clear();
    };
  }

  call<T>(call: Order["call"]): Promise<T> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const answer = Promise.withResolvers<unknown>();
    this.#calls.set(++this.#last, answer);
    this.#worker.postMessage({ id: this.#last, call });
    return answer.promise as Promise<T>;
  }

  open(): Promise<void> {
    return this.call("open");
  }

  begin(): Promise<void> {
    return this.call("begin");
  }

  take(): Promise<Taken> {
    return this.call("take");
  }

  stop(): Promise<void> {
    return this.call("stop");
  }

  async end(): Promise<Taken> {
    try {
      return await this.call("end");
    } finally {
      this.#worker.terminate();
    }
  }
}

function thrown(
  { fault, message }: { fault?: Pick<Fault, "kind" | "place" | "what">; message: string },
) {
  return fault === undefined ? new Error(message) : new Fault(fault.kind, fault.place, fault.what);
}
