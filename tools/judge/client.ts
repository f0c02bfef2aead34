/** The cases for a client: judge is the server. */
import { openListenfd } from "../../server.ts";
import { sleep, within } from "../../net/time.ts";
import { Rio, rioWriten } from "../../rio.ts";
import { bytes, firstDifference, hint, longLine, show, text } from "./bytes.ts";
import { command, Program } from "./process.ts";
import type { Subject } from "./run.ts";
import { busy, type Case, Failure, seconds, Skip } from "./case.ts";

const HOST = "127.0.0.1";
/** Bytes of a line that fgets reads in two pieces. */
const LONG = 12_000;
/** A line of what programs often change. */
const TEXT = "100 %d %s%n \u00fc\u6f22\u5b57  \n";
/** Milliseconds for a connection to arrive after the client has ended. */
const GRACE = 100;
const ECHOCLIENT = "CS:APP 11.4.9, echoclient.c";
const STALE = "what readlineb returns isn't looked at: at 0 the buffer still holds the line sent";

export const CLIENT_CASES: Case<ClientTrial>[] = [
  {
    name: "each line comes out once",
    did: "typed three lines, and sent each back",
    means: "not each line is sent, and printed when it has come back: more is waited for (EOF, a " +
      "full buffer), or FIN (shutdown) is sent before the input ends",
    read: ECHOCLIENT,
    async run(t) {
      const { client, connfd } = await t.start();
      for (const line of ["first\n", "second\n", "third\n"]) {
        await client.type(line);
        await connfd.send(await connfd.line());
        await client.prints(line);
      }
      await client.ends(connfd);
      client.printedAll("first\nsecond\nthird\n");
      return client.finding();
    },
  },
  {
    name: "an empty line comes out",
    did: "typed an empty line and another, and sent each back",
    means: "an empty line is skipped, or taken for the end: it has one byte, the newline",
    read: ECHOCLIENT,
    async run(t) {
      const { client, connfd } = await t.start();
      for (const line of ["\n", "behind\n"]) {
        await client.type(line);
        await connfd.send(await connfd.typed(line));
        await client.prints(line);
      }
      await client.ends(connfd);
      client.printedAll("\nbehind\n");
    },
  },
  {
    name: "text comes out as it was",
    did: "typed a line with %, blanks at its end and UTF-8, and sent it back",
    means: "the line is taken for a format (printf(buf)), stripped, or taken for ASCII",
    read: "printf(3), BUGS; CS:APP 10.5: text and binary data",
    async run(t) {
      const { client, connfd } = await t.start();
      await client.type(TEXT);
      const sent = await connfd.typed(latin1(TEXT));
      await connfd.send(sent);
      await client.prints(sent);
      await client.ends(connfd);
      client.printedAll(sent);
      return client.finding();
    },
  },
  {
    name: "NUL comes out",
    did: "typed a line with a NUL in it, and sent it back",
    means: "the line is taken for a string, which ends at NUL: fgets and strlen, or fputs",
    read: "CS:APP 10.5.2: text and binary data; string(3)",
    async run(t) {
      const { client, connfd } = await t.start();
      const line = "before\0after\n";
      await client.type(line);
      await connfd.send(await connfd.typed(line));
      await client.prints(line);
      await client.ends(connfd);
      client.printedAll(line);
    },
  },
  {
    name: "a line that comes back a byte at a time comes out whole",
    did: "typed a line, and sent it back in as many writes as it has bytes",
    means: "one read is taken for one line",
    read: "CS:APP 10.5.1: short counts",
    async run(t) {
      const { client, connfd } = await t.start();
      await client.type("a line in pieces\n");
      for (const byte of await connfd.line()) {
        await connfd.send(byte);
        await sleep(1);
      }
      await client.prints("a line in pieces\n");
      await client.ends(connfd);
      client.printed("a line in pieces\n", 1);
      return client.finding();
    },
  },
  {
    name: "a line longer than MAXLINE comes out whole",
    did: `typed a line of ${LONG} bytes, and sent back what came as it came`,
    means: "what doesn't fit in the buffer is thrown away, or is never read",
    read: "fgets(3); CS:APP 10.5.2, rio_readlineb",
    async run(t) {
      const { client, connfd } = await t.start();
      // Its length alone is tried here: printf(buf) and stripping have a case of their own.
      const line = longLine(LONG).replaceAll(/[% ]/g, ".");
      await client.type(line);
      for (let came = 0; came < LONG;) {
        const part = await connfd.read(LONG - came).catch(() => "");
        if (part === "") throw new Failure(`it sent ${came} of ${LONG} bytes`);
        came += part.length;
        await connfd.send(part);
      }
      await client.prints(line);
      await client.ends(connfd);
      if (!client.has(line)) {
        throw new Failure(`it printed ${client.stdout.length} bytes, not the ${LONG} in one piece`);
      }
      return client.finding();
    },
  },
  {
    name: "a last line without a newline comes out",
    did: "typed text without a newline, ended the input, and sent the text back",
    means:
      "it waits for a newline that never comes, and sends no FIN while it waits; or it doesn't " +
      "wait for the answer",
    read: "shutdown(2); CS:APP 10.5.2, rio_readlineb",
    async run(t) {
      const { client, connfd } = await t.start();
      await client.type("no newline");
      await client.closeInput();
      const sent = await connfd.typed("no newline");
      const more = await connfd.rest(t.timeout / 10);
      if (more !== "") throw new Failure(`it sent ${received(sent + more, sent)}`);
      await connfd.send(sent);
      connfd.closeAtEnd();
      if (await within(t.timeout, client.ended) === undefined) {
        throw new Failure(`it waits, ${seconds(t.timeout)} after its text has come back`);
      }
      client.printedAll("no newline");
      return client.finding();
    },
  },
  {
    name: "when the server closes after a line the client ends, and prints nothing stale",
    did: "sent a line back and closed, then typed a second one and ended the input",
    means: STALE,
    read: ECHOCLIENT,
    async run(t) {
      const { client, connfd } = await t.start();
      await client.type("first\n");
      await connfd.send(await connfd.line());
      await client.prints("first\n");
      connfd.close();
      await client.type("second\n");
      await client.ends(connfd);
      client.printed("second", 0);
      return client.finding();
    },
  },
  {
    name:
      "when the server closes in the middle of a line the client ends, and prints no more of it",
    did: "typed a line, sent half of it back and closed",
    means: "more than the count that was read is printed",
    read: "CS:APP 10.5.2, rio_readlineb",
    async run(t) {
      const { client, connfd } = await t.start();
      await client.type("first half, second half\n");
      const line = await connfd.line();
      await connfd.send(line.slice(0, "first half".length));
      connfd.close();
      await client.ends(connfd);
      client.printed("second half", 0);
      return client.finding();
    },
  },
  {
    name: "when the server resets the client ends, and prints nothing stale",
    did: "typed a line, and reset the connection (SO_LINGER 0, by node:net)",
    means: "an error of read is taken for a line, or for no reason to end",
    read: "CS:APP 10.5.2, rio_read: ECONNRESET",
    async run(t) {
      const client = await t.startAndReset("a line\n");
      await client.ends();
      client.printed("a line", 0);
      return client.finding();
    },
  },
  {
    name: "when the server says more than it was sent the client ends",
    did: "typed a line, and sent it back with another behind it",
    means: "the client takes what nobody has asked for, and never ends",
    read: ECHOCLIENT,
    async run(t) {
      const { client, connfd } = await t.start();
      await client.type("a line\n");
      await connfd.send(`${await connfd.line()}a line that nobody sent\n`);
      await client.prints("a line\n");
      await client.ends(connfd);
      client.printed("a line\n", 1);
      const extra = client.has("that nobody sent") ? "prints" : "doesn't print";
      return `it ${extra} what nobody sent; ${client.finding()}`;
    },
  },
  {
    name: "when the server closes without an answer the client ends, and prints nothing stale",
    did: "typed a line, said nothing for a while, and closed",
    means: STALE,
    read: ECHOCLIENT,
    async run(t) {
      const { client, connfd } = await t.start();
      await client.type("a line\n");
      await connfd.line();
      const patient = await within(t.timeout / 10, client.ended) === undefined;
      connfd.close();
      await client.ends(connfd);
      client.printed("a line", 0);
      return `it ${patient ? "waits for an answer" : "gives up"}; ${client.finding()}`;
    },
  },
  {
    name: "it sleeps while it waits for an answer",
    did: "typed a line, didn't answer for a while, then ended the input and didn't answer for " +
      "another, and measured the client's CPU time",
    means:
      "it asks over and over whether something has come, instead of waiting in read, or reads " +
      "on behind EOF",
    read: "CS:APP 12.2, select waits; proc(5)",
    async run(t) {
      const { client, connfd } = await t.start();
      await client.type("a line\n");
      const line = await connfd.line();
      for (const when of ["its input is open", "its input has ended"]) {
        if (when.endsWith("ended")) await client.closeInput();
        const took = await busy(() => client.ticks(), t.timeout / 10);
        if (took !== undefined) throw new Failure(`${took} while ${when}`);
      }
      await connfd.send(line);
      await client.ends(connfd);
    },
  },
  {
    name: "a reset is told by the exit code",
    did: "typed a line, reset the connection (SO_LINGER 0, by node:net), and looked how it ended",
    means: "an error isn't told to who runs the client: a shell sees success in exit code 0",
    read: "CS:APP 8.4.6: exit; csapp.c, unix_error",
    async run(t) {
      const client = await t.startAndReset("a line\n");
      await client.ends();
      if (client.finding() === "exit code 0") throw new Failure("exit code 0, and no answer");
      return client.finding();
    },
  },
];

