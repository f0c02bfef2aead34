/**
 * Listening descriptors: `open_listenfd` of CS:APP, and the same over TLS and on a Unix
 * socket.
 *
 * @module
 */
import { checkPort, label } from "./cli.ts";
import type { Listenfd } from "./serve.ts";

/** Connections that the kernel queues for a listener: `LISTENQ` of csapp.h. */
export const LISTENQ = 1024;

/** What {@linkcode openListenfd} takes. */
export interface ListenOptions {
  /**
   * The address to listen on. Unless given, all of the machine's: `::`, which
   * takes IPv4 too, or `0.0.0.0` where there is no IPv6.
   */
  host?: string;
  /** Connections that the kernel may queue, {@linkcode LISTENQ} unless given. */
  backlog?: number;
  /**
   * Lets several listeners have the port, among whom the kernel spreads the clients:
   * SO_REUSEPORT. Linux only, and with `--unstable-net`.
   */
  reusePort?: boolean;
}

/**
 * Opens a listening descriptor: `open_listenfd` of csapp.c.
 *
 * @param port The port, 0 to 65535; 0 takes any free one.
 * @param options The address and the length of the queue.
 * @returns The listening descriptor.
 * @throws {RangeError} If the port is not an integer from 0 to 65535.
 * @throws {Error} Of the class that `Deno.listen` throws, if the address can't be
 * listened on; its message names the address, the port and the cause.
 *
 * @example
 * ```ts
 * import { openListenfd } from "@netp/rio/server";
 *
 * using listenfd = openListenfd(0, { host: "127.0.0.1" });
 * console.log(`listening on port ${listenfd.addr.port}`);
 * ```
 */
export function openListenfd(
  port: number,
  { host, backlog = LISTENQ, reusePort }: ListenOptions = {},
): Deno.TcpListener {
  return listenOn(
    port,
    host,
    (hostname) =>
      Deno.listen({
        hostname,
        port,
        tcpBacklog: backlog,
        ...reusePort && { reusePort },
      }),
  );
}

/** Listens on a host, or on all addresses, and names the address in its errors. */
function listenOn<L>(
  port: number,
  host: string | undefined,
  open: (hostname: string) => L,
): L {
  checkPort("listen", port, 0);
  const listen = (hostname: string) => {
    try {
      return open(hostname);
    } catch (error) {
      throw label(`listen on ${address(hostname, port)}`, error);
    }
  };
  if (host !== undefined) return listen(host);
  try {
    return listen("::");
  } catch (error) {
    const { code } = error as { code?: string };
    if (code !== "EAFNOSUPPORT" && code !== "EADDRNOTAVAIL") throw error;
    return listen("0.0.0.0");
  }
}

/** What {@linkcode openTlsListenfd} takes. */
export interface TlsListenOptions extends ListenOptions {
  /** The certificate chain, in PEM. */
  cert: string;
  /** The private key of the certificate, in PEM. */
  key: string;
  /** Called with a handshake that failed, and who it was with. */
  onError?: (error: unknown, addr: Deno.NetAddr) => void;
}

/** TLS handshakes under way at a time; further clients wait in the queue. */
const MAX_HANDSHAKES = 64;
/** Milliseconds that a handshake may take. */
const HANDSHAKE_TIMEOUT = 10_000;

/**
 * Opens a listening descriptor that speaks TLS. Its `accept` gives only clients who
 * have shaken hands, each within ten seconds, so that none who doesn't holds up
 * the others.
 *
 * @param port The port, 0 to 65535; 0 takes any free one.
 * @param options The certificate and its key, the address, the queue.
 * @returns The listening descriptor.
 * @throws {Error} As {@linkcode openListenfd} does, and of class `InvalidData` if the
 * certificate or the key is none.
 *
 * @example
 * ```ts
 * import { openTlsListenfd } from "@netp/rio/server";
 *
 * const listenfd = openTlsListenfd(0, {
 *   cert: await Deno.readTextFile("tests/tls/cert.pem"),
 *   key: await Deno.readTextFile("tests/tls/key.pem"),
 * });
 * listenfd.close();
 * ```
 */
export function openTlsListenfd(
  port: number,
  { host, backlog = LISTENQ, reusePort, cert, key, onError }: TlsListenOptions,
): TlsListenfd {
  return listenOn(port, host, (hostname) =>
    new TlsListenfd(
      Deno.listenTls({
        hostname,
        port,
        cert,
        key,
        tcpBacklog: backlog,
        ...reusePort && { reusePort },
      }),
      onError,
    ));
}

