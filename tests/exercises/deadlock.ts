import { MAXLINE, openClientfd, Rio, rioWriten } from "@netp/rio";

const NEWLINE = 0x0a;

const [host, port] = Deno.args;
const clientfd = await openClientfd(host, Number(port));
const rio = new Rio(clientfd);
const stdin = new Rio(Deno.stdin);
const buf = new Uint8Array(MAXLINE);

for (let n; (n = await stdin.readlineb(buf, MAXLINE)) !== 0;) { // fgets
  await rioWriten(clientfd, buf.subarray(0, n));
  // The last line has no newline: the server answers it at EOF, so EOF must come first.
  if (buf[n - 1] !== NEWLINE && n < MAXLINE - 1) await clientfd.closeWrite();
  n = await rio.readlineb(buf, MAXLINE);
  await rioWriten(Deno.stdout, buf.subarray(0, n)); // fputs
}
clientfd.close();
