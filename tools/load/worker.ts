/** A thread of a load, started by workers.ts. */
import { openTarget } from "../../client/target.ts";
import { reason } from "../../net/errors.ts";
import { Fault } from "./fault.ts";
import { Generator } from "./generator.ts";
import type { Answer, Order } from "./workers.ts";

const main = globalThis as unknown as {
  postMessage(answer: Answer): void;
  onmessage: (event: MessageEvent<Order>) => void;
};

let generator: Generator;

main.onmessage = async ({ data }) => {
  const { id } = data;
  try {
    if (data.call === "start") {
      const { shape, target, from, to } = data;
      const connect = () => openTarget(target, { connectTimeout: shape.timeout });
      generator = new Generator(connect, shape, from, to);
      main.postMessage({ id, value: undefined });
    } else {
      main.postMessage({ id, value: await generator[data.call]() });
    }
  } catch (error) {
    const { kind, place, what } = error instanceof Fault ? error : {};
    const fault = kind && place && what !== undefined ? { kind, place, what } : undefined;
    main.postMessage({ id, error: { fault, message: reason(error) } });
  }
};
