/** TLS on a connected descriptor. */
import { attempt, type ConnectOptions } from "../net/attempt.ts";

/** What {@linkcode startTlsClientfd} takes. */
export interface TlsConnectOptions extends ConnectOptions {
  /** Certificates, in PEM, that are trusted besides the usual ones. */
  caCerts?: string[];
}

/**
 * Speaks TLS on a connected descriptor, from now on or, as STARTTLS, after some lines, and
 * shakes hands.
 *
 * @param clientfd A connected descriptor, which belongs to the one returned from now on, and
 * is closed if it fails.
 * @param host The name or address that the server's certificate is for.
 * @param options How to give it up, and whom to trust.
 * @returns The connected descriptor.
 * @throws {Error} If the server's certificate is not trusted, or it doesn't speak TLS; the
 * message names the host and the cause.
 *
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
  { caCerts, ...options }: TlsConnectOptions = {},
): Promise<Deno.TlsConn> {
  const { port } = clientfd.remoteAddr;
  return await attempt(`TLS handshake with ${host} port ${port}`, options, async (signal) => {
    let fd: Deno.Conn = clientfd;
    const close = () => fd[Symbol.dispose]();
    signal.addEventListener("abort", close);
    try {
      const tlsfd = fd = await Deno.startTls(clientfd, { hostname: host, caCerts });
      signal.throwIfAborted();
      await tlsfd.handshake();
      return tlsfd;
    } catch (error) {
      close();
      throw signal.aborted ? signal.reason : explained(error);
    } finally {
      signal.removeEventListener("abort", close);
    }
  });
}

/** What rustls says in one word, in some more. */
function explained(error: unknown): unknown {
  if (error instanceof Error && error.message.includes("CaUsedAsEndEntity")) {
    error.message +=
      " (the server shows a CA's certificate as its own, which `openssl req -x509` makes unless told `-addext basicConstraints=critical,CA:FALSE`)";
  }
  return error;
}
