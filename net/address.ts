/** Addresses, as both ends of a connection check and show them. */
import { checkRange } from "../rio.ts";

/** Throws a RangeError unless `port` is an integer from `min` to 65535. */
export function checkPort(what: string, port: number, min: number): void {
  checkRange(`${what}: port`, port, min, 65535);
}

/** An address as it stands in a URL. */
export function address(hostname: string, port: number): string {
  return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}

/** An IPv4 address without the IPv6 that a dual-stack socket puts around it. */
export function unmapped(hostname: string): string {
  return hostname.replace(/^::ffff:(?=\d+\.)/, "");
}
