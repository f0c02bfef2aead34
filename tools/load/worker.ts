/** A thread of a load, started by workers.ts. */
import { reason } from "../../net/errors.ts";
import { connector } from "./connect.ts";
import { Fault } from "./fault.ts";
import { Generator } from "./generator.ts";
import type { Answer, Order } from "./workers.ts";

const main = globalThis as unknown as {
  postMessage(answer: Answer): void;
  onmessage: (event: MessageEvent<Order>) => void;
};

let generator: Generator;

main.onmessage = async ({ data: { id, call } }) => {
  try {
    if (typeof call === "string") {
      main.postMessage({ id, value: await generator[call]() });
    } else {
      const { shape, endpoint, from, to } = call;
      generator = new Generator(connector(endpoint, shape.timeout), shape, from, to);
      main.postMessage({ id, value: undefined });
    }
  } catch (error) {
    const { kind, place, what } = error instanceof Fault ? error : {};
    const fault = kind && place && what !== undefined ? { kind, place, what } : undefined;
    main.postMessage({ id, error: { fault, message: reason(error) } });
  }
};
