/**
 * What happens on a socket, told as it happens. The calls of a connection are replaced on the
 * object itself, so that whoever uses it doesn't know, and pays nothing where there is no trace.
 */
import { MAXLINE } from "../rio.ts";
import { address, unmapped } from "./address.ts";
import { reason } from "./errors.ts";

/** One call of the sockets interface, in the lecture's words. */
export interface TraceEvent {
  /** The call and its arguments, such as `close(connfd 1)`. */
  call: string;
  /** What came of it, such as `= 0`, or `waiting`. */
  result: string;
  /** What else there is to see: a socket pair, the bytes of a line. */
  detail?: string;
  /** Where Deno does it in another way than the lecture. */
  note?: string;
}

/** Takes events, in the order in which they happen. */
export type Tell = (event: TraceEvent) => void;

/** Bytes of a line that are shown. */
const SHOWN = 32;
/** Lines of one read that are told one by one; those beyond are counted. */
const LINES = 8;
const NEWLINE = 0x0a;

/** What is traced of a connection. */
export interface TracedConn extends Disposable {
  read(p: Uint8Array): Promise<number | null>;
  write(p: Uint8Array): Promise<number>;
  closeWrite(): Promise<void>;
}

/** Tells what is done with a connection from now on. `fd` is its name, such as `connfd 1`. */
export function traceConn(conn: TracedConn, fd: string, tell: Tell): void {
  const read = conn.read.bind(conn);
  const write = conn.write.bind(conn);
  const closeWrite = conn.closeWrite.bind(conn);
  const dispose = conn[Symbol.dispose].bind(conn);
  const lines = new Lines(`rio_readlineb(${fd})`, tell);
  let closed = false;
  /** Bytes of a `rio_writen` whose last write took only some. */
  let written = 0;
  /** Tells of a call that fails, unless it is the end of one that waited at our own close. */
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
    if (!closed) tell({ call: `close(${fd})`, result: "= 0" });
    closed = true;
  };
  Object.assign(conn, {
    async read(p: Uint8Array) {
      const call = `read(${fd})`;
      const n = await attempt(call, read(p));
      if (n === null) lines.end();
      else if (!lines.add(p.subarray(0, n))) {
        tell({ call, result: `= ${n}`, detail: "the line goes on" });
      }
      return n;
    },
    async write(p: Uint8Array) {
      const call = `write(${fd}, ${p.length})`;
      const n = await attempt(call, write(p));
      written += n;
      if (n < p.length) {
        tell({ call, result: `= ${n}`, detail: "a short count" });
      } else {
        tell({ call: `rio_writen(${fd}, ${written})`, result: `= ${written}` });
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

/** What comes of a call that fails. */
export function failure(error: unknown): { result: string; detail: string } {
  const { code } = error as { code?: string };
  return { result: "= -1", detail: code ?? reason(error) };
}

/** The two ends of a connection, the client first. */
export function socketPair(client: Deno.Addr, server: Deno.Addr): string {
  return `${place(client)} -> ${place(server)}`;
}

/** An address, as it stands in a URL, or the path of a Unix socket. */
export function place(addr: Deno.Addr): string {
  if ("hostname" in addr) return address(unmapped(addr.hostname), addr.port);
  return (addr as Deno.UnixAddr).path ?? "(no name)";
}

/** The address family of a socket. */
export function family(addr: Deno.Addr): string {
  if (!("hostname" in addr)) return "AF_UNIX";
  return addr.hostname.includes(":") ? "AF_INET6" : "AF_INET";
}

/** Whether a host is an address already, which Deno doesn't look up. */
export function isNumeric(host: string): boolean {
  return /^(\d{1,3}\.){3}\d{1,3}$|:/.test(host);
}

/** The lines that `rio_readlineb` makes of what is read. */
class Lines {
  readonly #call: string;
  readonly #tell: Tell;
  /** Bytes of the line so far, and the first of them. */
  #length = 0;
  readonly #start = new Uint8Array(SHOWN);

  constructor(call: string, tell: Tell) {
    this.#call = call;
    this.#tell = tell;
  }

  /** Takes what a read has brought; false if no line ends in it. */
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

  /** Takes EOF. */
  end(): void {
    if (this.#length > 0) this.#line("EOF before its newline");
    this.#length = 0;
    this.#tell({ call: this.#call, result: "= 0", detail: "EOF" });
  }

  #line(note: string): void {
    const detail = quote(this.#start.subarray(0, this.#length), this.#length > SHOWN);
    this.#tell({ call: this.#call, result: `= ${this.#length}`, detail, note });
  }
}

const ESCAPES: Record<string, string> = { "\n": "n", "\r": "r", "\t": "t", '"': '"', "\\": "\\" };

/** Bytes as a string of C, with UTF-8 as what it says; `...` stands behind one that was cut. */
export function quote(bytes: Uint8Array, cut: boolean): string {
  let text;
  try {
    const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    text = decoder.decode(bytes, { stream: cut }) // without a character that was cut
      .replace(/(?! )[\p{C}\p{Z}"\\]/gu, (c) => escape(c, (code) => `u{${code}}`));
  } catch {
    text = String.fromCharCode(...bytes)
      .replace(/[^ -~]|["\\]/g, (c) => escape(c, (code) => `x${code}`));
  }
  return `"${text}"${cut ? "..." : ""}`;
}

function escape(c: string, other: (code: string) => string): string {
  const code = c.codePointAt(0)!;
  const hex = code.toString(16).padStart(2, "0");
  return `\\${ESCAPES[c] ?? (code < 0x80 ? `x${hex}` : other(hex))}`;
}
