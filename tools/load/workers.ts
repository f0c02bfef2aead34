/** The threads of a load, seen from the main thread; worker.ts runs in them. */
import { startThreads } from "../../cli/threads.ts";
import type { Endpoint } from "./connect.ts";
import { Fault } from "./fault.ts";
import type { Shape, Thread } from "./generator.ts";
import type { LoadThread } from "./worker.ts";

/** Starts `n` threads, and divides the connections among them. */
export async function startWorkers(
  n: number,
  shape: Shape,
  endpoint: Endpoint,
): Promise<Thread[]> {
  const at = (i: number) => Math.floor(shape.connections * i / n);
  const threads = startThreads<LoadThread>(n, new URL("./worker.ts", import.meta.url), {});
  await Promise.all(
    threads.map((thread, i) => thread.call("share", shape, endpoint, at(i), at(i + 1))),
  );
  return threads.map((thread) => ({
    open: () => thread.call("open").catch(toFault),
    begin: () => thread.call("begin").catch(toFault),
    take: () => thread.call("take"),
    stop: () => thread.call("stop"),
    end: () => thread.call("end"),
  }));
}

/** Throws what a thread has thrown: a fault's fields have come, without its class. */
function toFault(error: Error & Partial<Fault>): never {
  const { kind, place, what } = error;
  throw kind && place && what !== undefined ? new Fault(kind, place, what) : error;
}
