/** The PROXY protocol, sentence by sentence: HAProxy's doc/proxy-protocol.txt. */
import { assertEquals, assertRejects } from "@std/assert";
import { Rio } from "@netp/rio/rio";
import { type Endpoints, readProxyHeader } from "@netp/rio/server";
import * as js from "npm:proxy-protocol-js@^4.0.6";
import { bytes, MemoryReader, noise, text } from "./helpers.ts";

const SIGNATURE = "\r\n\r\n\0\r\nQUIT\n";
/** What comes behind a header: it must be left for the next read. */
const TAIL = "\x99\x97\x98";
const LONG = "1234:5678:9abc:def0:cafe:babe:dead:2bad";

/** A header of version 2, whose length is that of its block unless given. */
function v2(versionCommand: number, family: number, block = "", length = block.length): string {
  return SIGNATURE + String.fromCharCode(versionCommand, family, length >> 8, length & 255) + block;
}

function hex(digits: string): string {
  return digits.replace(
    /\s*([\da-f]{2})\s*/gi,
    (_, byte) => String.fromCharCode(parseInt(byte, 16)),
  );
}

const LOOPBACK = hex("7f000001 7f000001 fffd fffd");
const LOOPBACK6 = hex(`${"00".repeat(15)}01 ${"00".repeat(15)}01 fffd fffd`);
const UNIX = ("socket".padEnd(108, "\0")).repeat(2);

function both(transport: "tcp" | "udp", hostname: string, port = 65533): Endpoints {
  const addr = { transport, hostname, port };
  return { remoteAddr: addr, localAddr: addr };
}
function unix(transport: "unix" | "unixpacket"): Endpoints {
  const addr = { transport, path: "socket" } as Deno.UnixAddr;
  return { remoteAddr: addr, localAddr: addr };
}

const NOISE = text(noise(100));

