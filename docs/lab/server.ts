/** An echo server, to be built: see README.md. What is left says TODO. */

/** Sends back what comes, until the client has nothing more to say. */
async function echo(connfd: Deno.TcpConn): Promise<void> {
  const buf = new Uint8Array(8192);
  // TODO 1: read, and write what was read, until EOF. What does read return at EOF, and how many
  // bytes does one write take?
  await connfd.read(buf);
}

const listenfd = Deno.listen({ port: Number(Deno.args[0] ?? 15213) });
for (;;) {
  const connfd = await listenfd.accept();
  // TODO 2: whose error is it when accept or a read fails, and who must not end of it?
  // TODO 3: serve the next client while this one is served.
  await echo(connfd);
  connfd.close();
}
