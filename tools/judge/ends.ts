/** Cases about how a connection ends, and whether the next client is served. */
import { sleep, within } from "../../net/time.ts";
import { bytes, lines } from "./bytes.ts";
import { type Case, Failure } from "./case.ts";
import { type Connection, CROWD, type Trial } from "./trial.ts";

/** The most bytes to send to a server without reading, while it keeps taking them. */
const UNREAD = 32_000_000;
/** Bytes about the most that the kernel takes, among which it is looked whether it takes more. */
const [BELOW, ABOVE] = [32_768, 49_152];
/** How many times to try a race. */
const TIMES = 5;
/** Milliseconds in which a thread that fails has ended its server, busy as the machine may be. */
const LATE = 100;

const SIGPIPE = "CS:APP 11.6, aside: prematurely closed connections; signal(7)";

/** Cases about FIN, before those of several clients. */
export const FINS: Case<Trial>[] = [
  {
    name: "FIN at once is answered by FIN",
    did: "connected, sent FIN, and read to the end",
    means:
      "connfd isn't closed, or not by every process that holds it: after fork the parent has it too",
    read: "CS:APP 11.4.9, echoserveri.c; CS:APP 12.1.1",
    async run(t) {
      const client = await t.connect();
      await client.finish();
      await client.endsHere();
    },
  },
  {
    name: "lines, then FIN: all come back, then FIN",
    did: "sent 1000 lines and FIN at once, and read to the end",
    means: "FIN is taken for the end of both directions: what was sent before it isn't answered",
    read: "shutdown(2); RFC 9293, 3.6",
    async run(t) {
      const client = await t.connect();
      const all = lines(2001, 3000);
      await client.while(client.send(all).then(() => client.finish()), all);
      await client.endsHere();
    },
  },
  {
    name: "nothing comes back but what was sent, in order",
    did: "sent 20 000 lines in writes of many sizes, then FIN, and read to the end",
    means: "a byte is lost, comes twice or was never sent: the wrong count is written",
    read: "CS:APP 10.5.1, rio_writen",
    async run(t) {
      const client = await t.connect();
      const all = bytes(lines(30_001, 50_000));
      const sending = (async () => {
        for (let i = 0, size = 1; i < all.length; i += size, size = size * 7 % 9973 + 1) {
          await client.send(all.subarray(i, i + size));
        }
        await client.finish();
      })();
      await client.while(sending, all);
      await client.endsHere();
    },
  },
  {
    name: "a last line without a newline comes back",
    did: "sent text without a newline, and FIN",
    means: "what was read before EOF is thrown away when it doesn't end in a newline",
    read: "CS:APP 10.5.2, rio_readlineb: EOF, some data was read",
    async run(t) {
      const client = await t.connect();
      await client.send("no newline");
      await client.finish();
      await client.expect("no newline");
      await client.endsHere();
    },
  },
  {
    name: "a client that reads late gets every byte",
    did:
      "sent lines and read nothing until the server stood still, sent FIN, and read all by and by; " +
      "then again, with FIN when only a little was left in the server",
    means:
      "a short write isn't gone on with, or EAGAIN is taken for done; or what is still to be " +
      "written is thrown away at the end",
    read: "CS:APP 10.5.1, rio_writen; write(2)",
    async run(t) {
      const client = await t.connect();
      const block = bytes(lines(10_000, 13_000));
      let [blocks, still, sending] = [0, false, Promise.resolve()];
      for (; !still && !t.late && blocks * block.length < UNREAD; blocks++) {
        ({ sending, still } = await push(t, client, block));
      }
      const waits = t.started?.listener() && client.queued();
      const full = still && waits ? waits.from : 0;
      let all = false;
      const finished = sending.then(() => client.finish()).then(() => all = true);
      finished.catch(() => {});
      for (let n = 0; n < blocks; n++) {
        await client.expect(block);
        if (all) await sleep(2); // more slowly than the server writes
      }
      await finished;
      await client.endsHere();
      const sent = blocks * block.length;
      const took = `${(sent / 1e6).toFixed(1)} MB`;
      if (!still && waits && sent - waits.to - waits.from > UNREAD / 2) {
        throw new Failure(`it took ${took}, and kept it in memory`);
      }
      if (full > 0) await finishWhenFull(t, full);
      return still ? `it stood still after ${took}` : `it took ${took} and didn't stand still`;
    },
  },
];

export const ENDS: Case<Trial>[] = [
  {
    name: "after 200 that connect and close the next client is served",
    did: "opened 200 connections and closed each at once",
    means: "a connection without a byte ends the server, or isn't closed",
    fatal: true,
    read: "CS:APP 11.4.9, echoserveri.c",
    async run(t) {
      for (let i = 1; i <= 200 && !t.late; i++) {
        (await t.connect()).close();
        // Some servers have a queue of five.
        if (i % 5 === 0) await ask(t, "the next client\n");
      }
      await served(t);
    },
  },
  {
    name: "after one that said nothing the next client is served",
    did: "opened a connection, said nothing for a while, and closed it",
    means: "a client that says nothing ends the server, or is waited for when it has gone",
    fatal: true,
    read: "CS:APP 11.4.9, echoserveri.c",
    async run(t) {
      const client = await t.connect();
      if (await client.next(t.quiet) === "end") throw new Failure("the server closed it");
      client.close();
      await served(t);
    },
  },
  {
    name: "a client that thinks for two seconds is served on",
    did: "sent a line, said nothing for two seconds, and sent another",
    means: "a client is given up that takes its time: only EOF is its end",
    read: "CS:APP 11.4.9, echoserveri.c",
    async run(t) {
      const client = await t.connect();
      await client.ask("a thought\n");
      await sleep(Math.min(2100, 2 * t.timeout));
      await client.ask("another one\n");
    },
  },
  {
    name: "hundreds of clients, one after the other, are served",
    did: "opened 1100 connections, one after the other, with a line each",
    means:
      "something is left of each: a descriptor, a process, memory; or connfd is closed twice, " +
      "when it may be another client's",
    read: "CS:APP 12.1.1: close connfd in the parent; getrlimit(2)",
    async run(t) {
      const { clients } = await t.crowd();
      if (clients < CROWD) return `it has served ${clients} in the time of the case`;
    },
  },
];

