/** The client's side of `--trace`. */
import {
  failure,
  family,
  isNumeric,
  place,
  socketPair,
  type Tell,
  traceConn,
} from "../net/traced_conn.ts";
import { printable } from "../net/text.ts";

/**
 * Traces `open`, which connects to `host` and `port` or to the Unix socket `path`, and every call
 * on the connection from then on.
 */
export async function traceClientfd<T extends Deno.Conn<Deno.Addr>>(
  to: { host: string; port: number } | { path: string },
  open: () => Promise<T>,
  tell: Tell,
): Promise<T> {
  if ("host" in to) {
    tell({
      call: `getaddrinfo("${to.host}", "${to.port}")`,
      result: "waiting",
      note: isNumeric(to.host)
        ? "Deno.connect: a number, nothing to look up"
        : "Deno.connect: then socket and connect, an address at a time",
    });
  }
  const clientfd = await open().catch((error) => {
    const where = "host" in to ? `${to.host}:${to.port}` : printable(to.path);
    tell({ call: `connect(clientfd, ${where})`, ...failure(error) });
    throw error;
  });
  const { localAddr, remoteAddr } = clientfd;
  tell({ call: `socket(${family(remoteAddr)}, SOCK_STREAM)`, result: "= clientfd" });
  tell({
    call: `connect(clientfd, ${"path" in to ? printable(to.path) : place(remoteAddr)})`,
    result: "= 0",
    detail: "host" in to ? socketPair(localAddr, remoteAddr) : "",
    note: "handshake" in clientfd ? "and the TLS handshake" : "",
  });
  traceConn(clientfd, "clientfd", tell);
  return clientfd;
}
