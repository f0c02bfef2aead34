import { echo, openListenfd } from "@netp/rio";

const listenfd = openListenfd(Number(Deno.args[0]));
while (true) {
  const connfd = await listenfd.accept();
  echo(connfd)
    .catch(() => {})
    .finally(() => connfd.close());
}
