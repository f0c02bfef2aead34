/** Sends and receives at the same time, so that no round trips slow it down. */
import type { Reader } from "../rio.ts";
import type { Exchange } from "./exchange.ts";

/** The most bytes per read of the input and of the connection. */
const BLOCK = 65_536;

/** Sends all of the input and FIN, and meanwhile prints what comes back. */
export async function bothWays(exchange: Exchange, input: Reader): Promise<void> {
  const sending = sendAll(exchange, input);
  const buf = new Uint8Array(BLOCK);
  while (await exchange.receive(buf, (options) => exchange.rio.read(buf, options)));
  await exchange.lastly(sending);
}

async function sendAll(exchange: Exchange, input: Reader): Promise<void> {
  const buf = new Uint8Array(BLOCK);
  for (let n; (n = await input.read(buf)) !== null;) {
    if (!(await exchange.send(buf.subarray(0, n)))) return;
  }
  await exchange.finish();
}
