/** Who may come: balancers and what they say of their clients, addresses, and how many of each. */
import { BlockList, isIPv4, isIPv6 } from "node:net";
import { count } from "../cli/flags.ts";
import { unmapped } from "../net/address.ts";
import { isReset } from "../net/errors.ts";
import { inTime } from "../net/time.ts";
import type { Rio } from "../rio.ts";
import type { Connfd } from "./connfd.ts";
import { readProxyHeader } from "./proxy.ts";

/** Milliseconds that a balancer has for its header: a TCP retransmission must fit in. */
const HEADER_TIMEOUT = 3000;

/** Who may come, in words that can be sent from thread to thread. */
export interface GateOptions {
  /** The addresses of balancers, each of which must send a PROXY header; none unless given. */
  proxies?: string;
  /** The addresses of clients; all unless given. */
  allow?: string;
  /** Connections of one address at a time; no bound unless given. */
  perClient?: number;
}

/** A client that is turned away. */
export class Refused extends Error {
  /** Why, in words. */
  constructor(why: string) {
    super(`refused: ${why}`);
  }
}

/** The gate of a server. */
export class Gate {
  readonly #proxies: BlockList | undefined;
  readonly #allow: BlockList | undefined;
  readonly #perClient: number;
  readonly #clients = new Map<string, number>();

  /** A gate for those whom the options let in. */
  constructor({ proxies, allow, perClient = Infinity }: GateOptions) {
    this.#proxies = proxies === undefined ? undefined : blockList(proxies);
    this.#allow = allow === undefined ? undefined : blockList(allow);
    this.#perClient = perClient;
  }

  /**
   * Lets a client in, after its PROXY header if there must be one; `connfd` then has the
   * addresses of that header.
   *
   * @returns What it holds until it is disposed of: its place among those of its address.
   * Undefined if it was a health check: it has gone without a byte of its own.
   * @throws {Refused} If it may not come.
   * @throws {Deno.errors.InvalidData} If its PROXY header isn't valid.
   * @throws {Deno.errors.TimedOut} If that hasn't come in time.
   */
  async enter(connfd: Connfd, rio: Rio): Promise<Disposable | undefined> {
    if (this.#proxies !== undefined && !(await this.#readHeader(this.#proxies, connfd, rio))) {
      return undefined;
    }
    const { remoteAddr } = connfd;
    if (this.#allow !== undefined && !includes(this.#allow, remoteAddr)) {
      throw new Refused("its address isn't in --allow");
    }
    return this.#take("hostname" in remoteAddr ? unmapped(remoteAddr.hostname) : "");
  }

  /** Reads a header; false if the balancer has only looked whether the server lives. */
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

  #take(client: string): Disposable {
    const clients = this.#clients;
    const n = clients.get(client) ?? 0;
    if (n >= this.#perClient) throw new Refused(`its address has ${count(n, "connection")}`);
    clients.set(client, n + 1);
    return {
      [Symbol.dispose]() {
        const left = clients.get(client)! - 1;
        if (left > 0) clients.set(client, left);
        else clients.delete(client);
      },
    };
  }
}

/** Whether a peer sends something, rather than goes. */
async function lives(rio: Rio, signal?: AbortSignal): Promise<boolean> {
  try {
    return await rio.fill(1, { signal });
  } catch (error) {
    if (isReset(error)) return false;
    throw error;
  }
}

/**
 * The addresses of a list: `192.0.2.0/24,2001:db8::1`, say.
 *
 * @throws {Error} If one of them is none; the message has it.
 */
export function blockList(list: string): BlockList {
  const blocks = new BlockList();
  for (const block of list.split(",")) {
    const [, host, length] = /^([^/%]*)(?:\/(0|[1-9]\d{0,2}))?$/.exec(block) ?? [];
    const bare = unmapped(host ?? "");
    const family = isIPv4(bare) ? "ipv4" : isIPv6(bare) ? "ipv6" : undefined;
    const bits = family === "ipv4" ? 32 : 128;
    // An IPv4 address within IPv6 has 96 bits before it.
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
