/**
 * The plain loop: reads whatever has arrived and writes it back, without lines, limits or
 * turns. Usage: plain_echo.ts PORT [BUFSIZE].
 */
const listener = Deno.listen({
  hostname: "127.0.0.1",
  port: Number(Deno.args[0]),
  tcpBacklog: 4096,
});

async function echo(conn: Deno.Conn): Promise<void> {
  const buf = new Uint8Array(Number(Deno.args[1] ?? 16_384));
  try {
    for (let n; (n = await conn.read(buf)) !== null;) {
      for (let done = 0; done < n;) {
        done += await conn.write(buf.subarray(done, n));
      }
    }
  } catch {
    // The client has closed.
  }
  conn.close();
}

for (;;) echo(await listener.accept());
