/** Cases of several clients at once. */
import { sleep, within } from "../../net/time.ts";
import { longLine } from "./bytes.ts";
import { type Case, Failure, Skip } from "./case.ts";
import { REQUIRED } from "./marks.ts";
import { type Connection, MANY, type Trial } from "./trial.ts";

/** The most bytes to send without reading. */
const UNREAD = 16_000_000;

/** How often to try a race. */
const RACES = 600;

const WAITS = "a second client has to wait";

/** The case of a server that has to serve so many clients at a time. */
export function required(n: number): Case<Trial> {
  return {
    name: REQUIRED,
    did: `connected ${n} clients, and sent a line on each`,
    means: "a client has to wait until another has gone: serve each in a process, a thread, " +
      "or by turns",
    read: "CS:APP 12",
    async run(t) {
      const many = await t.concurrency();
      if (many < n) throw new Failure(`it serves ${many} at a time, not ${n}`);
    },
  };
}

export const SEVERAL: Case<Trial>[] = [
  {
    name: "each client gets its own bytes",
    did:
      "sent half lines on some connections by turns, then their rest; then long lines at once; " +
      "then lines on one that doesn't read, and on another",
    means: "what belongs to a client is in a static or global variable, which all share",
    read: "CS:APP 12.4, shared variables; CS:APP 12.7.1, thread safety",
    async run(t) {
      const clients = await t.many(8);
      if (clients.length === 1) throw new Skip(WAITS);
      try {
        await mixed(t, clients);
      } catch (error) {
        // What seems added or gone here is another's.
        if (error instanceof Failure) {
          error.message = error.message.replace(/(\(byte \d+\)): .*/s, "$1");
        }
        throw error;
      }
    },
  },
  {
    name: "a client that has to wait is served in the end",
    did: `connected up to ${MANY} clients, and let them go one after the other`,
    means: "a client that connects while others are served is lost",
    read: "CS:APP 11.4.7: the queue of listen; CS:APP 12",
    async run(t) {
      const many = await t.concurrency();
      const clients: Connection[] = [];
      for (let i = 0; i <= Math.min(many, MANY - 1); i++) {
        const client = await t.connect();
        await client.send(`number ${i}\n`);
        if (i < many) await client.next(t.quiet); // the server's queue may be short
        clients.push(client);
      }
      for (const [i, client] of clients.entries()) {
        await client.expect(`number ${i}\n`);
        client.close();
      }
      return `it serves ${many < MANY ? many : `${many} or more`} at a time`;
    },
  },
  {
    name: "clients that come at once are all served",
    did:
      "connected three clients at once, while the server was kept from accepting if possible, and " +
      "sent a line on each",
    means: "accept puts connfd where the thread of the client before still reads its own: &connfd",
    read: "CS:APP 12.3.8, echoservert.c: why connfdp is allocated",
    async run(t) {
      for (let round = 0; round < 5; round++) {
        const release = await t.hold();
        const connected = Promise.all([t.connect(), t.connect(), t.connect()]);
        await within(t.quiet, connected); // if the queue is too short, another case reports it
        await release?.();
        const clients = await connected;
        await Promise.all(clients.map((client, i) => client.send(`at once ${i}\n`)));
        await Promise.all(clients.map(async (client, i) => {
          await client.expect(`at once ${i}\n`);
          client.close();
        }));
      }
    },
  },
  {
    name: "half a line holds up nobody else",
    did: "sent half a line on one connection, and lines on another",
    means: "after select has said that a descriptor is ready, a whole line is waited for",
    read: "CS:APP 12.2.1: echoservers.c, and practice problem 12.4",
    async run(t) {
      const [slow, quick] = await t.many(2);
      if (quick === undefined) throw new Skip(WAITS);
      await slow.send("half a ");
      // The server may read the first of these before the half line.
      for (const line of ["a line\n", "another\n", "a third\n"]) await quick.ask(line);
      await slow.send("line\n");
      await slow.expect("half a line\n");
    },
  },
  {
    name: "four clients may wait to be accepted",
    did: "kept the server from accepting, and connected four clients",
    means: "the queue of listen is too short: who doesn't fit in it tries again a second later",
    read: "CS:APP 11.4.7: listen, LISTENQ; listen(2)",
    async run(t) {
      // A SYN is resent after a second. A busy machine may be that slow, but not every time.
      for (let times = 0; times < 3; times++) {
        const release = await t.hold();
        if (release === undefined) throw new Skip("nothing keeps the server from accepting");
        const connected = Promise.all(Array.from({ length: 4 }, () => t.connect()));
        connected.catch(() => {}); // awaited below
        const inTime = await within(900, connected) !== undefined;
        await release();
        for (const client of await connected) client.close();
        if (inTime) return;
      }
      throw new Failure("not all were connected before they sent SYN again");
    },
  },
  {
    name: "each address that it listens on is served",
    did: "sent a line to 127.0.0.1 and one to ::1, if the host is localhost",
    means: "a listening descriptor is never accepted from",
    read: "CS:APP 11.4.3, getaddrinfo; ipv6(7)",
    async run(t) {
      if (t.named !== "localhost") throw new Skip(`${t.named} was named, and no other address`);
      const served = [];
      for (const [family, host] of [["IPv4", "127.0.0.1"], ["IPv6", "::1"]]) {
        const client = await connected(t, host);
        if (client === undefined) continue;
        await client.ask(`${family}\n`);
        client.close();
        served.push(family);
      }
      return `it listens on ${served.join(" and ")}${served.length === 1 ? " only" : ""}`;
    },
  },
];

