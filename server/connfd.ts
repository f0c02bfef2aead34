/** The connected descriptor that a handler gets. */
import type { Reader, Writer } from "../rio.ts";
import type { Turns } from "./turns.ts";

/**
 * Bytes of a write that sets TCP_NODELAY, lest the next small one waits for the client's
 * delayed ACK, 40 ms. Larger ones TCP may put together: a fifth more on loopback.
 */
const SMALL_WRITE = 4096;

/** What a connection must have to be served: `Deno.Conn` has it. */
export type Conn =
  & Pick<Deno.Conn<Deno.Addr>, "read" | "write" | "closeWrite" | "localAddr" | "remoteAddr">
  & Disposable;

/** What a handler has done with its connection. */
export interface Activity {
  /** Reads and writes so far. */
  calls: number;
  /** Whether the last of them was a write. */
  writing: boolean;
}

/** What the handler of a {@linkcode Connfd} has done with it, for who bounds its time. */
export let activity: (connfd: Connfd) => Activity;

/**
 * A connected descriptor, as `serve` gives it to its handler: a `Deno.Conn` that takes its
 * turn among many, and whose time can run out.
 *
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
  /** The address of the other end: the client's, once a PROXY header was read. */
  remoteAddr: Deno.Addr;
  /** The address that the other end connected to. */
  localAddr: Deno.Addr;
  readonly #turns: Turns;
  readonly #activity: Activity = { calls: 0, writing: false };
  #noDelay = false;

  static {
    activity = (connfd) => connfd.#activity;
  }

  /** Wraps a connection; `serve` does it. */
  constructor(conn: Conn, turns: Turns) {
    this.conn = conn;
    this.remoteAddr = conn.remoteAddr;
    this.localAddr = conn.localAddr;
    this.#turns = turns;
  }

  /** Reads up to `p.length` bytes, and returns their count; null at EOF. */
  read(p: Uint8Array): Promise<number | null> {
    this.#activity.calls++;
    this.#activity.writing = false;
    return this.#turns.read(this.conn, p);
  }

  /** Writes up to `p.length` bytes, and returns their count. */
  write(p: Uint8Array): Promise<number> {
    this.#activity.calls++;
    this.#activity.writing = true;
    if (!this.#noDelay && p.length < SMALL_WRITE) this.#setNoDelay();
    return this.conn.write(p);
  }

  #setNoDelay(): void {
    this.#noDelay = true;
    try {
      if (isTcp(this.conn)) this.conn.setNoDelay(true);
    } catch {
      // It is closed: the write will say so.
    }
  }

  /** Sends FIN: shutdown(2) of the writing side. */
  closeWrite(): Promise<void> {
    return this.conn.closeWrite();
  }

  /** Closes the connection; if it is closed, nothing happens. */
  close(): void {
    this.conn[Symbol.dispose]();
  }
}

/** Whether it is a connection that has TCP's options. */
export function isTcp(conn: Conn): conn is Deno.TcpConn {
  return "setKeepAlive" in conn;
}
