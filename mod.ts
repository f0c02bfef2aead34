/**
 * The CS:APP socket programs and the RIO package, for Deno.
 *
 * @module
 */
export * from "./rio.ts";
export * from "./server.ts";
export * from "./client.ts";
