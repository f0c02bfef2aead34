/**
 * The echo client of CS:APP: `open_clientfd`, and the loop that sends a line and prints the
 * line that comes back. Import the module to use these functions, or run it as a program.
 *
 * Everything beyond the lecture is in `client/`, and the program in `client/program.ts`.
 * `docs/echoclient.ts` is the book's `main`, in 19 lines.
 *
 * @module
 */
import { bothWays } from "./client/both_ways.ts";
import { type Clientfd, Exchange, type ExchangeOptions } from "./client/exchange.ts";
import { startTlsClientfd, type TlsConnectOptions } from "./client/tls.ts";
import { checkPort } from "./net/address.ts";
import { attempt, type ConnectOptions } from "./net/attempt.ts";
import { label } from "./net/errors.ts";
import { refuseSelf, setNoDelay } from "./client/connected.ts";
import { MAXLINE, type Reader, Rio, type Writer } from "./rio.ts";

export {
  /** What the client needs of a connection. */
  type Clientfd,
  /** Options of an exchange. */
  type ExchangeOptions,
  /** What came back differs from what was sent. */
  NotAnEchoError,
  /** The server closed the connection before everything came back. */
  ServerClosedError,
} from "./client/exchange.ts";
export {
  /** Starts TLS on a connected descriptor. */
  startTlsClientfd,
  /** Options of a TLS connection. */
  type TlsConnectOptions,
} from "./client/tls.ts";
export type {
  /** How to abort an attempt to connect. */
  ConnectOptions,
} from "./net/attempt.ts";

const NEWLINE = 0x0a;

/**
 * Opens a connected descriptor: `open_clientfd` of csapp.c. `Deno.connect` does getaddrinfo, then
 * socket and connect for each address until one connects. `host` is a name or an address. Small
 * writes go out at once: TCP_NODELAY is set.
 * @throws {RangeError} If the port is not an integer from 1 to 65535, or `connectTimeout` not a
 * number of at least 0.
 * @throws {Deno.errors.TimedOut} If `connectTimeout` runs out.
 * @throws {Deno.errors.ConnectionRefused} If nobody listens, also where the socket met itself.
 * @throws {Error} If no address connects: the error that `Deno.connect` throws, with the host,
 * the port and the cause in its message; or the signal's reason.
 * @example
 * ```ts
 * import { openClientfd } from "@netp/rio/client";
 *
 * using listenfd = Deno.listen({ hostname: "127.0.0.1", port: 0 });
 * using clientfd = await openClientfd("localhost", listenfd.addr.port, {
 *   connectTimeout: 2000,
 * });
 * ```
 */
export async function openClientfd(
  host: string,
  port: number,
  options: ConnectOptions = {},
): Promise<Deno.TcpConn> {
  checkPort("connect", port, 1);
  return await attempt(
    `connect to ${host} port ${port}`,
    options,
    async (signal) => {
      const clientfd = await Deno.connect({ hostname: host, port, signal });
      refuseSelf(clientfd);
      setNoDelay(clientfd);
      return clientfd;
    },
  );
}

/**
 * Opens a connected descriptor that speaks TLS, with the handshake done. The server's certificate
 * must be for `host`, or for `servername`. `connectTimeout` applies to the connection, and again
 * to the handshake.
 * @throws {Error} As {@linkcode openClientfd} and {@linkcode startTlsClientfd} do.
 * @example
 * ```ts
 * import { openTlsClientfd } from "@netp/rio/client";
 * import { openTlsListenfd } from "@netp/rio/server";
 *
 * const read = (name: string) => Deno.readTextFile(`tests/tls/${name}.pem`);
 * const [ca, cert, key] = await Promise.all(["ca", "cert", "key"].map(read));
 * const listenfd = openTlsListenfd(0, { host: "127.0.0.1", cert, key });
 * const accepted = listenfd.accept();
 *
 * using clientfd = await openTlsClientfd("127.0.0.1", listenfd.addr.port, {
 *   caCerts: [ca],
 * });
 * using connfd = await accepted;
 * listenfd.close();
 * ```
 */
export async function openTlsClientfd(
  host: string,
  port: number,
  options: TlsConnectOptions = {},
): Promise<Deno.TlsConn> {
  return await startTlsClientfd(await openClientfd(host, port, options), host, options);
}

