/** The server that a client connects to, from its command line. */
import { openClientfd, openTlsClientfd, openUnixClientfd } from "../client.ts";
import { address } from "../net/address.ts";
import type { ConnectOptions } from "../net/attempt.ts";
import { type CommandLine, type Flags, toHost, toInteger, UsageError } from "../cli/flags.ts";
import { PORT } from "../cli/program.ts";

/** The arguments and flags that all clients share. */
export const TARGET: Pick<CommandLine, "positionals" | "flags"> = {
  positionals: [
    ["host", "the server's name or address (default localhost); also HOST:PORT"],
    ["port", `its port (default ${PORT})`],
  ],
  flags: [
    ["unix=PATH", "connect to a Unix socket instead"],
    ["tls", "speak TLS"],
    ["cafile=FILE", "trust these certificates too (PEM)"],
    ["servername=NAME", "the name that the certificate must be for (default: the host)"],
  ],
};

/** The server to connect to; can be posted to a worker. */
export interface Target {
  host: string;
  port: number;
  /** The path of a Unix socket, instead of the host and the port. */
  unix: string | undefined;
  tls: boolean;
  /** Extra certificates to trust, in PEM. */
  caCerts: string[];
  /** The name that the certificate must be for; undefined: the host. */
  servername: string | undefined;
}

/**
 * The target given by `HOST PORT`, `HOST:PORT`, `HOST` or `PORT`, and `--unix`, `--tls`,
 * `--cafile` and `--servername`.
 * @throws {UsageError} If one is invalid or they conflict.
 * @throws {Error} If the file of certificates can't be read or holds none.
 */
export async function toTarget({ positionals, values, set }: Flags): Promise<Target> {
  let [host = "localhost", port = String(PORT)] = positionals;
  if (positionals.length === 1) {
    const [, name, number] = /^(?:(\[.*\]|[^:]*):)?(\d+)$/.exec(host) ?? [];
    if (number !== undefined) [host, port] = [name || "localhost", number];
  }
  host = toHost("the host", host);
  const { unix, cafile, servername } = values;
  const tls = set.has("tls");
  const target = { host, port: toInteger("port", port, 1, 65535), unix, tls };
  if (unix !== undefined && (tls || positionals.length > 0)) {
    throw new UsageError(`no host, port or --tls goes with --unix=${unix}`);
  }
  for (const [flag, value] of Object.entries({ cafile, servername })) {
    if (value !== undefined && !tls) throw new UsageError(`--${flag}=${value} goes with --tls`);
  }
  return { ...target, caCerts: await certificates(cafile), servername };
}

/** Connects to the target. */
export async function openTarget(
  { host, port, unix, tls, caCerts, servername }: Target,
  options: ConnectOptions,
): Promise<Deno.Conn<Deno.Addr>> {
  if (unix !== undefined) return await openUnixClientfd(unix);
  if (tls) return await openTlsClientfd(host, port, { ...options, caCerts, servername });
  return await openClientfd(host, port, options);
}

/** The target, for a message. */
export function show({ unix, host, port }: Target): string {
  return unix ?? address(host, port);
}

/** Reads certificates from a PEM file. */
async function certificates(path: string | undefined): Promise<string[]> {
  if (path === undefined) return [];
  const pem = await Deno.readTextFile(path);
  if (pem.includes("-----BEGIN CERTIFICATE-----")) return [pem];
  throw new Error(`--cafile=${path}: there is no certificate in it (PEM)`);
}
