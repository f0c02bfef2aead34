/**
 * What both programs share: the command line, exit codes, signals, and a
 * standard output that is buffered as C's stdio.
 *
 * @module
 */
import type { parseArgs } from "jsr:@std/cli@^1.0.25/parse-args";
import { rioWriten, type Writer } from "./rio.ts";

/** The version of deno.json, which a program run from a URL can't read. */
export const VERSION = "0.1.0";

/** The port of the programs unless one is given: csapp's own example. */
export const PORT = 15213;

// In constants, lest Deno fetches them at start: with no flag on the command
// line, no registry is asked for anything.
const PARSE_ARGS = "jsr:@std/cli@^1.0.25/parse-args";
const MINIMIST = "npm:minimist@^1.2.8";

/** Bytes of standard output that are written at once. */
const BLOCK = 65536;

/** A command line that can't be meant: the usage line and exit code 2. */
export class UsageError extends Error {}

/** The flags and positional arguments that a program knows. */
export interface CommandLine {
  /** The line that says how the program is called. */
  usage: string;
  /** What `--help` prints below the usage line. */
  help: string;
  /** Flags with a value. */
  string: string[];
  /** Flags without one. `--help` and `--version` come by themselves. */
  boolean: string[];
  /** How many positional arguments there may be. */
  positionals: number;
}

/** A parsed command line. */
export interface Flags {
  /** The arguments that are no flags. */
  positionals: string[];
  /** The value of each flag that was given one. */
  values: { [flag: string]: string | undefined };
  /** The flags without a value that were set. */
  set: Set<string>;
}

/**
 * Parses a command line with `parseArgs` of `@std/cli`, loaded only if there is
 * a flag in it; where JSR can't be reached, with `npm:minimist`.
 *
 * @throws {UsageError} If there is a flag that the program doesn't know, one
 * without its value, or a positional argument too many.
 */
export async function parseFlags(
  args: string[],
  { string, boolean, positionals }: CommandLine,
): Promise<Flags> {
  const flags: Flags = { positionals: args, values: {}, set: new Set() };
  if (args.some((arg) => arg.startsWith("-"))) {
    const switches = [...boolean, "help", "version"];
    const parsed = (await loadParser())(args, {
      string: [...string, "_"],
      boolean: switches,
      alias: { h: "help" },
      unknown(arg: string) {
        if (!arg.startsWith("-") || arg === "-") return true;
        throw new UsageError(`no such flag: ${arg}`);
      },
    }) as unknown as { _: string[]; [flag: string]: unknown };
    flags.positionals = parsed._;
    for (const name of string.filter((name) => name in parsed)) {
      // minimist has all the values of a flag given twice, parseArgs the last.
      const value = [parsed[name]].flat().at(-1);
      if (value === "" || typeof value !== "string") {
        throw new UsageError(`--${name} needs a value`);
      }
      flags.values[name] = value;
    }
    flags.set = new Set(switches.filter((name) => parsed[name]));
  }
  if (flags.positionals.length > positionals) {
    throw new UsageError(
      `one argument too many: ${flags.positionals[positionals]}`,
    );
  }
  return flags;
}

async function loadParser(): Promise<typeof parseArgs> {
  try {
    return (await import(PARSE_ARGS)).parseArgs;
  } catch {
    try {
      return (await import(MINIMIST)).default;
    } catch {
      throw new Error(
        `can't parse flags: neither ${PARSE_ARGS} nor ${MINIMIST} can be loaded`,
      );
    }
  }
}

/**
 * An integer of the command line.
 *
 * @throws {UsageError} If `text` is no decimal integer from `min` to `max`.
 */
export function toInteger(
  name: string,
  text: string,
  min: number,
  max: number,
): number {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
  if (!(value >= min && value <= max)) {
    throw new UsageError(
      `${name} must be an integer from ${min} to ${max}, not ${text}`,
    );
  }
  return value;
}

/**
 * A time of the command line, in seconds, decimals allowed.
 *
 * @returns Milliseconds.
 * @throws {UsageError} If `text` is no decimal number from `min` to 1000000.
 */
export function toMilliseconds(
  name: string,
  text: string,
  min = 0.001,
): number {
  const value = /^\d{1,7}(\.\d+)?$/.test(text) ? Number(text) : NaN;
  if (!(value >= min && value <= 1_000_000)) {
    throw new UsageError(
      `${name} must be seconds from ${min} to 1000000, not ${text}`,
    );
  }
  return value * 1000;
}

/** A number of things, such as "1 line" and "2 lines". */
export function count(n: number, thing: string): string {
  return `${n} ${thing}${n === 1 ? "" : "s"}`;
}

/**
 * Holds that a port may be used.
 *
 * @throws {RangeError} If `port` is no integer from `min` to 65535.
 */
export function checkPort(what: string, port: number, min: number): void {
  if (!Number.isSafeInteger(port) || port < min || port > 65535) {
    throw new RangeError(
      `Cannot ${what}: port must be an integer from ${min} to 65535, current value is ${port}`,
    );
  }
}

/** An error whose message says first what failed. */
export function label(what: string, error: unknown): unknown {
  if (error instanceof Error) error.message = `${what}: ${error.message}`;
  return error;
}

/** What went wrong, as strerror(3) has it: one line, without Rust's number. */
export function reason(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/ \(os error \d+\)/g, "").replaceAll("\n", " ");
}

