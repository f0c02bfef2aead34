/** Stands in for the types that this project takes from `@std/io/types`. */

/** Where bytes come from. */
export interface Reader {
  /** Reads up to `p.length` bytes to `p`; null at EOF. */
  read(p: Uint8Array): Promise<number | null>;
}

/** Where bytes go to. */
export interface Writer {
  /** Writes up to `p.length` bytes of `p`, and says how many. */
  write(p: Uint8Array): Promise<number>;
}