/** Lines of many clients, so that what they share is seen. */
async function mixed(t: Trial, clients: Connection[]): Promise<void> {
  const each = (act: (client: Connection, i: number) => Promise<void>) =>
    Promise.all(clients.map(act));
  for (let round = 0; round < 10; round++) {
    for (const [i, client] of clients.entries()) await client.send(name(i).repeat(i + 10));
    await sleep(t.quiet / 50);
    await each((client, i) => client.while(client.send("\n"), name(i).repeat(i + 10) + "\n"));
  }
  // Short ones as fast as they go, for a count that all share; then long ones.
  const end = performance.now() + 3 * t.quiet;
  await each(async (client, i) => {
    const line = `${name(i).repeat(5 * i + 1)}\n`;
    for (let n = 0; n < RACES && performance.now() < end; n++) await client.ask(line);
  });
  const long = (i: number) => longLine(8000 - 900 * i).replaceAll(" ", name(i)).repeat(8);
  for (let round = 0; round < 5; round++) await each((client, i) => client.ask(long(i)));
  // While the server waits for room to write to one, it serves another, if it can.
  const [late, other] = clients;
  const block = longLine(8000).replaceAll(" ", "L").repeat(8);
  let blocks = 0;
  for (let still = false; !still && !t.late && blocks * block.length < UNREAD; blocks++) {
    const sending = late.send(block);
    sending.catch(() => {}); // an error of what comes back says more
    still = await within(t.quiet, sending.then(() => true)) === undefined;
  }
  const lines = longLine(8000).replaceAll(" ", "O").repeat(8);
  const asked = other.ask(lines).then(() => other.ask(lines));
  asked.catch(() => {}); // awaited below
  await within(2 * t.quiet, asked);
  for (let n = 0; n < blocks; n++) await late.expect(block);
  await asked;
}

/** The letter of client `i`. */
function name(i: number): string {
  return String.fromCharCode(65 + i);
}

/** Connects to `host`; undefined if nothing listens there. */
async function connected(t: Trial, host: string): Promise<Connection | undefined> {
  try {
    return await t.connect(host);
  } catch (error) {
    if (error instanceof Failure) return undefined;
    throw error;
  }
}