// After the tests of pires/go-proxyproto (v1_test.go, v2_test.go) and HAProxy's reg-tests.
const VALID: [name: string, header: string, ends: Endpoints | undefined][] = [
  ["TCP4", "PROXY TCP4 127.0.0.1 127.0.0.1 65533 65533\r\n", both("tcp", "127.0.0.1")],
  ["TCP6", "PROXY TCP6 ::1 ::1 65533 65533\r\n", both("tcp", "::1")],
  [
    "TCP6 of IPv4",
    "PROXY TCP6 ::ffff:127.0.0.1 ::ffff:127.0.0.1 65533 65533\r\n",
    both("tcp", "::ffff:127.0.0.1"),
  ],
  [
    "version 2 with a checksum",
    v2(0x21, 0x11, LOOPBACK + hex("04 0001 78 03 0004 428240f9")),
    both("tcp", "127.0.0.1"),
  ],
  ["UNKNOWN", "PROXY UNKNOWN\r\n", undefined],
  ["UNKNOWN with anything", "PROXY UNKNOWN 127.0.0.1 127.0.0.1 99999 99999\r\n", undefined],
  ["UNKNOWN of 107 bytes", `PROXY UNKNOWN ${LONG} ${LONG} 65535 65535\r\n`, undefined],
  ["TCP4, the least", "PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", both("tcp", "0.0.0.0", 0)],
  [
    "TCP4, the most",
    "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
    both("tcp", "255.255.255.255", 65535),
  ],
  ["TCP6, the most", `PROXY TCP6 ${LONG} ${LONG} 65535 65535\r\n`, both("tcp", LONG, 65535)],
  [
    "TCP6, in upper case, with zeros",
    "PROXY TCP6 2001:DB8:0:0:0:0:0:1 2001:0db8::0001 1 1\r\n",
    both("tcp", "2001:db8::1", 1),
  ],
  ["LOCAL of TCPv4", v2(0x20, 0x11, LOOPBACK), undefined],
  ["LOCAL", v2(0x20, 0), undefined],
  ["LOCAL with TLVs", v2(0x20, 0, NOISE), undefined],
  ["LOCAL of a Unix socket with TLVs", v2(0x20, 0x31, UNIX + NOISE), undefined],
  ["LOCAL, whose family is ignored", v2(0x20, 0x99, "abc"), undefined],
  ["LOCAL, whose length isn't that of its family", v2(0x20, 0x11, "abcde"), undefined],
  ["TCPv4", v2(0x21, 0x11, LOOPBACK), both("tcp", "127.0.0.1")],
  ["TCPv6", v2(0x21, 0x21, LOOPBACK6), both("tcp", "::1")],
  ["TCPv4 with TLVs", v2(0x21, 0x11, LOOPBACK + NOISE), both("tcp", "127.0.0.1")],
  ["TCPv6 with TLVs", v2(0x21, 0x21, LOOPBACK6 + NOISE), both("tcp", "::1")],
  [
    "TCPv4 with 2048 bytes of TLVs",
    v2(0x21, 0x11, LOOPBACK + "\0".repeat(2048)),
    both("tcp", "127.0.0.1"),
  ],
  ["UDPv4", v2(0x21, 0x12, LOOPBACK), both("udp", "127.0.0.1")],
  ["UDPv6", v2(0x21, 0x22, LOOPBACK6), both("udp", "::1")],
  ["a Unix stream", v2(0x21, 0x31, UNIX), unix("unix")],
  ["Unix datagrams", v2(0x21, 0x32, UNIX), unix("unixpacket")],
  ["a Unix stream with TLVs", v2(0x21, 0x31, UNIX + NOISE), unix("unix")],
  ["a Unix stream with padding", v2(0x21, 0x31, UNIX + "\0\0\0\0"), unix("unix")],
  ["TCPv4 with padding", v2(0x21, 0x11, LOOPBACK.padEnd(84, "\0")), both("tcp", "127.0.0.1")],
  ["TCPv6 with padding", v2(0x21, 0x21, LOOPBACK6.padEnd(84, "\0")), both("tcp", "::1")],
  ["UDPv4 with padding", v2(0x21, 0x12, LOOPBACK.padEnd(84, "\0")), both("udp", "127.0.0.1")],
  ["UDPv6 with padding", v2(0x21, 0x22, LOOPBACK6.padEnd(84, "\0")), both("udp", "::1")],
  ["a header of 8192 bytes", v2(0x21, 0x11, LOOPBACK.padEnd(8176, "\0")), both("tcp", "127.0.0.1")],
  [
    "TCPv4 with a TLV of HAProxy's (proxy_protocol_tlv_validation.vtc)",
    hex("0d0a0d0a000d0a515549540a 21 11 0014 7f0000017f000001002a0539 0200053132333435"),
    {
      remoteAddr: { transport: "tcp", hostname: "127.0.0.1", port: 42 },
      localAddr: { transport: "tcp", hostname: "127.0.0.1", port: 1337 },
    },
  ],
  // HAProxy decodes TLVs and refuses these two (proxy_protocol_tlv_validation.vtc); we skip them.
  [
    "a TLV longer than the header",
    v2(0x21, 0x11, LOOPBACK + hex("02000a3132333435")),
    both("tcp", "127.0.0.1"),
  ],
  [
    "a TLV shorter than the header",
    v2(0x21, 0x11, LOOPBACK + hex("0200043132333400")),
    both("tcp", "127.0.0.1"),
  ],
  [
    "LOCAL with addresses, which are no TLVs",
    v2(0x20, 0x11, hex("03050102 03000403 0000 0000")),
    undefined,
  ],
  // Unspecified: "the receiver is free to accept the connection anyway".
  ...[0x00, 0x01, 0x02, 0x10, 0x20, 0x30].map((family): [string, string, undefined] => [
    `an unspecified family or protocol, ${family.toString(16).padStart(2, "0")}`,
    v2(0x21, family, "abc"),
    undefined,
  ]),
];

