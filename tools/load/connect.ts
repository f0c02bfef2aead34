/** How a load connects. */
import { connect, type Socket } from "node:net";
import { openTarget, type Target } from "../../client/target.ts";
import { attempt, type ConnectOptions } from "../../net/attempt.ts";
import type { LoadConn } from "./connection.ts";

/** The server, and our own addresses; can be posted to a worker. */
export interface Endpoint {
  target: Target;
  /** Addresses to connect from, one after another; none: the kernel chooses. */
  sources: string[];
}

/** Returns a function that opens a connection of a given number. */
export function connector(
  { target, sources }: Endpoint,
  connectTimeout: number,
): (connection: number) => Promise<LoadConn> {
  const options = { connectTimeout };
  if (sources.length === 0) return () => openTarget(target, options);
  return (connection) => connectFrom(sources[connection % sources.length], target, options);
}

/** Connects from an address, which `Deno.connect` can't. */
async function connectFrom(
  source: string,
  { host, port }: Target,
  options: ConnectOptions,
): Promise<LoadConn> {
  return await attempt(`connect from ${source} to ${host} port ${port}`, options, (signal) => {
    const { promise, resolve, reject } = Promise.withResolvers<LoadConn>();
    const socket = connect({
      host,
      port,
      localAddress: source,
      family: source.includes(":") ? 6 : 4,
      noDelay: true,
      allowHalfOpen: true,
    });
    const giveUp = () => reject(signal.reason);
    signal.addEventListener("abort", giveUp);
    socket.once("error", reject);
    socket.once("connect", () => {
      const { localAddress, localPort, remoteAddress, remotePort } = socket;
      if (localPort === remotePort && localAddress === remoteAddress) {
        reject(new Deno.errors.ConnectionRefused("Connection refused (the socket met itself)"));
      } else resolve(new SocketConn(socket));
    });
    return promise.catch((error) => {
      socket.destroy();
      throw error;
    }).finally(() => signal.removeEventListener("abort", giveUp));
  });
}

/** A socket of `node:net`, as a connection of Deno. */
class SocketConn implements LoadConn {
  readonly #socket: Socket;
  /** What came and didn't fit into the last read. */
  #rest: Uint8Array | null = null;
  #ended = false;
  #error: unknown;
  #wake = () => {};

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("readable", () => this.#wake());
    socket.on("end", () => {
      this.#ended = true;
      this.#wake();
    });
    socket.on("error", (error) => this.#error = error);
    socket.on("close", () => {
      this.#error ??= new Deno.errors.Interrupted("the connection is closed");
      this.#wake();
    });
  }

  async read(p: Uint8Array): Promise<number | null> {
    for (;;) {
      const came = this.#rest ?? this.#socket.read() as Uint8Array | null;
      if (came !== null) {
        const n = Math.min(p.length, came.length);
        p.set(came.subarray(0, n));
        this.#rest = n < came.length ? came.subarray(n) : null;
        return n;
      }
      if (this.#ended) return null;
      if (this.#error !== undefined) throw this.#error;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  write(p: Uint8Array): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#socket.write(p, (error) => error ? reject(error) : resolve(p.length));
    });
  }

  closeWrite(): Promise<void> {
    return new Promise((resolve) => this.#socket.end(resolve));
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}
