/**
 * `parseArgs` of `@std/cli`, or `npm:minimist`, after which it is modelled, where JSR can't
 * be reached. It runs in a thread of its own: an import that a registry never answers
 * can't be given up and holds up every later one, but its thread can be ended.
 */
import type { parseArgs } from "jsr:@std/cli@^1.0.25/parse-args";
import { inTime } from "../net/time.ts";

/** What {@linkcode parse} takes: that of `parseArgs` which both parsers have. */
export type ParserOptions = Pick<
  NonNullable<Parameters<typeof parseArgs>[1]>,
  "string" | "boolean" | "alias"
>;
/** The flags that were found, and in `_` what is no flag. */
export type Parsed = { _: string[] } & Record<string, unknown>;

const PARSERS = [
  { specifier: "jsr:@std/cli@^1.0.25/parse-args", name: "parseArgs" },
  { specifier: "npm:minimist@^1.2.8", name: "default" },
];
/** Milliseconds after which the second registry is asked too. */
const HEAD_START = 700;
/** Milliseconds for both. */
const LIMIT = 2200;

/** What runs in the thread: from a data URL, which needs no permission. */
const THREAD = `data:text/javascript,${
  encodeURIComponent(`onmessage = async ({ data: { specifier, name, args, options } }) => {
    try {
      const module = await import(specifier);
      postMessage({ parsed: module[name](args, options) });
    } catch (error) {
      postMessage({ error: error.message });
    }
  };`)
}`;

/**
 * Parses arguments.
 *
 * @throws {Error} If neither parser can be loaded within 2.2 seconds: one line that names
 * the causes.
 */
export async function parse(args: string[], options: ParserOptions): Promise<Parsed> {
  const workers: (Worker | undefined)[] = [];
  const errors: (string | undefined)[] = [];
  const { promise, resolve, reject } = Promise.withResolvers<Parsed>();
  const fail = (n: number, why: string) => {
    errors[n] ??= `${PARSERS[n].specifier}: ${why.split("\n")[0]}`;
    start(1);
    if (errors[0] !== undefined && errors[1] !== undefined) {
      reject(new Error(`can't parse flags: ${errors.join("; ")}`));
    }
  };
  const start = (n: number) => {
    if (workers[n] !== undefined) return;
    const worker = workers[n] = new Worker(THREAD, { type: "module" });
    worker.onmessage = ({ data: { parsed, error } }) => parsed ? resolve(parsed) : fail(n, error);
    worker.onerror = (event) => {
      event.preventDefault();
      fail(n, event.message);
    };
    worker.postMessage({ ...PARSERS[n], args, options });
  };

  start(0);
  const cancels = [
    inTime(HEAD_START, () => start(1)),
    inTime(LIMIT, () => PARSERS.forEach((_, n) => fail(n, `no answer for ${LIMIT / 1000} s`))),
  ];
  try {
    return await promise;
  } finally {
    for (const cancel of cancels) cancel();
    for (const worker of workers) worker?.terminate();
  }
}
