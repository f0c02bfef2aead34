import { MAXLINE, Rio, rioWriten } from "@netp/rio";

/** Reads lines and writes them back, until EOF. */
export async function echo(connfd: Deno.TcpConn): Promise<void> {
  const buf = new Uint8Array(MAXLINE);
  const rio = new Rio(connfd);
  for (let n; (n = await rio.readlineb(buf, MAXLINE)) !== 0;) {
    await rioWriten(connfd, buf.subarray(0, n));
  }
}
