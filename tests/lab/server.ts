/** A solution of docs/lab/server.ts. */

/** Sends back what comes, until the client has nothing more to say. */
async function echo(connfd: Deno.TcpConn): Promise<void> {
  const buf = new Uint8Array(8192);
  for (let n; (n = await connfd.read(buf)) !== null;) {
    for (let done = 0; done < n;) done += await connfd.write(buf.subarray(done, n));
  }
}

/** Serves a client, whose errors are its own. */
async function serve(connfd: Deno.TcpConn): Promise<void> {
  try {
    await echo(connfd);
  } catch {
    // The client has gone.
  } finally {
    connfd.close();
  }
}

const listenfd = Deno.listen({ port: Number(Deno.args[0] ?? 15213) });
for (;;) {
  try {
    serve(await listenfd.accept());
  } catch {
    // A client reset its connection before it was accepted.
  }
}
