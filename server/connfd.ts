/** The connected descriptor that a handler receives. */
import type { Reader, Writer } from "../rio.ts";
import { CHUNK, type Turns } from "../net/turns.ts";

/**
 * A write of fewer bytes sets TCP_NODELAY. Otherwise the next small write would wait for the
 * client's delayed ACK, 40 ms. Larger writes alone leave it off, so that TCP can merge them: a
 * fifth more throughput on loopback.
 */
const SMALL_WRITE = 4096;
/**
 * Bytes of the read buffer of a client who is alone: with a larger one he waits while it fills. One
 * of several gets a buffer that grows to 64 KiB, with which long lines go twice as fast.
 */
export const ECHO_BUFSIZE = 16_384;
/** Bytes until a connection waits for the others, and what a read counts. */
const SHARE = 1_048_576;
const READ = 1024;

/** What `serve` needs of a connection: `Deno.Conn` has it. */
export type Conn =
  & Pick<Deno.Conn<Deno.Addr>, "read" | "write" | "closeWrite" | "localAddr" | "remoteAddr">
  & Disposable;

/**
 * A connected descriptor, as `serve` passes it to its handler: of a `Deno.Conn` it has `read`,
 * `write`, `closeWrite`, `close` and the addresses. Its reads take turns with those of other
 * connections, and `serve` can time it out, and closes it: no `using`.
 * @example
 * ```ts
 * import { openListenfd, serve } from "@netp/rio/server";
 * import { rioWriten } from "@netp/rio/rio";
 *
 * const listenfd = openListenfd(0, { host: "127.0.0.1" });
 * const served = serve(listenfd, async (connfd) => {
 *   await rioWriten(connfd, new TextEncoder().encode("good day\n"));
 * });
 * using clientfd = await Deno.connect({ port: listenfd.addr.port });
 * await clientfd.read(new Uint8Array(9));
 * listenfd.close();
 * await served;
 * ```
 */
export class Connfd implements Reader, Writer {
  /** The connection underneath. */
  readonly conn: Conn;
  /** The address of the other end; the client's own once a PROXY header has been read. */
  remoteAddr: Deno.Addr;
  /** The address that the other end connected to; also set by a PROXY header. */
  localAddr: Deno.Addr;
  readonly #turns: Turns;
  // Fields, not an object of their own: with thousands of clients a cache miss per echo counts.
  #calls = 0;
  /** Whether the last call was a write, or a line is being printed: then the client isn't idle. */
  writing = false;
  #noDelay = false;
  /** What is left of its share, and whether its last write was a large one. */
  #left = SHARE;
  #bulk = false;

  #closed = false;
  #closing: AbortController | undefined;

  /** Wraps a connection. `serve` calls this. */
  constructor(conn: Conn, turns: Turns) {
    this.conn = conn;
    this.remoteAddr = conn.remoteAddr;
    this.localAddr = conn.localAddr;
    this.#turns = turns;
  }

  /**
   * Reads up to `p.length` bytes into `p`. Returns their number; null at EOF.
   * @throws {Error} What `Deno.Conn.read` throws.
   */
  read(p: Uint8Array): Promise<number | null> {
    this.#calls++;
    this.writing = false;
    this.#left -= READ;
    if (this.#left < 0 && this.#turns.connections > 1) {
      this.#left = SHARE;
      return this.#turns.asked().then(() => this.conn.read(p));
    }
    return this.#apart ? this.conn.read(p) : this.#turns.read(this.conn, p);
  }

  /**
   * Writes up to `p.length` bytes. Returns their number.
   * @throws {Error} What `Deno.Conn.write` throws.
   */
  write(p: Uint8Array): Promise<number> {
    this.#calls++;
    this.writing = true;
    this.#left -= p.length;
    this.#countBulk(p.length >= SMALL_WRITE && !this.#closed);
    if (!this.#apart) this.#turns.calls++;
    if (!this.#noDelay && !this.#bulk) this.#setNoDelay();
    return this.conn.write(p);
  }

  #countBulk(bulk: boolean): void {
    if (bulk !== this.#bulk) this.#turns.bulk += bulk ? 1 : -1;
    this.#bulk = bulk;
  }

  /** Whether it needs no turns: it sends in bulk, as few others do, and yields after its share. */
  get #apart(): boolean {
    return this.#bulk && this.#turns.bulk <= CHUNK;
  }

  #setNoDelay(): void {
    this.#noDelay = true;
    try {
      if (isTcp(this.conn)) this.conn.setNoDelay(true);
    } catch {
      // The connection is closed: the write below reports it.
    }
  }

  /** Sends FIN: shutdown(2) with SHUT_WR. */
  closeWrite(): Promise<void> {
    return this.conn.closeWrite();
  }

  /** Reads and writes so far. */
  get calls(): number {
    return this.#calls;
  }

  /** Aborts when the connection is closed: for what a handler waits for besides. */
  get signal(): AbortSignal {
    this.#closing ??= new AbortController();
    if (this.#closed) this.#closing.abort(closed());
    return this.#closing.signal;
  }

  /** Closes the connection; does nothing if it is already closed. */
  close(): void {
    this.conn[Symbol.dispose]();
    this.#countBulk(false);
    this.#closed = true;
    this.#closing?.abort(closed());
  }
}

function closed(): Error {
  return new Deno.errors.Interrupted("the connection was closed");
}

/** Whether a connection is TCP, with TCP's options. */
export function isTcp(conn: Conn): conn is Deno.TcpConn {
  return "setKeepAlive" in conn;
}
