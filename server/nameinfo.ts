/** Names and numbers of the other end of a connection: getnameinfo(3). */
import { address, unmapped } from "../net/address.ts";
import { printable } from "../net/text.ts";
import { within } from "../net/time.ts";
import type { Endpoints } from "./proxy.ts";

/**
 * The most lookups at a time. Each holds one of the 32 threads that files and standard output
 * need too, for up to 10 s, until the resolver gives up.
 */
const MAX_LOOKUPS = 8;
/** Milliseconds to wait for a name before the numbers are printed. */
const PATIENCE = 1000;

let lookups = 0;

/** The address of the other end, for a diagnostic. */
export function peername(addr: Deno.Addr): string {
  return "hostname" in addr ? address(unmapped(addr.hostname), addr.port) : "a client";
}

/** The host and the port of a client as numbers: getnameinfo(3) with NI_NUMERICHOST. */
export function numbers({ remoteAddr, localAddr }: Endpoints): [host: string, port: string] {
  return "hostname" in remoteAddr
    ? [unmapped(remoteAddr.hostname), String(remoteAddr.port)]
    // A client of a Unix socket has no name. The path may come from a PROXY header.
    : ["localhost", printable((localAddr as Deno.UnixAddr).path)];
}

/** The names of host and service, or the number where there is no name: getnameinfo(3). */
export async function nameinfo(ends: Endpoints): Promise<[host: string, port: string]> {
  const [host, port] = numbers(ends);
  if (!("hostname" in ends.remoteAddr)) return [host, port];
  const found = await lookup(host, ends.remoteAddr.port);
  if (found !== undefined) return [found.hostname, found.service];
  // node's call fails if the host has no name: ask for the service alone.
  const { service = port } = await lookup("127.0.0.1", ends.remoteAddr.port) ?? {};
  return [host, service];
}

async function lookup(
  host: string,
  port: number,
): Promise<{ hostname: string; service: string } | undefined> {
  if (lookups >= MAX_LOOKUPS) return undefined;
  lookups++;
  const found = import("node:dns/promises")
    .then(({ lookupService }) => lookupService(host, port))
    .catch(() => undefined)
    .finally(() => lookups--);
  return await within(PATIENCE, found);
}