const ENDED = "the connection ended before its end";
const TCP4 = (rest: string) => `PROXY TCP4 ${rest}\r\n`;
const INVALID: [name: string, header: string, message: string][] = [
  ["nothing", "", ENDED],
  ["no signature", "There is no spoon", "it begins with"],
  ["half a signature", "PROX", ENDED],
  [
    "a checksum of other bytes",
    v2(0x21, 0x11, LOOPBACK + hex("04 0001 79 03 0004 428240f9")),
    "its checksum is wrong",
  ],
  [
    "a wrong checksum behind the addresses of LOCAL",
    v2(0x20, 0x11, LOOPBACK + hex("03 0004 428240f9")),
    "its checksum is wrong",
  ],
  [
    "a checksum of another length",
    v2(0x21, 0x11, LOOPBACK + hex("03 0003 428240")),
    "its checksum isn't 4 bytes",
  ],
  [
    "a checksum that is cut off",
    v2(0x21, 0x11, LOOPBACK + hex("03 0004 428240")),
    "its checksum isn't 4 bytes",
  ],
  ["another command", "GET / HTTP/1.1\r\n\r\n", "it begins with"],
  ["lower case", "proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n", "it begins with"],
  ["LF", "PROXY \n", "it ends in LF, not CRLF"],
  ["CR", "PROXY UNKNOWN\rPROXY UNKNOWN\r\n", "a CR within it"],
  ["LF behind UNKNOWN", "PROXY UNKNOWN\nhello\r\n", "it ends in LF, not CRLF"],
  ["no protocol", "PROXY \r\n", 'no such protocol: ""'],
  ["no space", "PROXY\r\n", "it begins with"],
  ["a space too many", "PROXY  TCP4 1.2.3.4 5.6.7.8 1 2\r\n", 'no such protocol: ""'],
  ["another protocol", "PROXY SOMETHING\r\n", 'no such protocol: "SOMETHING"'],
  ["UDP4", "PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n", 'no such protocol: "UDP4"'],
  ["UNKNOWN with a tail", "PROXY UNKNOWNS\r\n", 'no such protocol: "UNKNOWNS"'],
  ["no end", "PROXY TCP4 127.0.0.1 127.0.0.1 65533 65533", ENDED],
  ["no end, but CR", "PROXY TCP4 127.0.0.1 127.0.0.1 65533 65533\r", ENDED],
  ["no addresses", "PROXY TCP4\r\n", "2 fields, not 6"],
  ["addresses that are none", TCP4("invalid invalid 65533 65533"), 'no IPv4 address: "invalid"'],
  ["TCP4 with IPv6 addresses", TCP4("::1 ::1 1 2"), 'no IPv4 address: "::1"'],
  ["TCP4 with IPv4 in IPv6", TCP4("::ffff:1.2.3.4 ::ffff:1.2.3.4 1 2"), "no IPv4 address"],
  ["TCP4 with zeros", TCP4("01.2.3.4 5.6.7.8 80 443"), 'no IPv4 address: "01.2.3.4"'],
  ["TCP4 of three numbers", TCP4("1.2.3 5.6.7.8 80 443"), 'no IPv4 address: "1.2.3"'],
  ["TCP4 of 256", TCP4("1.2.3.256 5.6.7.8 80 443"), 'no IPv4 address: "1.2.3.256"'],
  ["TCP6 with IPv4", "PROXY TCP6 192.0.2.1 ::1 80 443\r\n", 'no IPv6 address: "192.0.2.1"'],
  ["TCP6 to IPv4", "PROXY TCP6 ::1 192.0.2.1 80 443\r\n", 'no IPv6 address: "192.0.2.1"'],
  ["TCP6 with a name", "PROXY TCP6 not-an-ip ::1 80 443\r\n", 'no IPv6 address: "not-an-ip"'],
  ["TCP6 with a zone", "PROXY TCP6 fe80::1%eth0 ::1 80 443\r\n", "no IPv6 address"],
  ["TCP6 to a zone", "PROXY TCP6 ::1 fe80::1%eth0 80 443\r\n", "no IPv6 address"],
  ["TCP6 of 9 groups", "PROXY TCP6 1:2:3:4:5:6:7:8:9 ::1 80 443\r\n", "no IPv6 address"],
  ["TCP6 of 7 groups", "PROXY TCP6 1:2:3:4:5:6:7 ::1 80 443\r\n", "no IPv6 address"],
  ["TCP6 of 5 digits", "PROXY TCP6 12345::1 ::1 80 443\r\n", "no IPv6 address"],
  ["TCP6 in brackets", "PROXY TCP6 [::1] ::1 80 443\r\n", 'no IPv6 address: "[::1]"'],
  ["TCP6 with two gaps", "PROXY TCP6 1::2::3 ::1 80 443\r\n", 'no IPv6 address: "1::2::3"'],
  ["a port too high", TCP4("1.2.3.4 5.6.7.8 65536 1"), 'no port: "65536"'],
  ["a port of five nines", TCP4("127.0.0.1 127.0.0.1 99999 99999"), 'no port: "99999"'],
  ["a port with a sign", TCP4("1.2.3.4 5.6.7.8 +80 443"), 'no port: "+80"'],
  ["a port with a zero", TCP4("1.2.3.4 5.6.7.8 080 443"), 'no port: "080"'],
  ["a port of zeros", TCP4("1.2.3.4 5.6.7.8 00 443"), 'no port: "00"'],
  ["a port that is none", TCP4("1.2.3.4 5.6.7.8  443"), 'no port: ""'],
  ["a field too many", TCP4("1.2.3.4 5.6.7.8 80 443 extra"), "7 fields, not 6"],
  ["a space at the end", TCP4("1.2.3.4 5.6.7.8 80 443 "), "7 fields, not 6"],
  ["a tab", TCP4("1.2.3.4\t5.6.7.8 80 443"), "5 fields, not 6"],
  ["a NUL", TCP4("1.2.3.4 5.6.7.8 80 443\0"), 'no port: "443\\u0000"'],
  ["a signature with a tail", "PROXYjunk TCP4 1.2.3.4 5.6.7.8 80 443\r\n", "it begins with"],
  ["a signature without a space", "PROXYTCP4 1.2.3.4 5.6.7.8 80 443\r\n", "it begins with"],
  ["108 bytes", `PROXY UNKNOWN ${LONG} ${LONG} 65533 65533 \r\n`, "no CRLF in its first 107 bytes"],

  ["version 2, its signature cut", SIGNATURE.slice(2), "it begins with"],
  ["version 2, its signature alone", SIGNATURE, ENDED],
  ["version 9, command 9", v2(0x99, 0x11, LOOPBACK), "version 9, not 2"],
  ["version 1 in the form of version 2", v2(0x11, 0x11, LOOPBACK), "version 1, not 2"],
  ["version 2, a command that isn't", v2(0x22, 0x11, LOOPBACK), "no such command: 2"],
  ["version 2, no family", SIGNATURE + "\x21", ENDED],
  ["version 2, unspecified, no length", SIGNATURE + "\x21\0", ENDED],
  ["version 2, no length", SIGNATURE + "\x21\x11", ENDED],
  ["version 2, half a length", SIGNATURE + "\x21\x11\x99", ENDED],
  ["LOCAL, no length", SIGNATURE + "\x20\0", ENDED],
  ["LOCAL, half a length", SIGNATURE + "\x20\0\0", ENDED],
  ["LOCAL, cut off", v2(0x20, 0, "a", 100), ENDED],
  ["LOCAL of TCPv4, cut off", v2(0x20, 0x11, "", 12), ENDED],
  ["family 9", v2(0x21, 0x91, LOOPBACK), "no such address family: 9"],
  ["family 4", v2(0x21, 0x41, LOOPBACK), "no such address family: 4"],
  ["protocol 3", v2(0x21, 0x13, LOOPBACK), "no such transport protocol: 3"],
  ["TCPv4, no addresses", v2(0x21, 0x11, "", 12), ENDED],
  ["TCPv6, no addresses", v2(0x21, 0x21, "", 36), ENDED],
  ["a Unix stream, no addresses", v2(0x21, 0x31, "", 216), ENDED],
  ["TCPv4 of length 0", v2(0x21, 0x11) + LOOPBACK6, "0 bytes of addresses, not 12"],
  ["TCPv4 of length 11", v2(0x21, 0x11, LOOPBACK, 11), "11 bytes of addresses, not 12"],
  ["TCPv6 with IPv4 addresses", v2(0x21, 0x21, LOOPBACK, 36), ENDED],
  ["TCPv6 of IPv4's length", v2(0x21, 0x21, LOOPBACK), "12 bytes of addresses, not 36"],
  ["a Unix stream of length 215", v2(0x21, 0x31, UNIX, 215), "215 bytes of addresses, not 216"],
  ["TCPv4, TLVs cut off", v2(0x21, 0x11, LOOPBACK + "\0\0\0", 20), ENDED],
  ["8193 bytes", v2(0x21, 0x11, LOOPBACK.padEnd(8177, "\0")), "8193 bytes, more than 8192"],
  ["65551 bytes", v2(0x21, 0x11, LOOPBACK, 65535), "65551 bytes, more than 8192"],
];

