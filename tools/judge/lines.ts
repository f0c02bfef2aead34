/** Cases about one connection: what is sent comes back unchanged. */
import { sleep } from "../../net/time.ts";
import { MAXLINE } from "../../rio.ts";
import type { Case } from "./case.ts";
import type { Trial } from "./trial.ts";
import { lines, longLine } from "./bytes.ts";

/** Milliseconds a line that are worth a finding. */
const SLOW = 10;

const ECHO = "CS:APP 11.4.9, echo";
const RIO = "CS:APP 10.5.2, rio_readlineb";

export const LINES: Case<Trial>[] = [
  {
    name: "a line comes back",
    did: "sent `hello, world\\n`, and no FIN",
    means: "it isn't an echo server, or it answers only at EOF, or when its buffer is full",
    read: ECHO,
    async run(t) {
      await (await t.connect()).ask("hello, world\n");
    },
  },
  {
    name: "the next client is served",
    did: "sent a line on a first connection, closed it, and sent one on a second",
    means: "accept isn't in a loop, or the server ends with its first client, or that one's loop " +
      "doesn't end at EOF: read returns 0",
    fatal: true,
    read: "CS:APP 11.4.9, echoserveri.c",
    async run(t) {
      for (const name of ["first", "second"]) {
        const client = await t.connect();
        await client.ask(`the ${name} client\n`);
        client.close();
      }
    },
  },
  {
    name: "line after line comes back",
    did: "sent a hundred lines, each when the one before had come back",
    means: "the loop ends after a line, or bytes too many follow each line",
    read: ECHO,
    async run(t) {
      const client = await t.connect();
      const start = performance.now();
      let each = 0;
      for (let n = 1; n <= 100 && each * n < t.timeout; n++) {
        await client.ask(`line ${n} of 100\n`);
        each = Math.round((performance.now() - start) / n);
      }
      if (each < SLOW) return;
      return `it takes ${each} ms a line` +
        (each >= 35 && each < 60 ? ": a line in two writes, Nagle's algorithm, a delayed ACK" : "");
    },
  },
  {
    name: "an empty line comes back",
    did: "sent `\\n`, and a line when it had come back",
    means: "a line without text is taken for the end, or skipped: only 0 bytes read mean EOF",
    read: RIO,
    async run(t) {
      const client = await t.connect();
      for (const line of ["\n", "not empty\n"]) await client.ask(line);
    },
  },
  {
    name: "a thousand lines in one write come back",
    did: "sent 1000 lines at once",
    means: "one read may bring many lines: those behind the first are lost",
    read: "CS:APP 10.5.2, rio_read; tcp(7): a stream has no messages",
    async run(t) {
      await (await t.connect()).ask(lines(1, 1000));
    },
  },
  {
    name: "a line that comes a byte at a time comes back",
    did: "sent a line in 40 writes",
    means: "one read may bring a part of a line: a line ends where its newline is",
    read: "CS:APP 10.5.1: short counts",
    async run(t) {
      const client = await t.connect();
      const line = `${"a byte at a time ".repeat(3).slice(0, 39)}\n`;
      for (const byte of line) {
        await client.send(byte);
        await sleep(1);
      }
      await client.expect(line);
    },
  },
  {
    name: "a line in two halves, a second apart, comes back",
    did: "sent half a line, waited, and sent the rest",
    means: "the server gives up a line that isn't there at once",
    read: "CS:APP 10.5.1: short counts",
    async run(t) {
      const client = await t.connect();
      await client.send("the first half, ");
      await sleep(Math.min(1000, t.timeout / 5));
      await client.send("the second half\n");
      await client.expect("the first half, the second half\n");
    },
  },
  {
    name: "lines of MAXLINE - 2 to MAXLINE + 1 bytes come back",
    did: `sent lines of ${MAXLINE - 2} to ${MAXLINE + 1} bytes, one after the other`,
    means:
      "the buffer is too short by the NUL, or what doesn't fit in it is lost, refused or comes twice",
    read: RIO,
    async run(t) {
      const client = await t.connect();
      for (let n = MAXLINE - 2; n <= MAXLINE + 1; n++) await client.ask(longLine(n));
    },
  },
  {
    name: "a line of 100 KB comes back",
    did: "sent a line of 100 000 bytes",
    means: "the rest of a line that is longer than the buffer is lost, or comes twice",
    read: RIO,
    async run(t) {
      await (await t.connect()).ask(longLine(100_000));
    },
  },
  {
    name: "every byte value comes back",
    did: "sent a line of the bytes 0xff to 0x01, without \\n and \\r",
    means: "bytes are taken for characters: what isn't ASCII is changed, or a char is negative",
    read: "CS:APP 10.5: binary data; RFC 862",
    async run(t) {
      const values = Array.from({ length: 255 }, (_, i) => 255 - i)
        .filter((value) => value !== 10 && value !== 13);
      await (await t.connect()).ask(Uint8Array.from([...values, 10]));
    },
  },
  {
    name: "NUL comes back",
    did: "sent a line with a NUL in it",
    means: "the length of the line is that of strlen, not that of what was read",
    read: "CS:APP 10.5.2: text and binary data; string(3)",
    async run(t) {
      await (await t.connect()).ask("before\0after\n");
    },
  },
  {
    name: "\\r\\n comes back as it was",
    did: "sent lines that end in \\r\\n, and a \\r within one",
    means: "the end of a line is changed: an echo changes nothing",
    read: "RFC 862",
    async run(t) {
      const client = await t.connect();
      for (const line of ["GET / HTTP/1.0\r\n", "\r\n", "a\rb\n"]) await client.ask(line);
    },
  },
  {
    name: "no line is a command",
    did: "sent the lines `quit`, `exit`, `bye` and `.`",
    means: "a line is taken for an order to end: an echo server ends a connection at EOF",
    fatal: true,
    read: ECHO,
    async run(t) {
      const client = await t.connect();
      for (const line of ["quit\n", "exit\n", "bye\n", ".\n"]) await client.ask(line);
    },
  },
];
