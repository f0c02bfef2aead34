import { MAXLINE, openClientfd, Rio, rioWriten } from "@netp/rio";

if (Deno.args.length !== 2) {
  console.error("usage: deadlock.ts <host> <port>");
  Deno.exit(0);
}

const [host, port] = Deno.args;
const clientfd = await openClientfd(host, Number(port));
const rio = new Rio(clientfd);
const stdin = new Rio(Deno.stdin);
const buf = new Uint8Array(MAXLINE);

for (let n; (n = await stdin.readlineb(buf, MAXLINE)) !== 0;) { // fgets
  await rioWriten(clientfd, buf.subarray(0, n));
  n = await rio.readlineb(buf, MAXLINE);
  await rioWriten(Deno.stdout, buf.subarray(0, n)); // fputs
}
clientfd.close();