/** A `Rio` on a text, of which each read brings `chunk` bytes. */
function rio(input: string, chunk = 1 << 20): Rio {
  return new Rio(MemoryReader.of(input, chunk));
}

/** All that a `Rio` has left. */
async function rest(rio: Rio): Promise<string> {
  return (await Array.fromAsync(rio, (line) => text(line))).join("");
}

for (const [name, header, ends] of VALID) {
  Deno.test(`readProxyHeader reads ${name}`, async () => {
    // In every chunking, with what follows in the same read and in another.
    const chunks = header.length > 300 ? [1, 7, 4096, 1 << 20] : header.length + TAIL.length;
    const sizes = typeof chunks === "number"
      ? Array.from({ length: chunks }, (_, i) => i + 1)
      : chunks;
    for (const size of sizes) {
      const input = rio(header + TAIL, size);
      assertEquals(await readProxyHeader(input), ends);
      assertEquals(await rest(input), TAIL);
    }
    const input = new Rio(new MemoryReader([header, TAIL]));
    assertEquals(await readProxyHeader(input), ends);
    assertEquals(await rest(input), TAIL);
  });

  Deno.test(`readProxyHeader refuses ${name}, cut off at every byte`, async () => {
    for (let n = 0; n < Math.min(header.length, 300); n++) {
      await assertRejects(
        () => readProxyHeader(rio(header.slice(0, n))),
        Deno.errors.InvalidData,
        `Cannot read a PROXY header: ${ENDED}`,
      );
    }
  });
}

