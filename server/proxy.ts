/**
 * The receiver's side of the PROXY protocol, versions 1 and 2: a balancer sends a header before the
 * client's own bytes, with the addresses of the client's connection. The specification is HAProxy's
 * doc/proxy-protocol.txt; numbers in parentheses are its sections.
 */
import type { ReadOptions, Rio } from "../rio.ts";

/** The addresses of both ends of a connection, as its client sees them. */
export interface Endpoints {
  /** The client's address. */
  remoteAddr: Deno.Addr;
  /** The address that it connected to. */
  localAddr: Deno.Addr;
}

/** The first bytes of a header, by version: 1 and 2. */
const SIGNATURES = [ascii("PROXY "), ascii("\r\n\r\n\0\r\nQUIT\n")];
/** The longest line of version 1 in bytes, CRLF included (2.1). */
const MAX_LINE = 107;
/** Bytes of version 2 before the addresses (2.2), and the most for all of it, TLVs included. */
const HEAD = 16;
const MAX_HEADER = 8192;
/** The type of the TLV with the checksum. */
const CRC32C = 3;
/** Bytes of an AF_UNIX address. */
const UNIX_PATH = 108;

const OCTET = "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
const IPV4 = new RegExp(`^${OCTET}(?:\\.${OCTET}){3}$`);
const PORT = /^(?:0|[1-9]\d{0,4})$/;

/**
 * Reads a PROXY protocol header, version 1 or 2, and not a byte more: read the client's own bytes
 * from the same `Rio` next. The header is mandatory, so call this only for peers that are
 * configured as proxies. Give it a deadline of at least 3 seconds (2). `rio` must be at the start
 * of its stream, with `\n` as its delimiter and a buffer of at least 12 bytes.
 *
 * Returns the addresses of the client's connection. Undefined if the header gives none (UNKNOWN,
 * LOCAL, or an unspecified family or protocol): use those of this connection. IPv6 addresses are
 * in their shortest form (RFC 5952), IPv4-mapped ones as `::ffff:192.0.2.1`.
 * @throws {Deno.errors.InvalidData} If the header is invalid, cut off, or longer than 8192 bytes;
 * the message says what is wrong. Close the connection in that case.
 * @throws {Error} Whatever the reader throws, or the signal's reason.
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
    const start = rio.peek(SIGNATURES[1].length);
    n = start.length;
    const found = SIGNATURES.findIndex((signature) =>
      signature.every((byte, i) => i >= n || byte === start[i])
    );
    if (found < 0) throw invalid(`it begins with ${quote(start.subarray(0, 12))}`);
    if (n < SIGNATURES[found].length) continue;
    return found === 0 ? await readVersion1(rio, options) : await readVersion2(rio, options);
  }
}

/** Version 1: a line of text (2.1). */
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

/** Version 2: binary, in network byte order (2.2). */
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
  // LOCAL: the family is ignored, but `length` bytes still follow.
  const local = command === 0;
  if (!local && family > 3) throw invalid(`no such address family: ${family}`);
  if (!local && protocol > 2) throw invalid(`no such transport protocol: ${protocol}`);
  if (HEAD + length > MAX_HEADER) {
    throw invalid(`${HEAD + length} bytes, more than ${MAX_HEADER}`);
  }
  const size = [0, 4, 16, UNIX_PATH][family];
  const block = 2 * size + (family === 1 || family === 2 ? 4 : 0);
  const unknown = local || family === 0 || protocol === 0;
  if (!unknown && length < block) throw invalid(`${length} bytes of addresses, not ${block}`);
  const bytes = await read(length);
  checkCrc(Uint8Array.of(...head, ...bytes), HEAD + block);
  if (unknown) return undefined;
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

/** Checks the header's checksum, PP2_TYPE_CRC32C, if it has one (2.2.3). */
function checkCrc(header: Uint8Array, tlvs: number): void {
  const view = new DataView(header.buffer);
  for (let at = tlvs; at + 3 <= header.length; at += 3 + view.getUint16(at + 1)) {
    if (header[at] !== CRC32C) continue;
    if (view.getUint16(at + 1) !== 4 || at + 7 > header.length) {
      throw invalid("its checksum isn't 4 bytes");
    }
    const sum = view.getUint32(at + 3);
    view.setUint32(at + 3, 0);
    if (crc32c(header) !== sum) throw invalid("its checksum is wrong");
  }
}

/** CRC-32C, Castagnoli's: RFC 9260, appendix A. */
function crc32c(bytes: Uint8Array): number {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >>> 1 ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

function ipv4(field: string): string {
  if (!IPV4.test(field)) throw invalid(`no IPv4 address: ${quote(field)}`);
  return field;
}

/** An IPv6 address in its shortest form, as inet_ntop(3) prints it. */
function ipv6(field: string): string {
  // URL parses what inet_pton(3) does; the pattern excludes characters that end a URL's host.
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

/** Decodes bytes as Latin-1. */
function text(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

/** Quotes bytes for a message. */
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
