/** The state of an echo client's exchange: what was sent, what came back, how it ended. */
import { reason } from "../net/errors.ts";
import { checkTime, inTime, within } from "../net/time.ts";
import { type Reader, Rio, rioWriten, type Writer } from "../rio.ts";
import { Comparison } from "./comparison.ts";

/** What the echo client needs of a connection: `Deno.Conn` has it. */
export interface Clientfd extends Reader, Writer {
  /** Sends FIN: shutdown(2) with SHUT_WR. */
  closeWrite(): Promise<void>;
}

/** Milliseconds to wait for EOF of the input after a server has answered everything and closed. */
const LAST_READ = 250;
/** The most bytes that a server may send unasked before it is no longer seen to close. */
const UNASKED = 65_536;

/** Options of an exchange. */
export interface ExchangeOptions {
  /**
   * Milliseconds to wait for the next byte, in lockstep for the next line, while the server owes
   * one, or for it to close after FIN. Default: no limit.
   */
  timeout?: number;
  /** Whether anything may come back: it is printed, but not compared. Default: false. */
  anyAnswer?: boolean;
}

/** The server closed the connection before everything came back. */
export class ServerClosedError extends Error {}

/** What came back differs from what was sent. */
export class NotAnEchoError extends Error {}

/** One exchange over a connection. */
export class Exchange {
  /** The reader of what comes back. */
  readonly rio: Rio;
  /** Bytes sent, and bytes received. */
  sent = 0;
  received = 0;
  /** Whether all of the input has been sent, and FIN after it. */
  sentAll = false;
  readonly #clientfd: Clientfd;
  readonly #output: Writer;
  readonly #comparison: Comparison | undefined;
  readonly #timeout: number;
  readonly #late = new AbortController();
  #reading = false;
  /** EOF came while input was awaited; the connection ended before the input did. */
  #eof = false;
  #cut = false;
  /** Nothing has come back since bytes were last sent. */
  #unanswered = false;
  #cancel: (() => void) | undefined;
  /** The first error of a read or write. */
  #cause: unknown;

  constructor(clientfd: Clientfd, output: Writer, options: ExchangeOptions) {
    const { timeout = Infinity, anyAnswer = false } = options;
    checkTime("exchange: timeout", timeout);
    this.rio = new Rio(clientfd);
    this.#clientfd = clientfd;
    this.#output = output;
    this.#timeout = timeout;
    if (!anyAnswer) this.#comparison = new Comparison();
  }

  /** Sends bytes; false if the connection has ended. */
  async send(bytes: Uint8Array): Promise<boolean> {
    this.sent += bytes.length;
    this.#unanswered = true;
    this.#comparison?.sent(bytes);
    this.#watch();
    return await this.#try(rioWriten(this.#clientfd, bytes)) !== undefined;
  }

  /** Sends FIN, if all of the input has been sent. */
  async finish(): Promise<void> {
    if (this.#cut) return;
    this.sentAll = true;
    this.#watch();
    await this.#try(this.#clientfd.closeWrite());
  }

  /**
   * Reads with `read`, which fills `buf` and returns the number of bytes, 0 or null at EOF, and
   * prints them; false if the connection has ended. Bytes received before an error are printed.
   */
  async receive(
    buf: Uint8Array,
    read: (options?: { signal: AbortSignal }) => Promise<number | null>,
  ): Promise<boolean> {
    if (this.#eof) {
      await this.#print(this.rio.peek());
      return false;
    }
    this.#reading = true;
    this.#watch();
    const options = this.#timeout < Infinity ? { signal: this.#late.signal } : undefined;
    const n = await this.#try(read(options));
    this.#reading = false;
    this.#cancel?.();
    this.#cancel = undefined;
    await this.#print(n === undefined ? this.rio.peek() : buf.subarray(0, n ?? 0));
    return Boolean(n);
  }

  /**
   * Waits for a read of the input, but if the connection has ended only a moment; then it is
   * `null`, as at EOF, and not all has been sent.
   */
  async input(read: Promise<number | null>): Promise<number | null> {
    const stop = new AbortController();
    const ended = this.#ended(stop.signal);
    try {
      const n = await Promise.race([read, ended.then(() => this.lastly(read))]);
      this.#cut = n === undefined;
      return n ?? null;
    } finally {
      stop.abort();
      await ended;
    }
  }

  /** The server may have answered everything and closed before EOF of the input was read. */
  async lastly<T>(input: Promise<T>): Promise<T | undefined> {
    return await within(this.received < this.sent ? 0 : LAST_READ, input);
  }

  /** Resolves when the connection has ended, or `signal` says stop. Nothing is taken. */
  async #ended(signal: AbortSignal): Promise<void> {
    try {
      for (let n = 0; n < UNASKED; n = this.rio.peek().length) {
        this.#eof = !(await this.rio.fill(n + 1, { signal }));
        if (this.#eof) return;
      }
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
    } catch (error) {
      if (!signal.aborted) this.#cause ??= error;
    }
  }

  async #print(bytes: Uint8Array): Promise<void> {
    this.received += bytes.length;
    if (bytes.length > 0) this.#unanswered = false;
    this.#comparison?.came(bytes);
    await rioWriten(this.#output, bytes);
  }

  async #try<T>(attempt: Promise<T>): Promise<T | undefined> {
    try {
      return await attempt;
    } catch (error) {
      this.#cause ??= error;
    }
  }

  /** Starts the timeout if a read is waiting for something the server owes. */
  #watch(): void {
    const owed = this.#comparison === undefined ? this.#unanswered : this.received < this.sent;
    if (!this.#reading || !(this.sentAll || owed)) return;
    this.#cancel ??= inTime(this.#timeout, () => this.#late.abort());
  }

  /**
   * The number of bytes sent and received.
   * @throws {NotAnEchoError} If what came back differs from what was sent.
   * @throws {Deno.errors.TimedOut} If the timeout ran out.
   * @throws {ServerClosedError} If not everything was sent or came back.
   */
  result(): { sent: number; received: number } {
    const { sent, received, sentAll } = this;
    const result = `${received} of ${sent} bytes came back`;
    const difference = this.#comparison?.difference;
    if (difference !== undefined) {
      const { from, to } = difference;
      const where = received > sent && from === sent
        ? `${received} bytes came back for ${sent}`
        : from === to
        ? `byte ${from} differs from what was sent`
        : `the first difference is in bytes ${from} to ${to}`;
      throw new NotAnEchoError(`no echo: ${where}`);
    }
    if (this.#late.signal.aborted) {
      const what = sentAll && received >= sent ? "EOF" : "answer";
      throw new Deno.errors.TimedOut(`no ${what} for ${this.#timeout / 1000} s: ${result}`);
    }
    if (!sentAll || (received < sent && this.#comparison !== undefined)) {
      const cause = this.#cause === undefined ? "" : ` (${reason(this.#cause)})`;
      throw new ServerClosedError(`server closed the connection${cause}: ${result}`);
    }
    return { sent, received };
  }
}
