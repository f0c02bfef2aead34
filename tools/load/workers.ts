/** The threads of a load, seen from the main thread; worker.ts runs in them. */
import type { Target } from "../../client/target.ts";
import { FEW, isFair, mayConfigure, SETTING } from "../../net/fairness.ts";
import { Fault } from "./fault.ts";
import type { Shape, Thread } from "./generator.ts";
import type { Counts } from "./histogram.ts";

/** A message to a thread. */
export type Order =
  & { id: number }
  & (
    | { call: "start"; shape: Shape; target: Target; from: number; to: number }
    | { call: "open" | "begin" | "take" | "stop" | "opened" }
  );

/** A message from a thread. */
export type Answer =
  & { id: number }
  & (
    | { value: unknown }
    | { error: { fault: Pick<Fault, "kind" | "place" | "what"> | undefined; message: string } }
  );

const MODULE = new URL("./worker.ts", import.meta.url);
/** Whether a thread serves its connections fairly. */
export type Fairness = "fair" | "unfair" | "fair in a new thread";

/**
 * Makes threads started from now on fair to this many connections each, if permissions allow it.
 * Otherwise a thread with `FEW` or more starves some of them, and the delay would be blamed on
 * the server.
 */
export function makeFair(connections: number): Fairness {
  if (connections < FEW || isFair()) return "fair";
  if (!mayConfigure() || !mayStart()) return "unfair";
  Deno.env.set(SETTING, "100");
  return "fair in a new thread";
}

/** Whether a worker can be started, which needs permission to read its file. */
function mayStart(): boolean {
  if (MODULE.protocol !== "file:") return true;
  return Deno.permissions.querySync({ name: "read", path: MODULE }).state === "granted";
}

/** Starts `n` threads, and divides the connections among them. */
export async function startWorkers(n: number, shape: Shape, target: Target): Promise<Thread[]> {
  if (!mayStart()) throw new Error(`--workers=${n} needs deno run --allow-read: ${MODULE}`);
  const at = (i: number) => Math.floor(shape.connections * i / n);
  const workers = Array.from({ length: n }, () => new LoadWorker());
  await Promise.all(
    workers.map((worker, i) => worker.start({ shape, target, from: at(i), to: at(i + 1) })),
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
      this.#fail(new Error(`a worker failed: ${event.message}`));
    };
  }

  #fail(error: unknown): void {
    this.#failure = error;
    for (const call of this.#calls.values()) call.reject(error);
    this.#calls.clear();
  }

  #call<T>(order: DistributiveOmit<Order, "id">): Promise<T> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const call = Promise.withResolvers<unknown>();
    this.#calls.set(++this.#last, call);
    this.#worker.postMessage({ id: this.#last, ...order });
    return call.promise as Promise<T>;
  }

  start(what: { shape: Shape; target: Target; from: number; to: number }): Promise<void> {
    return this.#call({ call: "start", ...what });
  }

  open(): Promise<void> {
    return this.#call({ call: "open" });
  }

  begin(): Promise<void> {
    return this.#call({ call: "begin" });
  }

  take(): Promise<Counts> {
    return this.#call({ call: "take" });
  }

  stop(): Promise<number> {
    return this.#call({ call: "stop" });
  }

  opened(): Promise<number> {
    return this.#call({ call: "opened" });
  }

  close(): void {
    this.#worker.terminate();
  }
}

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

function thrown(
  { fault, message }: { fault?: Pick<Fault, "kind" | "place" | "what">; message: string },
) {
  return fault === undefined ? new Error(message) : new Fault(fault.kind, fault.place, fault.what);
}
