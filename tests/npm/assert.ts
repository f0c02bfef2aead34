/** A stand-in for the assertions this project uses from `@std/assert`. */
import { match, ok } from "node:assert/strict";
export { deepStrictEqual as assertEquals } from "node:assert/strict";

/** A class of errors. */
// deno-lint-ignore no-explicit-any
export type ErrorClass<E extends Error> = new (...args: any[]) => E;

/** Throws unless `value` is true. */
export function assert(value: unknown, message = ""): asserts value {
  ok(value, message);
}

/** Throws unless `text` matches `pattern`. */
export function assertMatch(text: string, pattern: RegExp): void {
  match(text, pattern);
}

/** Throws unless `fn` throws such an error; returns the error. */
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  errorClass?: ErrorClass<E>,
  includes?: string,
): E {
  try {
    fn();
  } catch (error) {
    return check(error, errorClass, includes);
  }
  throw new Error("Expected function to throw");
}

/** Throws unless `fn` rejects with such an error; returns the error. */
export async function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  errorClass?: ErrorClass<E>,
  includes?: string,
): Promise<E> {
  try {
    await fn();
  } catch (error) {
    return check(error, errorClass, includes);
  }
  throw new Error("Expected function to reject");
}

function check<E extends Error>(
  error: unknown,
  errorClass: ErrorClass<E> | undefined,
  includes: string | undefined,
): E {
  ok(error instanceof (errorClass ?? Error), `a wrong class: ${error}`);
  const { message } = error as E;
  ok(message.includes(includes ?? ""), `"${message}" lacks ${includes}`);
  return error as E;
}
