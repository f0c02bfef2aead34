/** How a load connects. */
import { connect, type Socket } from "node:net";
import { openTarget, type Target } from "../../client/target.ts";
import { attempt, type ConnectOptions } from "../../net/attempt.ts";
import { readerFromNode } from "../../net/readers.ts";
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
      } else resolve(toConn(socket));
    });
    return promise.catch((error) => {
      socket.destroy();
      throw error;
    }).finally(() => signal.removeEventListener("abort", giveUp));
  });
}

/** A socket of `node:net`, as a connection of Deno. */
function toConn(socket: Socket): LoadConn {
  const reader = readerFromNode(socket);
  return {
    read: (p) => reader.read(p),
    write: (p) =>
      new Promise((resolve, reject) => {
        socket.write(p, (error) => error ? reject(error) : resolve(p.length));
      }),
    closeWrite: () => new Promise((resolve) => socket.end(resolve)),
    [Symbol.dispose]: () => void socket.destroy(),
  };
}
