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

/** A client: an IPv4 address, or the first `prefix` bits of an IPv6 one, since a host has a /64. */
export function clientOf(hostname: string, prefix = 64): string {
  const host = unmapped(hostname);
  if (!host.includes(":")) return host;
  return groupsOf(host).map((group) => group.toString(2).padStart(16, "0")).join("").slice(
    0,
    prefix,
  );
}

/** The eight groups of an IPv6 address. */
export function groupsOf(host: string): number[] {
  // URL writes the address in groups alone, without IPv4's dots.
  const { hostname: short } = new URL(`http://[${host.split("%")[0]}]`);
  const [head, tail] = short.slice(1, -1).split("::").map((half) => half.split(":"));
  const rest = tail?.filter((group) => group !== "") ?? [];
  const zeros = Array(8 - head.length - rest.length).fill("0");
  return [...head, ...zeros, ...rest].map((group) => parseInt(group || "0", 16));
}