for (const [name, header, message] of INVALID) {
  Deno.test(`readProxyHeader refuses ${name}`, async () => {
    for (const size of [1, 5, 1 << 20]) {
      await assertRejects(
        () => readProxyHeader(rio(header, size)),
        Deno.errors.InvalidData,
        `Cannot read a PROXY header: ${message}`,
      );
    }
  });
}

Deno.test("readProxyHeader refuses a stranger at the first byte that can't be right", async () => {
  for (
    const [start, more] of [["x", ""], ["PROXx", ""], ["\r\n\r\nx", ""], [
      SIGNATURE.slice(0, 11),
      "x",
    ]]
  ) {
    // The stream goes on, and nothing more comes: to wait would be to wait for ever.
    const { promise, reject } = Promise.withResolvers<never>();
    const reader = new MemoryReader([start, more].filter(Boolean));
    let reads = more === "" ? 1 : 2;
    const input = new Rio({ read: (p) => reads-- > 0 ? reader.read(p) : promise });
    await assertRejects(() => readProxyHeader(input), Deno.errors.InvalidData, "it begins with");
    reject();
    await promise.catch(() => {});
  }
});

Deno.test("readProxyHeader can be given up, and loses no byte", async () => {
  const more = Promise.withResolvers<string>();
  const reader = new MemoryReader(["PROXY TCP4 192.0.2.1 ", null]);
  let first = true;
  const input = new Rio({
    async read(p) {
      if (first) {
        first = false;
        return await reader.read(p);
      }
      return await new MemoryReader([await more.promise]).read(p);
    },
  });
  const stop = new AbortController();
  const read = readProxyHeader(input, { signal: stop.signal });
  await Promise.resolve();
  stop.abort(new Error("late"));
  await assertRejects(() => read, Error, "late");
  more.resolve("198.51.100.1 56324 443\r\n");
  const header = await readProxyHeader(input);
  assertEquals(header?.localAddr, { transport: "tcp", hostname: "198.51.100.1", port: 443 });
});

Deno.test("readProxyHeader throws on what the reader throws", async () => {
  const reset = new Deno.errors.ConnectionReset("reset");
  const input = new Rio(new MemoryReader(["PROXY ", reset]));
  await assertRejects(() => readProxyHeader(input), Deno.errors.ConnectionReset, "reset");
});

/** What proxy-protocol-js reads of a whole header, with what comes behind it. */
function parsed(input: string): { ends: Endpoints | undefined; rest: string } {
  if (js.V1ProxyProtocol.isValidProtocolSignature(input)) {
    const { inetProtocol, source, destination, data } = js.V1ProxyProtocol.parse(input);
    const addr = ({ ipAddress, port }: js.Peer): Deno.NetAddr => ({
      transport: "tcp",
      hostname: ipAddress,
      port,
    });
    const known = inetProtocol !== js.INETProtocol.UNKNOWN;
    return {
      ends: known ? { remoteAddr: addr(source), localAddr: addr(destination) } : undefined,
      rest: data!,
    };
  }
  const { command, transportProtocol, proxyAddress, data } = js.V2ProxyProtocol.parse(bytes(input));
  const rest = text(data!);
  if (command === js.Command.LOCAL || transportProtocol === js.TransportProtocol.UNSPEC) {
    return { ends: undefined, rest };
  }
  const stream = transportProtocol === js.TransportProtocol.STREAM;
  const net = (hostname: string, port: number): Deno.NetAddr => ({
    transport: stream ? "tcp" : "udp",
    hostname,
    port,
  });
  const ends = (show: (address: number[]) => string): Endpoints | undefined => {
    if (!("sourcePort" in proxyAddress)) return undefined;
    const { sourceAddress, sourcePort, destinationAddress, destinationPort } = proxyAddress;
    return {
      remoteAddr: net(show(sourceAddress.address), sourcePort),
      localAddr: net(show(destinationAddress.address), destinationPort),
    };
  };
  if (proxyAddress instanceof js.IPv4ProxyAddress) {
    return { ends: ends((address) => address.join(".")), rest };
  }
  if (proxyAddress instanceof js.IPv6ProxyAddress) return { ends: ends(shortest), rest };
  if (!(proxyAddress instanceof js.UnixProxyAddress)) return { ends: undefined, rest };
  const path = (address: number[]) =>
    new TextDecoder().decode(new Uint8Array(address)).split("\0")[0];
  const transport = stream ? "unix" : "unixpacket";
  return {
    ends: {
      remoteAddr: { transport, path: path(proxyAddress.sourceAddress.address) } as Deno.UnixAddr,
      localAddr: {
        transport,
        path: path(proxyAddress.destinationAddress.address),
      } as Deno.UnixAddr,
    },
    rest,
  };
}

