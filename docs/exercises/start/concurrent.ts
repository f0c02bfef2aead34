import { echo, openListenfd } from "@netp/rio";

const listenfd = openListenfd(Number(Deno.args[0]));
while (true) {
  const connfd = await listenfd.accept();
  await echo(connfd);
  connfd.close();
}
