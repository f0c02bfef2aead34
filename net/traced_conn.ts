/**
 * Traces the calls on a socket. Tracing replaces a connection's methods on the object itself, so
 * its users need not know, and nothing is slower without a trace.
 */
import { MAXLINE } from "../rio.ts";
import { address, unmapped } from "./address.ts";
import { reason } from "./errors.ts";
import { printable, quote } from "./text.ts";

/** One call of the sockets interface, in the lecture's words. */
export interface TraceEvent {
  /** The call and its arguments, such as `close(connfd 1)`. */
  call: string;
  /** Its result, such as `= 0`, or `waiting`. */
  result: string;
  /** Details, such as a socket pair or the bytes of a line. */
  detail?: string;
  /** How Deno differs from the lecture here. */
  note?: string;
}

/** Receives events, in order. */
export type Tell = (event: TraceEvent) => void;

/** The most bytes shown of a line. */
const SHOWN = 32;
/** The most lines of one read shown one by one; more are counted. */
const LINES = 8;
const NEWLINE = 0x0a;

/** What is traced of a connection. */
export interface TracedConn extends Disposable {
  read(p: Uint8Array): Promise<number | null>;
  write(p: Uint8Array): Promise<number>;
  closeWrite(): Promise<void>;
}

/** Traces every call on a connection from now on. `fd` is its name, such as `connfd 1`. */
export function traceConn(conn: TracedConn, fd: string, tell: Tell): void {
  const read = conn.read.bind(conn);
  const write = conn.write.bind(conn);
  const closeWrite = conn.closeWrite.bind(conn);
  const dispose = conn[Symbol.dispose].bind(conn);
  const lines = new Lines(`rio_readlineb(${fd})`, tell);
  let closed = false;
  /** Whether the call that returns the EOF behind a last line is still to come. */
  let last = false;
  /** Bytes written so far by a `rio_writen` after short counts. */
  let written = 0;
  /** Traces a call that fails, unless our own close made it fail. */
  const attempt = async <T>(call: string, result: Promise<T>): Promise<T> => {
    try {
      return await result;
    } catch (error) {
      if (!closed) tell({ call, ...failure(error) });
      throw error;
    }
  };
  const close = () => {
    dispose();
    if (!closed && last) lines.end();
    if (!closed) tell({ call: `close(${fd})`, result: "= 0" });
    closed = true;
  };
  Object.assign(conn, {
    async read(p: Uint8Array) {
      const call = `read(${fd})`;
      const n = await attempt(call, read(p));
      if (n === null) {
        last = lines.rest();
        if (!last) lines.end();
      } else if (!lines.add(p.subarray(0, n))) {
        tell({ call, result: `= ${n}`, detail: "the line goes on" });
      }
      return n;
    },
    async write(p: Uint8Array) {
      const call = `write(${fd}, ${p.length})`;
      const ending = last;
      last = false;
      const n = await attempt(call, write(p));
      written += n;
      if (n < p.length) {
        tell({ call, result: `= ${n}`, detail: "a short count" });
        last = ending;
      } else {
        tell({ call: `rio_writen(${fd}, ${written})`, result: `= ${written}` });
        if (ending) lines.end();
        written = 0;
      }
      return n;
    },
    async closeWrite() {
      const call = `shutdown(${fd}, SHUT_WR)`;
      await attempt(call, closeWrite());
      tell({ call, result: "= 0", detail: "FIN" });
    },
    close,
    [Symbol.dispose]: close,
  });
}

/** The result of a failed call. */
export function failure(error: unknown): { result: string; detail: string } {
  const { code } = error as { code?: string };
  return { result: "= -1", detail: code ?? reason(error) };
}

/** The two ends of a connection, the client first. */
export function socketPair(client: Deno.Addr, server: Deno.Addr): string {
  return `${place(client)} -> ${place(server)}`;
}

/** HOST:PORT, or the path of a Unix socket. */
export function place(addr: Deno.Addr): string {
  if ("hostname" in addr) return address(unmapped(addr.hostname), addr.port);
  return printable((addr as Deno.UnixAddr).path ?? "(no name)");
}

/** The address family of a socket. */
export function family(addr: Deno.Addr): string {
  if (!("hostname" in addr)) return "AF_UNIX";
  return addr.hostname.includes(":") ? "AF_INET6" : "AF_INET";
}

/** Whether a host is a numeric address, which needs no lookup. */
export function isNumeric(host: string): boolean {
  return /^(\d{1,3}\.){3}\d{1,3}$|:/.test(host);
}

/** Traces reads as the lines that `rio_readlineb` returns. */
class Lines {
  readonly #call: string;
  readonly #tell: Tell;
  /** The length of the line so far, and its first bytes. */
  #length = 0;
  readonly #start = new Uint8Array(SHOWN);

  constructor(call: string, tell: Tell) {
    this.#call = call;
    this.#tell = tell;
  }

  /** Adds the bytes of a read; false if no line ends in them. */
  add(bytes: Uint8Array): boolean {
    let lines = 0;
    let more = 0;
    for (let pos = 0; pos < bytes.length;) {
      const rest = bytes.subarray(pos, pos + MAXLINE - 1 - this.#length);
      const n = rest.indexOf(NEWLINE) + 1 || rest.length;
      if (this.#length < SHOWN) {
        const room = SHOWN - this.#length;
        this.#start.set(rest.subarray(0, Math.min(n, room)), this.#length);
      }
      this.#length += n;
      pos += n;
      const whole = bytes[pos - 1] === NEWLINE;
      if (!whole && this.#length < MAXLINE - 1) break;
      lines++;
      if (lines > LINES) more += this.#length;
      else if (!whole) this.#line("MAXLINE - 1 bytes: the line goes on");
      else this.#line(lines > 1 ? "of the same read" : "");
      this.#length = 0;
    }
    const n = lines - LINES;
    if (n > 0) {
      const detail = `${more} bytes, of the same read`;
      this.#tell({ call: this.#call, result: `${n} times`, detail });
    }
    return lines > 0;
  }

  /** Tells a last line that EOF ends; false if there is none. */
  rest(): boolean {
    const some = this.#length > 0;
    if (some) this.#line("EOF before its newline");
    this.#length = 0;
    return some;
  }

  /** Tells EOF. */
  end(): void {
    this.#tell({ call: this.#call, result: "= 0", detail: "EOF" });
  }

  #line(note: string): void {
    const detail = quote(this.#start.subarray(0, this.#length), this.#length > SHOWN);
    this.#tell({ call: this.#call, result: `= ${this.#length}`, detail, note });
  }
}
