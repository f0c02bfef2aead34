/**
 * Parses flags with `parseArgs` of `@std/cli` or, where JSR is unreachable, with `npm:minimist`,
 * on which parseArgs is modelled. Each runs in a worker: an import that a registry never answers
 * can't be cancelled and blocks every later import, but a worker can be terminated.
 */
import type { parseArgs } from "jsr:@std/cli@^1.0.25/parse-args";
import { inTime } from "../net/time.ts";

/** Options of {@linkcode parse}: those of `parseArgs` that both parsers know. */
export type ParserOptions = Pick<
  NonNullable<Parameters<typeof parseArgs>[1]>,
  "string" | "boolean" | "alias"
>;
/** The flags, and the positional arguments in `_`. */
export type Parsed = { _: string[] } & Record<string, unknown>;

const PARSERS = [
  { specifier: "jsr:@std/cli@^1.0.25/parse-args", name: "parseArgs" },
  { specifier: "npm:minimist@^1.2.8", name: "default" },
];
/** Milliseconds before the second registry is tried too. */
const HEAD_START = 700;
/** The most milliseconds for both. */
const LIMIT = 2200;

/** The worker's code, as a data URL, which needs no permission. */
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
 * @throws {Error} If neither parser loads within 2.2 seconds; the message is one line with both
 * causes.
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
