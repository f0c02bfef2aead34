/**
 * The PROXY protocol, versions 1 and 2, on the side of who receives it: a balancer puts a header
 * before the bytes of a client, which says where that client is. The specification is HAProxy's
 * doc/proxy-protocol.txt; the numbers in parentheses are its sections.
 */
import type { ReadOptions, Rio } from "../rio.ts";

/** Both ends of a connection, as its client sees them. */
export interface Endpoints {
  /** Where the client is. */
  remoteAddr: Deno.Addr;
  /** Where it has connected to. */
  localAddr: Deno.Addr;
}

/** How a header of version 1 begins, and one of version 2. */
const SIGNATURES = [ascii("PROXY "), ascii("\r\n\r\n\0\r\nQUIT\n")];
/** Bytes of the longest line of version 1, CRLF included (2.1). */
const MAX_LINE = 107;
/** Bytes of version 2 before the addresses, and of all of it: TLVs may follow them (2.2). */
const HEAD = 16;
const MAX_HEADER = 8192;
/** Bytes of an address of AF_UNIX. */
const UNIX_PATH = 108;

const OCTET = "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
const IPV4 = new RegExp(`^${OCTET}(?:\\.${OCTET}){3}$`);
const PORT = /^(?:0|[1-9]\d{0,4})$/;

/**
 * Reads a header of the PROXY protocol, version 1 or 2, and not a byte behind it: the same `Rio`
 * goes on with what the client sends. It never guesses whether there is a header, so call it only
 * for a peer that is known to be a proxy; give it a deadline, of 3 seconds at least.
 *
 * @param rio A `Rio` of whose stream nothing has been read, with a buffer of 12 bytes at least.
 * @param options A signal that gives it up.
 * @returns The ends of the client's own connection; undefined if the header says that those of
 * this connection count: UNKNOWN, LOCAL, or a family or protocol that is unspecified. Addresses
 * are in their shortest form (RFC 5952), an IPv4 address within IPv6 as `::ffff:192.0.2.1`.
 * @throws {Deno.errors.InvalidData} If it is no valid header, is cut off, or has more than 8192
 * bytes; the message says what was wrong. The connection is then to be closed.
 * @throws {Error} What reading throws, and the signal's reason.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Rio } from "@netp/rio/rio";
 * import { readProxyHeader } from "@netp/rio/server";
 *
 * const input = new TextEncoder().encode(
 *   "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\nhello\n",
 * );
 * const rio = new Rio({
 *   read(p) {
 *     p.set(input);
 *     return Promise.resolve(input.length);
 *   },
 * });
 * const header = await readProxyHeader(rio);
 * assertEquals(header?.remoteAddr, { transport: "tcp", hostname: "192.0.2.1", port: 56324 });
 * assertEquals((await rio.readline())?.length, 6);
 * ```
 */
export async function readProxyHeader(
  rio: Rio,
  options?: ReadOptions,
): Promise<Endpoints | undefined> {
  for (let n = 1;; n++) {
    if (!(await rio.fill(n, options))) throw invalid("the connection ended before its end");
    const start = rio.peek();
    n = start.length;
    const found = SIGNATURES.findIndex((signature) =>
      signature.every((byte, i) => i >= n || byte === start[i])
    );
    if (found < 0) throw invalid(`it begins with ${quote(start.subarray(0, 12))}`);
    if (n < SIGNATURES[found].length) continue;
    return found === 0 ? await readVersion1(rio, options) : await readVersion2(rio, options);
  }
}

/** A line of text (2.1). */
async function readVersion1(rio: Rio, options?: ReadOptions): Promise<Endpoints | undefined> {
  const usrbuf = new Uint8Array(MAX_LINE + 1);
  const n = await rio.readlineb(usrbuf, usrbuf.length, options);
  const line = text(usrbuf.subarray(0, n));
  if (!line.endsWith("\r\n")) {
    if (n === MAX_LINE) throw invalid(`no CRLF in its first ${MAX_LINE} bytes`);
    throw invalid(
      line.endsWith("\n") ? "it ends in LF, not CRLF" : "the connection ended before its end",
    );
  }
  const fields = line.slice(0, -2).split(" ");
  const [, family, source, destination, sourcePort, destinationPort] = fields;
  if (line.indexOf("\r") < n - 2) throw invalid("a CR within it");
  if (family === "UNKNOWN") return undefined;
  if (family !== "TCP4" && family !== "TCP6") throw invalid(`no such protocol: ${quote(family)}`);
  if (fields.length !== 6) throw invalid(`${fields.length} fields, not 6, in ${quote(line)}`);
  const host = family === "TCP4" ? ipv4 : ipv6;
  return {
    remoteAddr: { transport: "tcp", hostname: host(source), port: port(sourcePort) },
    localAddr: { transport: "tcp", hostname: host(destination), port: port(destinationPort) },
  };
}

