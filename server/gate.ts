/** Access rules: which balancers and clients may connect, and how often. */
import { BlockList, isIPv4, isIPv6 } from "node:net";
import { unmapped } from "../net/address.ts";
import { count, isReset } from "../net/errors.ts";
import { inTime } from "../net/time.ts";
import type { Rio } from "../rio.ts";
import type { Connfd } from "./connfd.ts";
import { Refused } from "./connections.ts";
import { readProxyHeader } from "./proxy.ts";

/** Milliseconds for a PROXY header: at least 3 s, to cover a TCP retransmission. */
const HEADER_TIMEOUT = 3000;

/** Access rules; can be posted to a worker. */
export interface GateOptions {
  /** Addresses of balancers. Nothing else may connect, and each must send a PROXY header. */
  proxies?: string;
  /** Addresses of clients. Default: all. */
  allow?: string;
  /** Connections that one address may have at a time. Default: no limit. */
  perClient?: number;
}

/** Counts connections by address, in this thread or in the main thread for all. */
export interface Clients {
  /** Counts one more; false if the address is at its limit. */
  take(client: string): boolean | Promise<boolean>;
  /** Counts one fewer. */
  give(client: string): void;
}

/** The number of connections by address. */
export class ClientCounts implements Clients {
  readonly #max: number;
  readonly #counts = new Map<string, number>();

  /** Allows up to `max` connections per address. */
  constructor(max: number = Infinity) {
    this.#max = max;
  }

  /** Counts one more; false if the address is at its limit. */
  take(client: string): boolean {
    const n = this.#counts.get(client) ?? 0;
    if (n >= this.#max) return false;
    this.#counts.set(client, n + 1);
    return true;
  }

  /** Counts one fewer. */
  give(client: string): void {
    const n = this.#counts.get(client)! - 1;
    if (n > 0) this.#counts.set(client, n);
    else this.#counts.delete(client);
  }
}

/** The access rules of a server. */
export class Gate {
  readonly #proxies: BlockList | undefined;
  readonly #allow: BlockList | undefined;
  readonly #perClient: number;
  readonly #clients: Clients;

  /** Applies these rules, with connections counted in `clients`. */
  constructor({ proxies, allow, perClient = Infinity }: GateOptions, clients: Clients) {
    this.#proxies = proxies === undefined ? undefined : blockList(proxies);
    this.#allow = allow === undefined ? undefined : blockList(allow);
    this.#perClient = perClient;
    this.#clients = clients;
  }

  /**
   * Admits a connection. If there are balancers, it first reads the PROXY header from `rio` and
   * sets the addresses of `connfd` from it. Returns the connection's place in the count of its
   * address: dispose of it when the connection ends. Undefined for a health check, which closes
   * without sending anything beyond a header.
   * @throws {Refused} If an access rule refuses it.
   * @throws {Deno.errors.InvalidData} If its PROXY header is invalid.
   * @throws {Deno.errors.TimedOut} If the header takes longer than 3 s.
   */
  async enter(connfd: Connfd, rio: Rio): Promise<Disposable | undefined> {
    if (this.#proxies !== undefined && !(await this.#readHeader(this.#proxies, connfd, rio))) {
      return undefined;
    }
    const { remoteAddr } = connfd;
    if (this.#allow !== undefined && !includes(this.#allow, remoteAddr)) {
      throw new Refused("its address isn't in --allow");
    }
    const client = "hostname" in remoteAddr ? unmapped(remoteAddr.hostname) : "";
    if (!(await this.#clients.take(client))) {
      throw new Refused(`its address has ${count(this.#perClient, "connection")}`);
    }
    return { [Symbol.dispose]: () => this.#clients.give(client) };
  }

  /** Reads the PROXY header; false if it was a health check. */
  async #readHeader(proxies: BlockList, connfd: Connfd, rio: Rio): Promise<boolean> {
    if (!includes(proxies, connfd.remoteAddr)) {
      throw new Refused("its address isn't in --proxy-protocol");
    }
    const late = new AbortController();
    const cancel = inTime(HEADER_TIMEOUT, () => {
      late.abort(new Deno.errors.TimedOut(`no PROXY header for ${HEADER_TIMEOUT / 1000} s`));
    });
    try {
      if (!(await lives(rio, late.signal))) return false;
      const header = await readProxyHeader(rio, late);
      if (header !== undefined) Object.assign(connfd, header);
      else if (!(await lives(rio))) return false;
      return true;
    } finally {
      cancel();
    }
  }
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