/** A TLS listener that shakes hands with many clients at a time. */
export class TlsListenfd implements Listenfd<Deno.TlsConn> {
  readonly #listener: Deno.TlsListener;
  readonly #onError: TlsListenOptions["onError"];
  readonly #shaking = new Set<Deno.TlsConn>();
  readonly #ready: Deno.TlsConn[] = [];
  #waiting: PromiseWithResolvers<Deno.TlsConn> | undefined;
  #accepting = false;

  /** Wraps a listener; {@linkcode openTlsListenfd} does it. */
  constructor(
    listener: Deno.TlsListener,
    onError?: TlsListenOptions["onError"],
  ) {
    this.#listener = listener;
    this.#onError = onError;
  }

  /** Where it listens. */
  get addr(): Deno.NetAddr {
    return this.#listener.addr;
  }

  /** Resolves to the next connection that has shaken hands. */
  async accept(): Promise<Deno.TlsConn> {
    const conn = this.#ready.shift();
    if (conn !== undefined) return conn;
    this.#waiting = Promise.withResolvers();
    this.#acceptMore();
    return await this.#waiting.promise;
  }

  /** Ends the listener, and the handshakes under way. */
  close(): void {
    this.#listener.close();
    this.#waiting?.reject(
      new Deno.errors.BadResource("Listener has been closed"),
    );
    this.#waiting = undefined;
    for (const conn of [...this.#shaking, ...this.#ready]) conn.close();
  }

  async #acceptMore(): Promise<void> {
    if (this.#accepting) return;
    this.#accepting = true;
    try {
      while (
        this.#waiting !== undefined && this.#shaking.size < MAX_HANDSHAKES
      ) {
        this.#shakeHands(await this.#listener.accept());
      }
    } catch (error) {
      this.#waiting?.reject(error);
      this.#waiting = undefined;
    } finally {
      this.#accepting = false;
    }
  }

  async #shakeHands(conn: Deno.TlsConn): Promise<void> {
    this.#shaking.add(conn);
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      conn.close(); // Deno keeps its descriptor until the client goes
    }, HANDSHAKE_TIMEOUT);
    try {
      await conn.handshake();
      if (this.#waiting === undefined) this.#ready.push(conn);
      this.#waiting?.resolve(conn);
      this.#waiting = undefined;
    } catch (error) {
      conn[Symbol.dispose]();
      const cause = late
        ? new Deno.errors.TimedOut(
          `no answer for ${HANDSHAKE_TIMEOUT / 1000} s`,
        )
        : error;
      this.#onError?.(label("TLS handshake", cause), conn.remoteAddr);
    } finally {
      clearTimeout(timer);
      this.#shaking.delete(conn);
      if (this.#waiting !== undefined) this.#acceptMore();
    }
  }
}

/**
 * Opens a listening descriptor on a Unix socket. The file of a server that has died is
 * replaced, that of a living one never; it is gone when the descriptor is closed.
 *
 * @param path The path of the socket.
 * @returns The listening descriptor.
 * @throws {Error} Of the class that `Deno.listen` throws, if the path can't be
 * listened on; its message names the path and the cause.
 *
 * @example
 * ```ts
 * import { openUnixListenfd } from "@netp/rio/server";
 *
 * const path = `${await Deno.makeTempDir()}/echo.sock`;
 * using listenfd = await openUnixListenfd(path);
 * ```
 */
export async function openUnixListenfd(
  path: string,
): Promise<Deno.UnixListener> {
  const listen = () => Deno.listen({ transport: "unix", path });
  try {
    try {
      return listen();
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse) || !(await isStale(path))) {
        throw error;
      }
      await Deno.remove(path);
      return listen();
    }
  } catch (error) {
    throw label(`listen on ${path}`, error);
  }
}

/** Whether a path is a socket that nobody listens on. */
async function isStale(path: string): Promise<boolean> {
  if (!(await Deno.lstat(path)).isSocket) return false;
  try {
    (await Deno.connect({ transport: "unix", path })).close();
    return false;
  } catch (error) {
    return error instanceof Deno.errors.ConnectionRefused;
  }
}

/** An address as it stands in a URL. */
export function address(hostname: string, port: number): string {
  return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}
