/** A stand-in for the types this project uses from `@std/io/types`. */

/** A source of bytes. */
export interface Reader {
  /** Reads up to `p.length` bytes into `p`; returns how many, null at EOF. */
  read(p: Uint8Array): Promise<number | null>;
}

/** A sink of bytes. */
export interface Writer {
  /** Writes up to `p.length` bytes from `p`; returns how many. */
  write(p: Uint8Array): Promise<number>;
}