/**
 * Opens a connected descriptor on the Unix socket `path`: unix(7).
 * @throws {Error} If `Deno.connect` fails: the error it throws, with the path and the cause in
 * its message.
 * @example
 * ```ts
 * import { openUnixClientfd } from "@netp/rio/client";
 * import { openUnixListenfd } from "@netp/rio/server";
 *
 * const path = `${await Deno.makeTempDir()}/echo.sock`;
 * const listenfd = await openUnixListenfd(path);
 * using clientfd = await openUnixClientfd(path);
 * listenfd.close();
 * ```
 */
export async function openUnixClientfd(path: string): Promise<Deno.UnixConn> {
  try {
    return await Deno.connect({ transport: "unix", path });
  } catch (error) {
    throw label(`connect to ${path}`, error);
  }
}

/** Options of {@linkcode echoClient}. */
export interface EchoClientOptions extends ExchangeOptions {
  /**
   * Send a line only when the one before has come back, as the C program does. Default: send and
   * receive at the same time, at the speed of the network.
   */
  lockstep?: boolean;
}

/**
 * Sends `input` to the server, writes what comes back to `output`, and checks that it is the
 * same, byte for byte: the loop of the book's echo client. At the end of the input it sends FIN,
 * writes what still comes back, and returns how many bytes were sent and received when the server
 * closes. `clientfd` stays open.
 * @throws {ServerClosedError} If the server closes before everything came back. What came back
 * has been written.
 * @throws {NotAnEchoError} If what came back differs from what was sent. It has been written.
 * @throws {Deno.errors.TimedOut} If `timeout` runs out.
 * @throws {RangeError} If `timeout` is not a number of at least 0.
 * @throws {Error} Whatever `input` or `output` throws.
 * @example
 * ```ts
 * import { echoClient, openClientfd } from "@netp/rio/client";
 * import { echo, openListenfd } from "@netp/rio/server";
 * import { assertEquals } from "@std/assert";
 *
 * using listenfd = openListenfd(0, { host: "127.0.0.1" });
 * const served = listenfd.accept().then(async (connfd) => {
 *   await echo(connfd);
 *   connfd.close();
 * });
 *
 * using file = await Deno.open("LICENSE");
 * using clientfd = await openClientfd("127.0.0.1", listenfd.addr.port);
 * let back = "";
 * await echoClient(clientfd, file, {
 *   write: (p) => {
 *     back += new TextDecoder().decode(p);
 *     return Promise.resolve(p.length);
 *   },
 * });
 * await served;
 * assertEquals(back, await Deno.readTextFile("LICENSE"));
 * ```
 */
export async function echoClient(
  clientfd: Clientfd,
  input: Reader,
  output: Writer,
  options: EchoClientOptions = {},
): Promise<{ sent: number; received: number }> {
  let fault: unknown;
  /** The input. An error of it counts as EOF, and is thrown once everything is printed. */
  const source = {
    async read(p: Uint8Array) {
      try {
        return await input.read(p);
      } catch (error) {
        fault = label("input", error);
        return null;
      }
    },
  };
  const exchange = new Exchange(clientfd, output, options);
  await (options.lockstep ? lineByLine : bothWays)(exchange, source);
  if (fault !== undefined) throw fault;
  return exchange.result();
}

/** The lecture's loop: read a line of the input, send it, receive it, print it. */
async function lineByLine(exchange: Exchange, input: Reader): Promise<void> {
  const stdin = new Rio({ read: (p) => exchange.input(input.read(p)) });
  const buf = new Uint8Array(MAXLINE);
  const receive = () =>
    exchange.receive(buf, (options) => exchange.rio.readlineb(buf, MAXLINE, options));
  for (let n; (n = await stdin.readlineb(buf)) > 0;) {
    if (!(await exchange.send(buf.subarray(0, n)))) {
      while (await receive());
      return;
    }
    // A last line without a newline comes back only once the server sees FIN.
    if (buf[n - 1] !== NEWLINE && n < MAXLINE - 1) break;
    if (!(await receive())) return;
  }
  await exchange.finish();
  while (await receive());
}

// Not awaited: the program imports this module.
if (import.meta.main) import("./client/program.ts").then(({ program }) => program());