/**
 * Standard output, buffered as C's stdio: by the line on a terminal, by the block
 * otherwise, and then for a fiftieth of a second at most. It holds 128 KiB at most; a
 * writer waits while a reader stalls.
 */
export class Stdout implements Writer {
  readonly #sink: Writer;
  readonly #delay = Deno.stdout.isTerminal() ? 0 : 20;
  #buf = new Uint8Array(BLOCK);
  #spare = new Uint8Array(BLOCK);
  #length = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #writing: Promise<unknown> | undefined;
  #error: unknown;

  /** Buffers what goes to `sink`: standard output, or who hands it on. */
  constructor(sink: Writer = STDOUT) {
    this.#sink = sink;
  }

  /** As {@linkcode Stdout.print}, for up to a block of `p`. */
  async write(p: Uint8Array): Promise<number> {
    const bytes = p.subarray(0, BLOCK);
    await this.print(bytes);
    return bytes.length;
  }

  /**
   * Takes bytes to be written, which stay together.
   *
   * @param p 1 to 65536 bytes.
   * @param times How often they are to be written.
   * @returns A promise if there is no room; it resolves when the bytes were taken.
   * @throws What writing the bytes of an earlier call threw.
   */
  print(p: Uint8Array, times = 1): Promise<void> | undefined {
    const start = this.#length;
    const end = start + p.length * times;
    if (end > BLOCK) return this.#printLater(p, times);
    if (this.#error !== undefined) throw this.#error;
    const buf = this.#buf;
    buf.set(p, start);
    // What is there is doubled: a call a line costs several times as much.
    for (let n = p.length; start + n < end; n *= 2) {
      buf.copyWithin(start + n, start, start + n);
    }
    this.#length = end;
    if (this.#delay === 0) return this.flush();
    this.#timer ??= setTimeout(
      () => this.flush().catch(() => {}), // it is thrown to the next call
      this.#delay,
    );
  }

  async #printLater(p: Uint8Array, times: number): Promise<void> {
    while (times > 0) {
      const room = Math.floor((BLOCK - this.#length) / p.length);
      const now = Math.min(times, room);
      await (now > 0 ? this.print(p, now) : this.flush());
      times -= now;
    }
  }

  /** Writes all that was taken; throws what that throws, now and ever after. */
  async flush(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
    if (this.#error !== undefined) throw this.#error;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#length === 0) return;
    const bytes = this.#buf.subarray(0, this.#length);
    [this.#buf, this.#spare] = [this.#spare, this.#buf];
    this.#length = 0;
    this.#writing = rioWriten(this.#sink, bytes)
      .catch((error) => this.#error = label("standard output", error))
      .finally(() => this.#writing = undefined);
    await this.#writing;
    if (this.#error !== undefined) throw this.#error;
  }
}

/** Deno.stdout, that waits where somebody has made it non-blocking: EAGAIN. */
const STDOUT: Writer = {
  async write(p) {
    for (;;) {
      try {
        return await Deno.stdout.write(p);
      } catch (error) {
        if (!(error instanceof Deno.errors.WouldBlock)) throw error;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    }
  },
};

/** Milliseconds within which signals are taken for one: `npx` sends three a Ctrl-C. */
const SAME_SIGNAL = 100;

/**
 * Calls `first` for the first SIGINT or SIGTERM; the second one ends the program at
 * once.
 */
export function onSignal(
  first: (signal: "SIGINT" | "SIGTERM") => void,
): void {
  const signals = Deno.build.os === "windows"
    ? ["SIGINT"] as const
    : ["SIGINT", "SIGTERM"] as const;
  let since: number | undefined;
  for (const signal of signals) {
    Deno.addSignalListener(signal, () => {
      if (since === undefined) {
        since = performance.now();
        first(signal);
      } else if (performance.now() - since > SAME_SIGNAL) {
        Deno.exit(signalCode(signal));
      }
    });
  }
}

/** The exit code of a program that a signal ended: 128 and the signal's number. */
export function signalCode(signal: "SIGINT" | "SIGTERM"): number {
  return signal === "SIGINT" ? 130 : 143;
}

/**
 * Runs a program: parses its command line, answers `--help` and `--version`,
 * calls `main` and ends with its exit code; with 1 and one line on standard
 * error if it throws, with 2 and the usage line if it throws a `UsageError`.
 */
export async function run(
  name: string,
  commandLine: CommandLine,
  main: (flags: Flags, stdout: Stdout) => Promise<number>,
): Promise<never> {
  const stdout = new Stdout();
  let code;
  try {
    const flags = await parseFlags(Deno.args, commandLine);
    if (flags.set.has("help") || flags.set.has("version")) {
      const text = flags.set.has("help")
        ? `${commandLine.usage}\n\n${commandLine.help}`
        : `${name} ${VERSION}\n`;
      await rioWriten(stdout, new TextEncoder().encode(text));
      code = 0;
    } else {
      code = await main(flags, stdout);
    }
    await stdout.flush();
  } catch (error) {
    await stdout.flush().catch(() => {});
    if (error instanceof UsageError) {
      console.error(`${name}: ${reason(error)}\n${commandLine.usage}`);
      code = 2;
    } else if (error instanceof Deno.errors.BrokenPipe) {
      code = 0; // whoever read standard output, `head` say, has enough
    } else {
      console.error(`${name}: ${reason(error)}`);
      code = 1;
    }
  }
  Deno.exit(code);
}