/** An IPv6 address as python's ipaddress would have it: the longest run of zeros left out. */
function shortest(address: number[]): string {
  const groups = Array.from({ length: 8 }, (_, i) => address[2 * i] << 8 | address[2 * i + 1]);
  let [at, length] = [0, 1];
  for (let i = 0; i < 8; i++) {
    let n = 0;
    while (groups[i + n] === 0) n++;
    if (n > length) [at, length] = [i, n];
  }
  const show = (groups: number[]) => groups.map((group) => group.toString(16)).join(":");
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff) {
    return `::ffff:${address.slice(12).join(".")}`;
  }
  if (length < 2) return show(groups);
  return `${show(groups.slice(0, at))}::${show(groups.slice(at + length))}`;
}

Deno.test("readProxyHeader reads what proxy-protocol-js builds, and agrees with it", async () => {
  const seed = noise(1 << 18);
  let next = 0;
  const random = (n: number) => (seed[next++ % seed.length] << 8 | seed[next++ % seed.length]) % n;
  const pick = <T>(...values: T[]): T => values[random(values.length)];
  const octet = () => pick(0, 0, 0, 1, 255, random(256));
  const octets = (n: number) => Array.from({ length: n }, octet);
  const port = () => pick(0, 1, 255, 256, 65535, random(65536));
  const header = (): string => {
    if (random(2) === 0) {
      const [protocol, host] = pick(
        [js.INETProtocol.TCP4, () => octets(4).join(".")],
        [js.INETProtocol.TCP6, () => shortest(octets(16))],
        [js.INETProtocol.UNKNOWN, () => "?"],
      ) as [js.INETProtocol, () => string];
      const peer = () => new js.Peer(host(), port());
      return new js.V1ProxyProtocol(protocol, peer(), peer(), "").build();
    }
    const ipv4 = () => js.IPv4Address.createFrom(octets(4) as js.IPv4AddressTuple);
    const ipv6 = () => js.IPv6Address.createFrom(octets(16) as js.IPv6AddressTuple);
    const path = () =>
      new js.UnixAddress(
        [...bytes("/run/client".slice(0, random(12)).padEnd(108, "\0"))] as js.UnixAddressTuple,
      );
    const built = new js.V2ProxyProtocol(
      pick(js.Command.LOCAL, js.Command.PROXY, js.Command.PROXY),
      pick(js.TransportProtocol.UNSPEC, js.TransportProtocol.STREAM, js.TransportProtocol.DGRAM),
      pick(
        () => new js.IPv4ProxyAddress(ipv4(), port(), ipv4(), port()),
        () => new js.IPv6ProxyAddress(ipv6(), port(), ipv6(), port()),
        () => new js.UnixProxyAddress(path(), path()),
        () => new js.UnspecProxyAddress(),
      )(),
    );
    return text(built.build());
  };
  for (let i = 0; i < 2000; i++) {
    const whole = header() + TAIL;
    const expected = { whole, ...parsed(whole) };
    const input = rio(whole, 1 + random(300));
    const ends = await readProxyHeader(input);
    assertEquals({ whole, ends, rest: await rest(input) }, expected);

    // With one byte damaged, whatever is still accepted, both read alike.
    const at = random(whole.length - TAIL.length);
    const damaged = whole.slice(0, at) + String.fromCharCode(random(256)) + whole.slice(at + 1);
    const read = await readProxyHeader(rio(damaged)).catch(() => undefined);
    if (read !== undefined && !damaged.startsWith("PROXY TCP6")) {
      assertEquals({ damaged, ends: read }, { damaged, ends: parsed(damaged).ends });
    }
  }
});