/** A client under test, started again for each case. */
export class ClientTrial implements Subject {
  readonly #template: string;
  readonly timeout: number;
  #client: ClientProgram | undefined;
  #connfd: Connfd | undefined;

  constructor(template: string, timeout: number) {
    this.#template = template;
    this.timeout = timeout;
  }

  /** Throws if the client doesn't even connect. */
  async check(): Promise<this> {
    try {
      await this.start();
    } finally {
      await this.end();
    }
    return this;
  }

  /** Starts the client and accepts its connection. */
  async start(): Promise<{ client: ClientProgram; connfd: Connfd }> {
    using listenfd = openListenfd(0, { host: HOST });
    const { port } = listenfd.addr;
    const client = this.#client = new ClientProgram(this.#template, port, this.timeout);
    const accepted = listenfd.accept();
    accepted.catch(() => {}); // rejects if the wait below gives up
    const connfd = await client.brings(accepted, "connect");
    this.#connfd = new Connfd(connfd, this.timeout);
    return { client, connfd: this.#connfd };
  }

  /** Starts the client, types a line, and answers the first bytes with RST. */
  async startAndReset(line: string): Promise<ClientProgram> {
    const { createServer } = await import("node:net");
    const reset = Promise.withResolvers<boolean>();
    const listener = createServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", () => {
        socket.resetAndDestroy();
        reset.resolve(true);
      });
    });
    await new Promise<void>((resolve) => listener.listen(0, HOST, resolve));
    try {
      const { port } = listener.address() as { port: number };
      const client = this.#client = new ClientProgram(this.#template, port, this.timeout);
      await client.type(line);
      await client.brings(reset.promise, "send anything");
      return client;
    } finally {
      listener.close();
    }
  }

  begin(): void {}

  async end(): Promise<void> {
    this.#connfd?.close();
    await this.#client?.kill();
    this.#client = undefined;
    this.#connfd = undefined;
  }

  recover(): Promise<boolean> {
    return Promise.resolve(true);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
  }
}

