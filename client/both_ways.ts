/** Both directions at once, so that the network sets the speed and not its round trips. */
import { within } from "../net/time.ts";
import type { Reader } from "../rio.ts";
import type { Exchange } from "./exchange.ts";

/** Bytes of one read of the input, and of the connection. */
const BLOCK = 65_536;
/** Milliseconds for the end of the input to show, once the server has answered all and gone. */
const LAST_READ = 250;

/** Sends all of the input, and FIN, while bytes are printed as they come back. */
export async function bothWays(exchange: Exchange, input: Reader): Promise<void> {
  const sending = sendAll(exchange, input);
  const buf = new Uint8Array(BLOCK);
  while (await exchange.receive(buf, (options) => exchange.rio.read(buf, options)));
  // A server may have answered all and gone before the end of the input shows here.
  await within(exchange.received < exchange.sent ? 0 : LAST_READ, sending);
}

async function sendAll(exchange: Exchange, input: Reader): Promise<void> {
  const buf = new Uint8Array(BLOCK);
  for (let n; (n = await input.read(buf)) !== null;) {
    if (!(await exchange.send(buf.subarray(0, n)))) return;
  }
  await exchange.finish();
}
