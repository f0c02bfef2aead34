import { MAXLINE, openListenfd, Rio, rioWriten } from "@netp/rio";

if (Deno.args.length !== 1) {
  console.error("usage: echoserveri.ts <port>");
  Deno.exit(0);
}

const listenfd = openListenfd(Number(Deno.args[0]));
while (true) {
  const connfd = await listenfd.accept();
  const { hostname, port } = connfd.remoteAddr;
  console.log(`Connected to (${hostname}, ${port})`);
  await echo(connfd);
  connfd.close();
}

async function echo(connfd: Deno.TcpConn) {
  const buf = new Uint8Array(MAXLINE);
  const rio = new Rio(connfd);
  for (let n; (n = await rio.readlineb(buf, MAXLINE)) !== 0;) {
    console.log(`server received ${n} bytes`);
    await rioWriten(connfd, buf.subarray(0, n));
  }
}
