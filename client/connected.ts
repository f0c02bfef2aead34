/** What is looked at and set once a client has connected. */

/**
 * Refuses a connection of a socket to itself. Where nobody listens on a port of the ephemeral
 * range, the kernel may choose that same port for our end, and TCP's simultaneous open (RFC 9293,
 * 3.5) then succeeds with one socket.
 * @throws {Deno.errors.ConnectionRefused} If that is so; the connection is closed.
 */
export function refuseSelf(clientfd: Deno.TcpConn): void {
  const { localAddr, remoteAddr } = clientfd;
  if (localAddr.port !== remoteAddr.port || localAddr.hostname !== remoteAddr.hostname) return;
  clientfd[Symbol.dispose]();
  throw new Deno.errors.ConnectionRefused("Connection refused (the socket met itself)");
}

/** Sets TCP_NODELAY: without it a small write waits until the one before is acknowledged. */
export function setNoDelay(clientfd: Deno.TcpConn): void {
  try {
    clientfd.setNoDelay(true);
  } catch {
    // The peer has closed: the first read or write reports it.
  }
}