/** Numbers in network byte order (2.2). */
async function readVersion2(rio: Rio, options?: ReadOptions): Promise<Endpoints | undefined> {
  const read = async (n: number) => {
    const usrbuf = new Uint8Array(n);
    if (await rio.readnb(usrbuf, n, options) < n) {
      throw invalid("the connection ended before its end");
    }
    return usrbuf;
  };
  const head = await read(HEAD);
  const [version, command] = nibbles(head[12]);
  const [family, protocol] = nibbles(head[13]);
  const length = head[14] << 8 | head[15];
  if (version !== 2) throw invalid(`version ${version}, not 2`);
  if (command > 1) throw invalid(`no such command: ${command}`);
  // What LOCAL says of its family is ignored, but its bytes are there.
  const local = command === 0;
  if (!local && family > 3) throw invalid(`no such address family: ${family}`);
  if (!local && protocol > 2) throw invalid(`no such transport protocol: ${protocol}`);
  if (HEAD + length > MAX_HEADER) {
    throw invalid(`${HEAD + length} bytes, more than ${MAX_HEADER}`);
  }
  const size = [0, 4, 16, UNIX_PATH][family];
  const block = local || family === 0 || protocol === 0 ? 0 : 2 * size + (family < 3 ? 4 : 0);
  if (length < block) throw invalid(`${length} bytes of addresses, not ${block}`);
  const bytes = await read(length);
  if (block === 0) return undefined;
  const end = (n: number): Deno.Addr => {
    const address = bytes.subarray(n * size, n * size + size);
    if (family === 3) {
      const path = new TextDecoder().decode(address).replace(/\0[^]*$/, "");
      return { transport: protocol === 1 ? "unix" : "unixpacket", path };
    }
    const at = 2 * size + 2 * n;
    return {
      transport: protocol === 1 ? "tcp" : "udp",
      hostname: family === 1 ? address.join(".") : ipv6(groups(address)),
      port: bytes[at] << 8 | bytes[at + 1],
    };
  };
  return { remoteAddr: end(0), localAddr: end(1) };
}

function ipv4(field: string): string {
  if (!IPV4.test(field)) throw invalid(`no IPv4 address: ${quote(field)}`);
  return field;
}

/** An IPv6 address in its shortest form, as inet_ntop(3) has it. */
function ipv6(field: string): string {
  // A URL takes what inet_pton(3) takes, and nothing else once it can't be left.
  const url = /^[\da-f:.]+$/i.test(field) ? URL.parse(`http://[${field}]`) : null;
  if (url === null) throw invalid(`no IPv6 address: ${quote(field)}`);
  const host = url.hostname.slice(1, -1);
  const [, high, low] = /^::ffff:([\da-f]+):([\da-f]+)$/.exec(host) ?? [];
  if (high === undefined) return host;
  const octets = [high, low].flatMap((group) => {
    const n = parseInt(group, 16);
    return [n >> 8, n & 0xff];
  });
  return `::ffff:${octets.join(".")}`;
}

function port(field: string): number {
  const value = PORT.test(field) ? Number(field) : NaN;
  if (value <= 65535) return value;
  throw invalid(`no port: ${quote(field)}`);
}

/** The eight groups of an IPv6 address. */
function groups(address: Uint8Array): string {
  const view = new DataView(address.buffer, address.byteOffset, address.length);
  return Array.from({ length: 8 }, (_, i) => view.getUint16(2 * i).toString(16)).join(":");
}

function nibbles(byte: number): [high: number, low: number] {
  return [byte >> 4, byte & 15];
}

function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, (c) => c.charCodeAt(0));
}

/** A character a byte. */
function text(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

/** Bytes as a diagnostic can show them. */
function quote(what: string | Uint8Array): string {
  const shown = typeof what === "string" ? what : text(what);
  return JSON.stringify(shown).replace(
    /[\x7f-\xff]/g,
    (c) => `\\x${c.charCodeAt(0).toString(16)}`,
  );
}

function invalid(what: string): Error {
  return new Deno.errors.InvalidData(`Cannot read a PROXY header: ${what}`);
}