/** The client's process. */
class ClientProgram extends Program {
  readonly #timeout: number;

  constructor(template: string, port: number, timeout: number) {
    super(command(template, { host: HOST, port }));
    this.#timeout = timeout;
  }

  /** The CPU time it has taken so far, in clock ticks. */
  ticks(): number {
    const { group } = this;
    if (group === undefined) throw new Skip("only with --allow-all: it looks into /proc");
    return group.running().reduce((sum, { ticks }) => sum + ticks, 0);
  }

  has(text: string): boolean {
    return this.stdout.includes(text);
  }

  /** Waits for what the client brings about; fails if it ends first, or takes too long. */
  async brings<T>(promise: Promise<T>, what: string): Promise<T> {
    const done = promise.then((value) => ({ value }));
    // What it did just before it ended may still be on its way.
    const ended = this.finished.then(() => within(GRACE, done));
    const first = await within(2 * this.#timeout, Promise.race([done, ended]));
    if (first !== undefined) return first.value;
    if (this.status === undefined) throw new Failure(`the client didn't ${what}`);
    throw this.failure(`the client ${this.said()}`);
  }

  /** Waits until it has printed `text`, or until stdio may be buffering it. */
  async prints(text: string): Promise<void> {
    const end = performance.now() + this.#timeout / 10;
    while (!this.has(text) && performance.now() < end) {
      await sleep(5);
    }
  }

  /** Ends its input, closes the connection when the client does, and checks that it exits. */
  async ends(connfd?: Connfd): Promise<void> {
    await this.closeInput();
    let fin = connfd === undefined;
    connfd?.closeAtEnd().then(() => fin = true);
    if (await within(this.#timeout, this.finished) === undefined) {
      const late = `it still runs ${seconds(this.#timeout)} after the end of its input`;
      throw new Failure(fin ? late : `${late}, and has sent no FIN`);
    }
  }

  /** Checks that it has printed `text` exactly `times` times. */
  printed(text: string, times: number): void {
    const found = this.stdout.split(text).length - 1;
    if (found === times) return;
    throw new Failure(`it printed ${JSON.stringify(text)} ${found} times, not ${times}`);
  }

  /** Checks that it has printed this and nothing else. */
  printedAll(text: string): void {
    const { stdout } = this;
    if (stdout === text) return;
    throw new Failure(`it printed ${received(stdout, text)}`);
  }

  /** Describes how it exited. */
  finding(): string {
    const { status } = this;
    return status?.signal ? `ended by ${status.signal}` : `exit code ${status?.code}`;
  }
}

/** The server's side of the connection. */
class Connfd {
  readonly #connfd: Deno.TcpConn;
  readonly #rio: Rio;
  readonly #timeout: number;

  constructor(connfd: Deno.TcpConn, timeout: number) {
    this.#connfd = connfd;
    this.#rio = new Rio(connfd);
    this.#timeout = timeout;
  }

  /** The next line that the client sends. */
  async line(): Promise<string> {
    const line = await this.#receive(this.#rio.readline());
    if (line === null) throw new Failure("it sent FIN, though its input goes on");
    return text(line);
  }

  /** What was typed, up to a newline. Fails with what the client sends instead. */
  async typed(typed: string): Promise<string> {
    let sent = "";
    while (sent.length < typed.length && !sent.endsWith("\n")) {
      // What has come says more than that nothing follows.
      const part = await this.read(typed.length - sent.length).catch((error) => {
        if (sent === "") throw error;
      });
      if (!part) break;
      sent += part;
    }
    if (sent !== typed) throw new Failure(`it sent ${received(sent, typed)}`);
    return sent;
  }

  /** The next bytes that the client sends, at most `n`. */
  async read(n: number): Promise<string> {
    const buf = new Uint8Array(n);
    return text(buf.subarray(0, await this.#receive(this.#rio.read(buf)) ?? 0));
  }

  /** What the client sends within `ms` milliseconds; what comes later is left. */
  async rest(ms: number): Promise<string> {
    const signal = AbortSignal.timeout(ms);
    try {
      const buf = new Uint8Array(100);
      return text(buf.subarray(0, await this.#rio.read(buf, { signal }) ?? 0));
    } catch {
      return ""; // nothing came, or the connection is over
    }
  }

  async send(text: string): Promise<void> {
    await rioWriten(this.#connfd, bytes(text)).catch(() => {}); // the client has closed
  }

  close(): void {
    this.#connfd[Symbol.dispose]();
  }

  /** Closes the connection once the client has sent FIN, as every server does. */
  async closeAtEnd(): Promise<void> {
    try {
      while (await this.#rio.readline() !== null);
    } catch {
      // Already closed, or reset by the client.
    } finally {
      this.close();
    }
  }

  async #receive<T>(read: Promise<T>): Promise<T> {
    const failed = (error: unknown) => {
      throw new Failure(`the connection: ${(error as Error).message}`);
    };
    const done = await within(this.#timeout, read.then((value) => ({ value }), failed));
    if (done === undefined) throw new Failure(`it sent nothing for ${seconds(this.#timeout)}`);
    return done.value;
  }
}

/** Says what came and what was expected, a character for each byte, and guesses why. */
function received(came: string, expected: string): string {
  const [now, then] = [bytes(came), bytes(expected)];
  const at = firstDifference(then, now);
  const line = then.subarray(0, then.indexOf(10, at) + 1); // the one that differs
  return `${show(now)}, not ${show(then)}${hint(line, now, at)}`;
}

/** The bytes of a text in UTF-8, a character each. */
function latin1(utf8: string): string {
  return text(new TextEncoder().encode(utf8));
}
