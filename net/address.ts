/** Checks and formats addresses, for client and server. */
import { checkRange } from "../rio.ts";

/** Throws a RangeError unless `port` is an integer from `min` to 65535. `what` names the call. */
export function checkPort(what: string, port: number, min: number): void {
  checkRange(`${what}: port`, port, min, 65535);
}

/** HOST:PORT, with an IPv6 address in brackets as in a URL. */
export function address(hostname: string, port: number): string {
  return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}

/** Turns an IPv4-mapped IPv6 address, which a dual-stack socket reports, into plain IPv4. */
export function unmapped(hostname: string): string {
  return hostname.replace(/^::ffff:(?=\d+\.)/, "");
}
