/**
 * The CS:APP socket programs and the RIO package, for Deno.
 *
 * @module
 */
export {
  chomp,
  MAXLINE,
  type Reader,
  type ReadOptions,
  Rio,
  RIO_BUFSIZE,
  type RioOptions,
  rioReadn,
  rioWriten,
  type Writer,
} from "./rio.ts";
export * from "./net/readers.ts";
export * from "./server.ts";
export * from "./client.ts";
