import { MAXLINE, Rio, rioWriten } from "@netp/rio";

/** Reads lines and writes them back, until EOF. */
export function echo(connfd: Deno.TcpConn): Promise<void> {
  const buf = new Uint8Array(MAXLINE);
  const rio = new Rio(connfd);
  // Yours: rio.readlineb(buf, MAXLINE) returns the length of a line, rioWriten writes bytes.
  throw new Error(`echo isn't written yet: ${typeof rio.readlineb}, ${typeof rioWriten}, ${buf}`);
}
