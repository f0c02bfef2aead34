/** The tools of a case: connections to the server, bytes out and back, all bounded. */
import type { Socket } from "node:net";
import { openClientfd } from "../../client.ts";
import { isReset, reason } from "../../net/errors.ts";
import { within } from "../../net/time.ts";
import { Rio, rioWriten } from "../../rio.ts";
import { bytes, difference, show } from "./bytes.ts";
import { Failure, seconds, WAITS } from "./case.ts";
import { queued } from "./proc.ts";
import type { Held, Started } from "./process.ts";

/** The most connections and bytes per case, so that judge can't be used as a weapon. */
export const MAX_CONNECTIONS = 1200;
export const MAX_BYTES = 40_000_000;
/** The most clients at once that a case needs: more isn't tested. */
export const MANY = 20;
/** The most connections open at once. */
export const MAX_OPEN = MANY + 10;
/** Clients one after the other: some first, then batches. */
const CROWD_FIRST = 50;
const CROWD_BATCHES = 3;
export const CROWD_BATCH = 350;
export const CROWD = CROWD_FIRST + CROWD_BATCHES * CROWD_BATCH;

const BLOCK = 65_536;

/** The server under test, as a case sees it. */
export class Trial {
  /** The server's process, if judge started it. */
  readonly started: Started | undefined;
  /** The most milliseconds for one wait. */
  readonly timeout: number;
  /** The host as given on the command line. */
  readonly named: string;
  /** The address in use: another address of the same name may be another server. */
  #addr: Deno.NetAddr;
  #spare: Deno.TcpConn | undefined;
  #open = new Set<Connection>();
  #opening = new Set<Promise<Deno.TcpConn>>();
  #connections = 0;
  #sent = 0;
  #came = 0;
  #served = false;
  #over = false;
  #start = 0;
  #most = Infinity;
  readonly #known = new Map<string, unknown>();

  /**
   * Tries the server at `host`, as given on the command line, which judge may have `started`. `spare`
   * is a connection to it, which {@linkcode Trial.connect} returns first, `timeout` the most
   * milliseconds for one wait.
   */
  constructor(host: string, spare: Deno.TcpConn, timeout: number, started?: Started) {
    this.named = host;
    this.timeout = timeout;
    this.started = started;
    this.#spare = spare;
    this.#addr = spare.remoteAddr;
  }

  /** Milliseconds of silence after which no more bytes are expected. */
  get quiet(): number {
    return this.timeout / 10;
  }

  /** Whether half of the case's time is over, so that repetitions should stop. */
  get late(): boolean {
    return performance.now() - this.#start > this.#most / 2;
  }

  /** Begins a case, which may take `most` milliseconds. */
  begin(most: number = WAITS * this.timeout): void {
    this.#most = most;
    this.#over = false;
    this.#start = performance.now();
    this.#connections = 0;
    this.#sent = 0;
    this.#came = 0;
  }

