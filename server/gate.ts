/** Access rules: which balancers and clients may connect, and how often. */
import { BlockList, isIPv4, isIPv6 } from "node:net";
import { clientOf, unmapped } from "../net/address.ts";
import { isReset } from "../net/errors.ts";
import { plural } from "../net/text.ts";
import { withDeadline } from "../net/time.ts";
import type { Rio } from "../rio.ts";
import { Refused } from "./connections.ts";
import { type Endpoints, readProxyHeader } from "./proxy.ts";

/** Milliseconds for a PROXY header: at least 3 s, to cover a TCP retransmission. */
const HEADER_TIMEOUT = 3000;

/** The place of a client that isn't counted. */
export const NO_PLACE: Disposable = { [Symbol.dispose]() {} };

/** Access rules; can be posted to a worker. */
export interface GateOptions {
  /**
   * Addresses of balancers, or `unix`, whoever connects to a Unix socket. Nothing else may connect,
   * and each must send a PROXY header.
   */
  proxies?: string;
  /** Addresses of clients. Default: all. */
  allow?: string;
  /** Connections that a client may have at a time. Default: no limit. */
  perClient?: PerClient;
}

/** The number of connections by client: an IPv4 address, or an IPv6 prefix. */
export class ClientCounts {
  readonly #max: number;
  readonly #prefix: number;
  readonly #counts = new Map<string, number>();

  /** Allows up to `max` connections of an address, and of the first `prefix` bits of IPv6. */
  constructor({ max, prefix }: PerClient) {
    this.#max = max;
    this.#prefix = prefix;
  }

  /** Counts one more until it is disposed of; undefined if the client is at its limit. */
  take(hostname: string): Disposable | undefined {
    const client = clientOf(hostname, this.#prefix);
    const n = this.#counts.get(client) ?? 0;
    if (n >= this.#max) return undefined;
    this.#counts.set(client, n + 1);
    return {
      [Symbol.dispose]: () => {
        const n = this.#counts.get(client)! - 1;
        if (n > 0) this.#counts.set(client, n);
        else this.#counts.delete(client);
      },
    };
  }
}

/** How many connections a client may have, and how many bits of an IPv6 address are the client. */
export interface PerClient {
  max: number;
  prefix: number;
}

/** Connections refused, by the flag of the rule. */
export type Refusals = Record<"allow" | "per-client" | "proxy-protocol", number>;

/** The access rules of a server. */
export class Gate {
  /** How many connections each rule has refused. */
  readonly refusals: Refusals = { allow: 0, "per-client": 0, "proxy-protocol": 0 };
  readonly #proxies: BlockList | "unix" | undefined;
  readonly #allow: BlockList | undefined;
  readonly #perClient: PerClient | undefined;
  readonly #clients: ClientCounts | undefined;

  /** Applies these rules. */
  constructor({ proxies, allow, perClient }: GateOptions) {
    this.#proxies = proxies === undefined || proxies === "unix" ? proxies : blockList(proxies);
    this.#allow = allow === undefined ? undefined : blockList(allow);
    this.#perClient = perClient;
    this.#clients = perClient && new ClientCounts(perClient);
  }

  /**
   * Admits a connection, before its TLS handshake. If there are balancers, it first reads the PROXY
   * header from `rio`, changes the addresses in `ends` to those in it, and waits for a byte behind
   * it. Returns the connection's place in the count of its client: dispose of it when the
   * connection ends. Undefined for a health check, which closes without sending anything beyond a
   * header.
   * @throws {Refused} If an access rule refuses it.
   * @throws {Deno.errors.InvalidData} If its PROXY header is invalid.
   * @throws {Deno.errors.TimedOut} If the header takes longer than 3 s.
   */
  async enter(ends: Endpoints, rio: Rio): Promise<Disposable | undefined> {
    const balancer = ends.remoteAddr;
    if (this.#proxies !== undefined && !(await this.#readHeader(this.#proxies, ends, rio))) {
      return undefined;
    }
    const { remoteAddr } = ends;
    // A balancer that speaks for itself checks our health, whatever the rules for clients are.
    const checks = this.#proxies !== undefined && hostOf(remoteAddr) === hostOf(balancer);
    if (checks && !(await lives(rio))) return undefined;
    if (this.#allow !== undefined && !includes(this.#allow, remoteAddr)) {
      throw this.#refuse("allow", "its address isn't in --allow");
    }
    const place = this.#clients === undefined || !("hostname" in remoteAddr)
      ? NO_PLACE
      : this.#clients.take(remoteAddr.hostname);
    if (place === undefined) {
      const max = plural(this.#perClient!.max, "connection");
      throw this.#refuse("per-client", `its address has ${max}`);
    }
    let admitted = false;
    try {
      admitted = await this.isClient(rio);
    } finally {
      if (!admitted) place[Symbol.dispose]();
    }
    return admitted ? place : undefined;
  }

  /** Whether it isn't a balancer's health check: waits for a byte, if there are balancers. */
  async isClient(rio: Rio): Promise<boolean> {
    return this.#proxies === undefined || await lives(rio);
  }

  #refuse(rule: keyof Refusals, why: string): Refused {
    this.refusals[rule]++;
    return new Refused(why);
  }

  /** Reads the PROXY header; false if it was a health check. */
  async #readHeader(proxies: BlockList | "unix", ends: Endpoints, rio: Rio): Promise<boolean> {
    if (proxies !== "unix" && !includes(proxies, ends.remoteAddr)) {
      throw this.#refuse("proxy-protocol", "its address isn't in --proxy-protocol");
    }
    const late = `no PROXY header for ${HEADER_TIMEOUT / 1000} s`;
    return await withDeadline(HEADER_TIMEOUT, late, async (signal) => {
      if (!(await lives(rio, signal))) return false;
      Object.assign(ends, await readProxyHeader(rio, { signal }));
      return true;
    });
  }
}

function hostOf(addr: Deno.Addr): string {
  return "hostname" in addr ? unmapped(addr.hostname) : "";
}

/** Waits for a byte; false if the peer closes or resets the connection instead. */
async function lives(rio: Rio, signal?: AbortSignal): Promise<boolean> {
  try {
    return await rio.fill(1, { signal });
  } catch (error) {
    if (isReset(error)) return false;
    throw error;
  }
}

/**
 * Parses a list of addresses and CIDR blocks, such as `192.0.2.0/24,2001:db8::1`.
 * @throws {Error} If one of them is invalid; the message is that entry.
 */
export function blockList(list: string): BlockList {
  const blocks = new BlockList();
  for (const block of list.split(",")) {
    const [, host, length] = /^([^/%]*)(?:\/(0|[1-9]\d{0,2}))?$/.exec(block) ?? [];
    const bare = unmapped(host ?? "");
    const family = isIPv4(bare) ? "ipv4" : isIPv6(bare) ? "ipv6" : undefined;
    const bits = family === "ipv4" ? 32 : 128;
    // An IPv4-mapped address, ::ffff:192.0.2.1, has 96 more bits.
    const prefix = Number(length ?? bits) - (length !== undefined && bare !== host ? 96 : 0);
    if (family === undefined || prefix < 0 || prefix > bits) throw new Error(block || list);
    blocks.addSubnet(bare, prefix, family);
  }
  return blocks;
}

function includes(blocks: BlockList, addr: Deno.Addr): boolean {
  if (!("hostname" in addr)) return false;
  const host = unmapped(addr.hostname);
  return blocks.check(host, isIPv4(host) ? "ipv4" : "ipv6");
}
