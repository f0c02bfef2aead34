/** Threads: each side of a Worker calls the other's methods, and awaits what they return. */
import { reason } from "../net/errors.ts";

/** What one side lets the other call. */
type Methods<T> = { [K in keyof T]: (...args: never[]) => unknown };

type Message =
  & { id: number }
  & ({ name: string; args: unknown[] } | { value: unknown } | { error: { message: string } });

/** A Worker, or in one of them its global scope. */
interface Port {
  postMessage(message: Message): void;
  onmessage: ((event: MessageEvent<Message>) => void) | null;
}

/** The other side, which has the methods `T`. */
export class OtherThread<T extends Methods<T>> {
  readonly #port: Port;
  readonly #calls = new Map<number, PromiseWithResolvers<unknown>>();
  #last = 0;
  #failure: unknown;

  /** Lets it call the methods of `own`. */
  constructor(port: unknown, own: object) {
    this.#port = port as Port;
    this.#port.onmessage = async ({ data }) => {
      const { id } = data;
      if ("name" in data) {
        this.#port.postMessage({ id, ...await answer(own, data.name, data.args) });
      } else {
        const call = this.#calls.get(id);
        this.#calls.delete(id);
        if ("value" in data) call?.resolve(data.value);
        else call?.reject(Object.assign(new Error(), data.error));
      }
    };
  }

  /** Calls a method. Rejects with the message and the fields of what it throws. */
  call<K extends keyof T & string>(
    name: K,
    ...args: Parameters<T[K]>
  ): Promise<Awaited<ReturnType<T[K]>>> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const call = Promise.withResolvers<unknown>();
    this.#calls.set(++this.#last, call);
    this.#port.postMessage({ id: this.#last, name, args });
    return call.promise as Promise<Awaited<ReturnType<T[K]>>>;
  }

  /** Fails all calls, and those to come. */
  fail(error: unknown): void {
    this.#failure = error;
    for (const call of this.#calls.values()) call.reject(error);
    this.#calls.clear();
  }
}

async function answer(own: object, name: string, args: unknown[]) {
  try {
    const method = own[name as keyof typeof own] as (...args: unknown[]) => unknown;
    return { value: await method(...args) };
  } catch (error) {
    return { error: { ...error as Error, message: reason(error) } };
  }
}

/**
 * Starts the `n` threads of `--workers`, which may call the methods of `own`.
 * @throws {Error} If the module may not be read.
 */
export function startThreads<T extends Methods<T>>(
  n: number,
  module: URL,
  own: object,
): OtherThread<T>[] {
  const read = { name: "read", path: module } as const;
  if (module.protocol === "file:" && Deno.permissions.querySync(read).state !== "granted") {
    throw new Error(`--workers=${n} needs deno run --allow-read: ${module}`);
  }
  return Array.from({ length: n }, () => {
    const worker = new Worker(module, { type: "module" });
    const thread = new OtherThread<T>(worker, own);
    worker.onerror = (event) => {
      event.preventDefault();
      thread.fail(new Error(`a worker failed: ${event.message}`));
    };
    return thread;
  });
}
