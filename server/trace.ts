/** The server's side of `--trace`. */
import {
  failure,
  family,
  isNumeric,
  place,
  socketPair,
  type Tell,
  traceConn,
} from "../net/traced_conn.ts";
import type { Conn } from "./connfd.ts";
import { queueLength } from "./queue_length.ts";

/** What is traced of a listening descriptor. */
interface TracedListenfd {
  readonly addr: Deno.Addr;
  accept(): Promise<Conn>;
  close(): void;
}

/** The arguments that the descriptor was opened with. */
interface Opened {
  host?: string;
  port: number;
  backlog?: number;
}

/** Milliseconds between two checks of the kernel's queue. */
const LOOK = 100;
/** The backlog that Deno sets on a Unix socket. */
const UNIX_BACKLOG = 1024;

/**
 * Traces how a listening descriptor was opened (`opened` is undefined for a Unix socket), and
 * from now on every call on it and on its connections.
 */
export function traceListenfd(
  listenfd: TracedListenfd,
  opened: Opened | undefined,
  tell: Tell,
): void {
  tellOpened(listenfd.addr, opened, tell);
  const accept = listenfd.accept.bind(listenfd);
  const close = listenfd.close.bind(listenfd);
  const queue = new QueueTrace(listenfd.addr, tell);
  let connections = 0;
  let closed = false;
  Object.assign(listenfd, {
    async accept() {
      const call = "accept(listenfd)";
      queue.rest();
      tell({ call, result: "waiting" });
      try {
        const conn = await accept();
        const fd = `connfd ${++connections}`;
        tell({
          call,
          result: `= ${fd}`,
          detail: socketPair(conn.remoteAddr, conn.localAddr),
          note: "handshake" in conn ? "and the TLS handshake" : "",
        });
        traceConn(conn, fd, tell);
        queue.accepted();
        return conn;
      } catch (error) {
        if (!closed) tell({ call, ...failure(error) });
        throw error;
      }
    },
    close() {
      queue.rest();
      close();
      if (!closed) tell({ call: "close(listenfd)", result: "= 0" });
      closed = true;
    },
  });
}

/** Traces the calls that `Deno.listen` made. */
function tellOpened(addr: Deno.Addr, opened: Opened | undefined, tell: Tell): void {
  const where = place(addr);
  if (opened !== undefined) {
    const host = opened.host ?? (addr as Deno.NetAddr).hostname;
    tell({
      call: `getaddrinfo("${host}", "${opened.port}")`,
      result: "= 0",
      detail: where,
      note: isNumeric(host) ? "a number: nothing to look up" : "",
    });
  }
  tell({
    call: `socket(${family(addr)}, SOCK_STREAM)`,
    result: "= listenfd",
    note: "Deno.listen: from here to listen",
  });
  if (opened !== undefined && Deno.build.os !== "windows") {
    tell({ call: "setsockopt(listenfd, SO_REUSEADDR)", result: "= 0" });
  }
  tell({
    call: `bind(listenfd, ${where})`,
    result: "= 0",
    note: opened === undefined ? "under another name, and renamed" : "",
  });
  tell({ call: `listen(listenfd, ${opened?.backlog ?? UNIX_BACKLOG})`, result: "= 0" });
}

/** Traces how many clients wait in the kernel's queue while no `accept` is pending. */
class QueueTrace {
  readonly #addr: Deno.Addr;
  readonly #tell: Tell;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** The length of the queue when last seen. */
  #known = 0;
  /** Whether the length can't be read. */
  #blind = false;

  constructor(addr: Deno.Addr, tell: Tell) {
    this.#addr = addr;
    this.#tell = tell;
  }

  /** A client has left the queue: watch it until the next `accept`. */
  accepted(): void {
    this.#known = Math.max(0, this.#known - 1);
    this.#watch();
  }

  /** An `accept` is pending: stop watching, since no client has to wait. */
  rest(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #watch(): void {
    if (this.#blind) return;
    const timer = this.#timer = setTimeout(async () => {
      const n = await queueLength(this.#addr);
      if (this.#timer !== timer) return; // `accept` was called meanwhile
      if (n !== this.#known) this.#show(n);
      this.#watch();
    }, LOOK);
  }

  #show(n: number | string): void {
    const call = "queue of listenfd";
    if (typeof n === "string") {
      this.#blind = true;
      this.#tell({ call, result: "unknown", detail: n });
    } else {
      this.#known = n;
      this.#tell({ call, result: n === 1 ? "1 waits" : `${n} wait` });
    }
  }
}
