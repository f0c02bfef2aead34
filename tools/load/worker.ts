/** A thread of a load, started by workers.ts. */
import { OtherThread } from "../../cli/threads.ts";
import { connector, type Endpoint } from "./connect.ts";
import { Generator, type Shape } from "./generator.ts";

let generator: Generator;

const methods = {
  /** Takes its share of the connections, `from` up to but excluding `to`. */
  share(shape: Shape, endpoint: Endpoint, from: number, to: number): void {
    generator = new Generator(connector(endpoint, shape.timeout), shape, from, to);
  },
  open: () => generator.open(),
  begin: () => generator.begin(),
  take: () => generator.take(),
  stop: () => generator.stop(),
  end: () => generator.end(),
};

/** What the main thread may call. */
export type LoadThread = typeof methods;

new OtherThread(globalThis, methods);