  /** Closes what a case left open, with FIN both ways if the server cooperates. */
  async end(): Promise<void> {
    this.#over = true;
    // A case that has failed may have left some on their way.
    await Promise.allSettled(this.#opening);
    await Promise.all(Array.from(this.#open, (client) => client.leave()));
  }

  /** Switches to a restarted server, with the first connection to it. */
  renew(spare: Deno.TcpConn): void {
    this.#spare?.close();
    this.#spare = spare;
    this.#addr = spare.remoteAddr;
  }

  /** How the server ended, if it has and judge started it. */
  async ended(): Promise<string | undefined> {
    return await this.started?.ended();
  }

  /** Makes the server ready again after a failure; false if it answers no client. */
  async recover(): Promise<boolean> {
    if (this.started === undefined) return await this.#answers();
    try {
      this.renew(await this.started.start());
    } catch (error) {
      if (error instanceof Failure) return false;
      throw error;
    }
    return this.#served || await this.#answers();
  }

  /** Records that the server has echoed bytes. */
  serves(n: number): void {
    this.#served = true;
    this.#came += n;
  }

  /** How many bytes have come back in the case. */
  progress(): number {
    return this.#came;
  }

  /** Closes all connections, and kills the server if judge started it. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#over = true;
    await Promise.allSettled(this.#opening);
    for (const client of this.#open) client[Symbol.dispose]();
    this.#spare?.close();
    this.#spare = undefined;
    await this.started?.stop();
  }

  /** Returns what `find` finds, which runs only once for all cases. */
  async once<T>(what: string, find: () => Promise<T>): Promise<T> {
    if (!this.#known.has(what)) this.#known.set(what, await find());
    return this.#known.get(what) as T;
  }

  /** Opens a connection. Default: to the server under test. */
  async connect(host: string = this.#addr.hostname): Promise<Connection> {
    this.#count(1, 0);
    const spare = host === this.#addr.hostname ? this.#spare : undefined;
    if (spare !== undefined) this.#spare = undefined;
    try {
      const fd = spare ?? await this.#openClientfd(host);
      const client = new Connection(this, fd);
      this.#open.add(client);
      return client;
    } catch (error) {
      throw new Failure(reason(error));
    }
  }

  async #openClientfd(host: string): Promise<Deno.TcpConn> {
    const opening = openClientfd(host, this.#addr.port, { connectTimeout: this.timeout });
    this.#opening.add(opening);
    try {
      return await opening;
    } finally {
      this.#opening.delete(opening);
    }
  }

  /**
   * Opens a connection and resets it, with node:net: it can set SO_LINGER to 0, Deno.connect can't.
   * Before that it sends `line`, if given, and waits for it to come back, then sends `last`.
   */
  async reset(line: string = "", last: string = ""): Promise<void> {
    this.#count(1, line.length + last.length);
    await this.#dropSpare();
    const { connect } = await import("node:net");
    const socket: Socket = connect(this.#addr.port, this.#addr.hostname);
    const closed = new Promise<void>((resolve) => socket.on("close", () => resolve()));
    let back = "";
    try {
      await this.wait(
        "a line that is to come back before a reset",
        new Promise<void>((resolve, reject) => {
          socket.on("error", (error) => reject(new Failure(reason(error))));
          socket.on("close", () => reject(new Failure("the server closed the connection")));
          socket.on("data", (data) => (back += data).length >= line.length && resolve());
          socket.on("connect", () => line === "" ? resolve() : socket.write(line));
        }),
      );
      if (last !== "") {
        await this.wait(
          "a write",
          new Promise<void>((resolve) => socket.write(last, () => resolve())),
        );
      }
    } finally {
      socket.resetAndDestroy();
      await closed;
    }
  }

  /** Waits for a promise, for at most `timeout`. */
  async wait<T>(what: string, promise: Promise<T>): Promise<T> {
    const done = await within(this.timeout, promise.then((value) => ({ value })));
    if (done === undefined) throw new Failure(`${what}: nothing within ${seconds(this.timeout)}`);
    return done.value;
  }

  /** Records that a client has closed. */
  closed(client: Connection): void {
    this.#open.delete(client);
  }

  /** Counts bytes sent. */
  sends(n: number): void {
    this.#count(0, n);
  }

  #count(connections: number, sent: number): void {
    if (this.#over) throw new Failure("the case is over");
    this.#connections += connections;
    this.#sent += sent;
    // Judge's own server may be asked for more.
    const [most, open] = this.started === undefined
      ? [MAX_CONNECTIONS, MAX_OPEN]
      : [5 * MAX_CONNECTIONS, MAX_CONNECTIONS];
    if (
      this.#connections > most || this.#sent > MAX_BYTES ||
      this.#open.size + connections > open
    ) throw new Error("a case goes beyond its bounds");
  }

  /**
   * How many clients the server serves at a time, up to {@linkcode MANY}. Whom it has answered and
   * closed, it doesn't serve.
   */
  async concurrency(): Promise<number> {
    return await this.once("concurrency", async () => {
      const clients: Connection[] = [];
      for (let n = 0; n < MANY; n++) {
        const client = await this.connect();
        clients.push(client);
        await client.send(`client ${n}\n`);
        if (n === 0) await client.expect("client 0\n");
        else if (!(await this.#isServed(client, clients[0]))) break;
      }
      const waits = clients.length < MANY ? clients.pop() : undefined;
      let gone = 0;
      for (const [n, client] of clients.entries()) {
        if (n > 0) await client.expect(`client ${n}\n`);
        if (!(await this.#isServedOn(client))) gone++;
        client.close();
      }
      // Closes without RST, if the server cooperates.
      await waits?.leave();
      return Math.max(1, clients.length - gone);
    });
  }

  /** Whether a client is served while another one is. A slow server is slow to both. */
  async #isServed(client: Connection, other: Connection): Promise<boolean> {
    if (await client.next(this.quiet) !== "nothing") return true;
    await other.ask("still there?\n");
    return await client.next(this.quiet) !== "nothing";
  }

  /** Whether a client who was answered is served on, not closed: with FIN or, by chance, RST. */
  async #isServedOn(client: Connection): Promise<boolean> {
    try {
      await client.send("still there?\n");
      if (await client.next(this.timeout) === "end") return false;
    } catch (error) {
      if (error instanceof Failure) return false;
      throw error;
    }
    await client.expect("still there?\n");
    return true;
  }

  /**
   * Keeps the server from accepting, with SIGSTOP or with as many clients as it serves at a time.
   * Returns a function that ends this; undefined if neither is possible.
   */
  async hold(): Promise<(() => Promise<void>) | undefined> {
    await this.#dropSpare();
    if (this.started !== undefined) return await this.started.pause();
    if (await this.concurrency() === MANY) return undefined;
    const clients = await this.many();
    return () => Promise.resolve(clients.forEach((client) => client.close()));
  }

  /** Closes the spare connection, which an iterative server would serve before any other. */
  async #dropSpare(): Promise<void> {
    if (this.#spare !== undefined) await (await this.connect()).leave();
  }

  /**
   * Opens as many connections as the server serves at a time, but at most `most`. Where the kernel
   * shares clients out (SO_REUSEPORT), one may wait behind another: then they are fewer.
   */
  async many(most = MANY): Promise<Connection[]> {
    const clients: Connection[] = [];
    for (let n = Math.min(most, await this.concurrency()); n > 0; n--) {
      const client = await this.connect();
      await client.send("a client who stays\n");
      if (clients.length > 0 && await client.next(this.timeout / 2) === "nothing") {
        client.close();
        break;
      }
      await client.expect("a client who stays\n");
      clients.push(client);
    }
    return clients;
  }

  /**
   * Sends hundreds of clients, two at a time, or fewer if time runs out. Returns how many,
   * and what the server held after the first few and then after each batch.
   */
  async crowd(): Promise<{ clients: number; looks: { clients: number; held: Held }[] }> {
    const known = () => `crowd of ${this.#addr.port}`;
    // A fresh server: what earlier cases left in it would hide what these clients leave.
    if (this.started !== undefined && !this.#known.has(known())) {
      this.renew(await this.started.start());
    }
    return await this.once(known(), async () => {
      const looks: { clients: number; held: Held }[] = [];
      let clients = await this.clients(0, CROWD_FIRST);
      for (let batch = 0;; batch++) {
        const held = await this.started?.held(looks[0]?.held);
        if (held !== undefined) looks.push({ clients, held });
        if (batch === CROWD_BATCHES || batch > 1 && this.late) return { clients, looks };
        clients += await this.clients(clients, CROWD_BATCH);
      }
    });
  }

  /** Sends `n` clients, two at a time, after so many `before`; fewer if time runs out. */
  async clients(before: number, n: number): Promise<number> {
    let last = before;
    const some = async () => {
      do {
        const number = ++last;
        const client = await this.connect();
        try {
          await client.ask(`client ${number} of many\n`);
        } catch (error) {
          if (error instanceof Failure) error.message = `client ${number}: ${error.message}`;
          throw error;
        }
        client.close();
      } while (last < before + n && !this.late);
    };
    await Promise.all([some(), some()]);
    return last - before;
  }

  /** Whether the server still answers: with any byte, or by closing the connection. */
  async #answers(): Promise<boolean> {
    this.begin();
    try {
      const client = await this.connect();
      await client.send("anybody there?\n");
      await client.finish();
      return await client.next(this.timeout) !== "nothing";
    } catch (error) {
      if (error instanceof Failure) return false;
      throw error;
    } finally {
      await this.end();
    }
  }
}

/** A connection to the server under test. */
export class Connection implements Disposable {
  readonly fd: Deno.TcpConn;
  readonly #trial: Trial;
  readonly #rio: Rio;

  constructor(trial: Trial, fd: Deno.TcpConn) {
    this.#trial = trial;
    this.fd = fd;
    this.#rio = new Rio(fd, { bufsize: BLOCK });
  }

  /**
   * Sends bytes, or a text as Latin-1. Without `bounded` it may stand still for as long as what
   * comes back is awaited.
   */
  async send(data: string | Uint8Array, bounded = true): Promise<void> {
    const all = bytes(data);
    this.#trial.sends(all.length);
    for (let i = 0; i < all.length; i += BLOCK) {
      const sending = rioWriten(this.fd, all.subarray(i, i + BLOCK));
      await this.#io(bounded ? this.#trial.wait("send", sending) : sending);
    }
  }

  /** How many bytes wait in the kernel, on their way to the server and back. */
  queued(): { to: number; from: number } {
    return queued(this.fd.remoteAddr.port, this.fd.localAddr.port);
  }

  /** Sends FIN. */
  async finish(): Promise<void> {
    await this.#io(this.#trial.wait("send FIN", this.fd.closeWrite()));
  }

  /** Checks that these bytes come next. */
  async expect(data: string | Uint8Array): Promise<void> {
    const all = bytes(data);
    const buf = new Uint8Array(BLOCK);
    for (let done = 0; done < all.length;) {
      const rest = all.subarray(done, done + BLOCK);
      const progress = `${done} of ${all.length} bytes came back`;
      const n = await this.#read(buf.subarray(0, rest.length), progress);
      if (n === null) throw new Failure(`the server closed the connection: ${progress}`);
      const differs = difference(rest, buf.subarray(0, n));
      if (differs !== undefined) {
        throw new Failure(`${done > 0 ? `after ${done} bytes, ` : ""}${differs}`);
      }
      done += n;
      this.#trial.serves(n);
    }
  }

  /** Sends bytes, and checks that they come back. */
  async ask(data: string | Uint8Array): Promise<void> {
    await this.while(this.send(data), data);
  }

  /** Checks that bytes come back while they are being sent. */
  async while(sending: Promise<void>, data: string | Uint8Array): Promise<void> {
    const back = this.expect(data);
    // If both fail, the error of what comes back says more.
    await Promise.allSettled([sending, back]);
    await back;
    await sending;
  }

  /** Reads to EOF, and returns the first bytes that came. */
  async end(): Promise<Uint8Array> {
    const buf = new Uint8Array(BLOCK);
    let first = new Uint8Array(0);
    for (let total = 0, n; (n = await this.#read(buf, "its end")) !== null;) {
      if (total === 0) first = buf.slice(0, n);
      if ((total += n) > MAX_BYTES) throw new Failure("bytes without end");
    }
    return first;
  }

  /** Reads to EOF, and checks that nothing comes before it. */
  async endsHere(): Promise<void> {
    const more = await this.end();
    if (more.length > 0) throw new Failure(`then came ${show(more)}, which nobody had sent`);
  }

  /** What comes next within `ms` milliseconds, without consuming it. */
  async next(ms: number): Promise<"bytes" | "end" | "nothing"> {
    const signal = AbortSignal.timeout(ms);
    try {
      return await this.#rio.fill(1, { signal }) ? "bytes" : "end";
    } catch (error) {
      if (signal.aborted) return "nothing";
      throw this.#failure(error);
    }
  }

  /**
   * Sends FIN, reads what still comes for a while, and closes. So it causes no RST, which is tested
   * in cases of its own.
   */
  async leave(): Promise<void> {
    try {
      await within(this.#trial.quiet, this.finish().then(() => this.end()));
    } catch {
      // The case is over: errors no longer matter.
    } finally {
      this.close();
    }
  }

  /** Closes the connection. With unread bytes in it, that sends RST. */
  close(): void {
    this.#trial.closed(this);
    this[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.fd[Symbol.dispose]();
  }

  async #read(p: Uint8Array, progress: string): Promise<number | null> {
    const { timeout } = this.#trial;
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), timeout);
    try {
      return await this.#rio.read(p, { signal: late.signal });
    } catch (error) {
      if (late.signal.aborted) {
        throw new Failure(`nothing came for ${seconds(timeout)}: ${progress}`);
      }
      throw this.#failure(error, progress);
    } finally {
      clearTimeout(timer);
    }
  }

  async #io<T>(io: Promise<T>): Promise<T> {
    try {
      return await io;
    } catch (error) {
      throw this.#failure(error);
    }
  }

  #failure(error: unknown, progress?: string): unknown {
    const closed = error instanceof Deno.errors.BadResource ||
      error instanceof Deno.errors.Interrupted; // the case is over
    if (!isReset(error) && !closed) return error;
    return new Failure([reason(error), progress].filter(Boolean).join(": "));
  }
}
