/**
 * Answers commands, a line each, until EOF or `quit`:
 *
 * - `echo TEXT` is answered with `TEXT`
 * - `add A B` with the sum of two integers
 * - `quit` by closing the connection
 * - any other line with `error: no such command`
 * - a line of more than 80 bytes, its newline included, with `error: line too long`, and the
 *   connection is closed: a client that never sends a newline must not fill the memory.
 *
 * Each answer is a line.
 */
export function answer(connfd: Deno.TcpConn): Promise<void> {
  throw new Error(`answer isn't written yet: ${connfd.remoteAddr.port}`);
}
