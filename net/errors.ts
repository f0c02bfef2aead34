/** Error messages of one line. */

/** Puts what failed in front of the error's message; returns the error. */
export function label(what: string, error: unknown): unknown {
  if (error instanceof Error) error.message = `${what}: ${error.message}`;
  return error;
}

/** The message on one line, as strerror(3) prints it, without Rust's "(os error N)". */
export function reason(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/ \(os error \d+\)/g, "").replaceAll("\n", " ");
}

/**
 * Whether the peer ended the connection abnormally: RST, which Windows also reports as an aborted
 * connection, or TLS without close_notify.
 */
export function isReset(error: unknown): boolean {
  return error instanceof Deno.errors.ConnectionReset ||
    error instanceof Deno.errors.ConnectionAborted ||
    error instanceof Deno.errors.BrokenPipe ||
    error instanceof Deno.errors.UnexpectedEof;
}
