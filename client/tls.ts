/** TLS on a connected descriptor. */
import { attempt, type ConnectOptions } from "../net/attempt.ts";

/** Options of {@linkcode startTlsClientfd}. */
export interface TlsConnectOptions extends ConnectOptions {
  /** Certificates to trust, in PEM, besides the default ones. */
  caCerts?: string[];
  /** The name that the certificate must be for, and that the server is told (SNI). Default: `host`. */
  servername?: string;
}

/**
 * Starts TLS on a connected descriptor, at once or, as STARTTLS does, after some lines, and
 * waits for the handshake. The server's certificate must be for `host`, or for `servername`. Use
 * only the returned descriptor from now on; `clientfd` is closed if the handshake fails.
 * @throws {Deno.errors.TimedOut} If `connectTimeout` runs out.
 * @throws {Error} If the server's certificate isn't trusted, or the server doesn't speak TLS; the
 * message names the host, the port and the cause. Or the signal's reason.
 * @example
 * ```ts
 * import { openClientfd, startTlsClientfd } from "@netp/rio/client";
 * import { openTlsListenfd } from "@netp/rio/server";
 *
 * const read = (name: string) => Deno.readTextFile(`tests/tls/${name}.pem`);
 * const [ca, cert, key] = await Promise.all(["ca", "cert", "key"].map(read));
 * const listenfd = openTlsListenfd(0, { host: "127.0.0.1", cert, key });
 * const accepted = listenfd.accept();
 *
 * const clientfd = await openClientfd("127.0.0.1", listenfd.addr.port);
 * using tlsfd = await startTlsClientfd(clientfd, "127.0.0.1", { caCerts: [ca] });
 * using connfd = await accepted;
 * listenfd.close();
 * ```
 */
export async function startTlsClientfd(
  clientfd: Deno.TcpConn,
  host: string,
  { caCerts, servername = host, ...options }: TlsConnectOptions = {},
): Promise<Deno.TlsConn> {
  const { port } = clientfd.remoteAddr;
  const as = servername === host ? "" : ` as ${servername}`;
  let fd: Deno.Conn = clientfd;
  const close = () => fd[Symbol.dispose]();
  try {
    return await attempt(
      `TLS handshake with ${host} port ${port}${as}`,
      options,
      async (signal) => {
        signal.addEventListener("abort", close);
        try {
          const tlsfd = fd = await Deno.startTls(clientfd, { hostname: servername, caCerts });
          signal.throwIfAborted();
          await tlsfd.handshake();
          return tlsfd;
        } catch (error) {
          throw signal.aborted ? signal.reason : explained(error);
        } finally {
          signal.removeEventListener("abort", close);
        }
      },
    );
  } catch (error) {
    close();
    throw error;
  }
}

/** Adds an explanation to a terse error of rustls. */
function explained(error: unknown): unknown {
  if (error instanceof Error && error.message.includes("CaUsedAsEndEntity")) {
    error.message +=
      " (the server shows a CA's certificate as its own, which `openssl req -x509` makes unless told `-addext basicConstraints=critical,CA:FALSE`)";
  }
  return error;
}