/** Cases that may kill a server, so they run late. */
export const RESETS: Case<Trial>[] = [
  {
    name: "after RST in the middle of a line the next client is served",
    did: "sent a line, half a line, and RST (SO_LINGER 0, by node:net)",
    means: "an error of read ends the server: one connection's error is not the server's",
    fatal: true,
    read: "CS:APP 10.5.2, rio_read: ECONNRESET; csapp.c, unix_error",
    async run(t) {
      await t.reset("a line\n", "half a li");
      await served(t);
    },
  },
  {
    name: "after RST before accept the next client is served",
    did: "reset a connection that waited to be accepted (SO_LINGER 0, by node:net)",
    means: "an error of accept, getpeername or the first read ends the server",
    fatal: true,
    read: "accept(2), error handling: ECONNABORTED",
    async run(t) {
      const release = await t.hold();
      const times = release === undefined ? 4 * TIMES : 1;
      for (let i = 0; i < times; i++) await t.reset();
      await release?.();
      await served(t);
      if (release === undefined) return "not certain: the server may have accepted first";
    },
  },
  {
    name: "after a close with unread bytes the next client is served",
    did: "sent a line, and RST when it had come back: what close(2) sends with bytes unread " +
      "(SO_LINGER 0, by node:net)",
    means: "ECONNRESET, of a read that waits for the next line, ends the server",
    fatal: true,
    read: "RFC 2525, 2.17; CS:APP 10.5.2, rio_read",
    async run(t) {
      await t.reset("a line\n");
      await served(t);
    },
  },
  {
    name: "the next client is served after one vanishes mid-write",
    did: "sent 2000 lines and closed at once, before and after the server had accepted",
    means: "the second write to a connection that is gone raises SIGPIPE, which ends the server " +
      "unless it is ignored",
    fatal: true,
    read: SIGPIPE,
    async run(t) {
      for (let i = 0; i < TIMES; i++) {
        const release = await t.hold();
        const early = await t.connect();
        await early.send(lines(1, 2000));
        early.close();
        await release?.();
        await served(t);
        const late = await t.connect();
        await late.ask("accepted\n");
        await late.send(lines(1, 2000));
        late.close();
      }
      await served(t);
    },
  },
];

/** Begins to send a block; tells whether it stands still, because nobody reads it. */
async function push(t: Trial, client: Connection, block: Uint8Array) {
  const sending = client.send(block, false);
  sending.catch(() => {}); // an error of what comes back says more
  const still = await within(t.quiet, sending.then(() => true)) === undefined;
  return { sending, still };
}

/**
 * Sends lines until the kernel, which takes about `full` bytes of the server's, takes no more, so
 * that a few are in the server. Then it sends FIN, and checks that all come back.
 */
async function finishWhenFull(t: Trial, full: number): Promise<void> {
  const client = await t.connect();
  const block = bytes(lines(1000, 1660)); // less than Node lets wait
  let [blocks, still, sending] = [0, false, Promise.resolve()];
  for (let sent = 0; !still && sent < full + ABOVE && !t.late;) {
    ({ sending, still } = await push(t, client, block)); // it may take less than the first
    sent = ++blocks * block.length;
    if (!still && sent > full - BELOW && await keeps(t, client, sent)) break;
  }
  const finished = sending.then(() => client.finish());
  finished.catch(() => {});
  if (!still) {
    await finished;
    await sleep(t.quiet / 2); // a server that does something at FIN does it now
  }
  for (; blocks > 0; blocks--) await client.expect(block);
  await finished;
  await client.endsHere();
}

/** Whether some of the bytes sent to the server stay in it, or it reads no more of them. */
async function keeps(t: Trial, client: Connection, sent: number): Promise<boolean> {
  let [before, since] = ["", 0];
  for (;;) {
    const start = performance.now();
    const { to, from } = client.queued();
    if (to === 0 && from >= sent) return false;
    const [now, state] = [performance.now(), `${to} ${from}`];
    if (state !== before) [before, since] = [state, now];
    else if (to === 0 || now - since > t.quiet) return true;
    // A look may read megabytes.
    await sleep(Math.max(t.quiet / 10, 10 * (now - start)));
  }
}

/** Checks that new clients are served: several, and one later, because a thread may fail late. */
async function served(t: Trial): Promise<void> {
  await ask(t, "the next client\n");
  await ask(t, "the one behind\n");
  await sleep(LATE);
  await ask(t, "and one more\n");
}

/** Checks that a new client is served. */
async function ask(t: Trial, line: string): Promise<void> {
  try {
    const client = await t.connect();
    await client.ask(line);
    client.close();
  } catch (error) {
    if (error instanceof Failure) error.message = `the next client: ${error.message}`;
    throw error;
  }
}
