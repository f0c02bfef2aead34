/** Stands in for the assertions that this project takes from `@std/assert`. */
export { deepStrictEqual as assertEquals } from "node:assert/strict";
