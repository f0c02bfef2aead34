/** The command line: what a program knows, what was given, and its numbers. */
import { parse } from "./parser.ts";

/** A command line that makes no sense: the usage line and exit code 2. */
export class UsageError extends Error {}

/** What a program may be told on its command line. */
export interface CommandLine {
  /** The file that is run, without its ending. */
  name: string;
  /** What the program does. */
  about: string;
  /** The arguments that are no flags, each with what it means. */
  positionals: [name: string, help: string][];
  /** The flags, `NAME` or `NAME=VALUE`, each with what it means. */
  flags: [flag: string, help: string][];
  /** What stands at the end of the help. */
  notes: string;
}

/** A parsed command line. */
export interface Flags {
  /** The arguments that are no flags. */
  positionals: string[];
  /** The value of each flag that was given one. */
  values: { [flag: string]: string | undefined };
  /** The flags without a value that were given. */
  set: Set<string>;
}

/** The line that says how a program is called. */
export function usage({ name, positionals, flags }: CommandLine): string {
  const parts = [...positionals.map(([name]) => name), ...flags.map(([flag]) => `--${flag}`)];
  return [`usage: ${name}.ts`, ...parts, "--help", "--version"].map((part, i) =>
    i === 0 ? part : `[${part}]`
  ).join(" ");
}

/** What `--help` prints. */
export function help(commandLine: CommandLine): string {
  const rows = [
    ...commandLine.positionals,
    ...commandLine.flags.map(([flag, help]) => [`--${flag}`, help]),
    ["-h, --help", "print this"],
    ["--version", "print the version"],
  ];
  const width = Math.max(...rows.map(([name]) => name.length)) + 2;
  const table = rows.map(([name, help]) =>
    `  ${name.padEnd(width)}${help.replaceAll("\n", `\n  ${" ".repeat(width)}`)}`
  );
  return [usage(commandLine), "", commandLine.about, "", ...table, "", commandLine.notes, ""]
    .join("\n");
}

/**
 * Parses a command line. What isn't a flag that the program knows, as it knows it, is
 * refused before a parser sees it, so that all parsers agree; with no flag, or with
 * `--help` or `--version` alone, none is loaded.
 *
 * @throws {UsageError} If there is a flag that the program doesn't know, one without its
 * value or with a value too many, or a positional argument too many.
 */
export async function parseFlags(args: string[], commandLine: CommandLine): Promise<Flags> {
  const string = commandLine.flags.filter(([flag]) => flag.includes("="))
    .map(([flag]) => flag.split("=")[0]);
  const boolean = commandLine.flags.filter(([flag]) => !flag.includes("="))
    .map(([flag]) => flag).concat("help", "version");
  const known = check(args, string, boolean);
  const flags: Flags = { positionals: known, values: {}, set: new Set() };
  const asked = known.find((arg) => arg === "--help" || arg === "--version");
  if (asked !== undefined) return { ...flags, positionals: [], set: new Set([asked.slice(2)]) };
  if (known.some((arg) => arg.startsWith("--"))) {
    const parsed = await parse(known, { string: [...string, "_"], boolean });
    flags.positionals = parsed._;
    for (const name of string) {
      // minimist has all the values of a flag given twice, parseArgs the last.
      const value = [parsed[name]].flat().at(-1);
      if (value !== undefined) flags.values[name] = value as string;
    }
    flags.set = new Set(boolean.filter((name) => parsed[name]));
  }
  const { length } = commandLine.positionals;
  if (flags.positionals.length > length) {
    throw new UsageError(`one argument too many: ${flags.positionals[length]}`);
  }
  return flags;
}

/** Refuses what the program doesn't know, and puts each flag and its value into one argument. */
function check(args: string[], string: string[], boolean: string[]): string[] {
  const end = args.indexOf("--");
  const before = args.slice(0, end < 0 ? args.length : end);
  const known: string[] = [];
  for (let arg; (arg = before.shift()) !== undefined;) {
    if (!arg.startsWith("-") || arg === "-") {
      known.push(arg);
      continue;
    }
    const [, name, value] = /^--([^=]*)(?:=([^]*))?$/.exec(arg === "-h" ? "--help" : arg) ?? [];
    if (boolean.includes(name)) {
      if (value !== undefined) throw new UsageError(`--${name} takes no value: ${arg}`);
      known.push(`--${name}`);
    } else if (string.includes(name)) {
      const given = value ?? (before[0]?.startsWith("-") ? undefined : before.shift());
      if (!given) throw new UsageError(`--${name} needs a value`);
      known.push(`--${name}=${given}`);
    } else {
      throw new UsageError(`no such flag: ${arg}`);
    }
  }
  return end < 0 ? known : [...known, ...args.slice(end)];
}

/**
 * An integer of the command line.
 *
 * @throws {UsageError} If `text` is no decimal integer from `min` to `max`.
 */
export function toInteger(name: string, text: string, min: number, max: number): number {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
  if (value >= min && value <= max) return value;
  throw new UsageError(`${name} must be an integer from ${min} to ${max}, not ${text}`);
}

/**
 * A time of the command line, in seconds, decimals allowed.
 *
 * @returns Milliseconds.
 * @throws {UsageError} If `text` is no decimal number from `min` to 1000000.
 */
export function toMilliseconds(name: string, text: string, min: number = 0.001): number {
  const value = /^\d{1,7}(\.\d+)?$/.test(text) ? Number(text) : NaN;
  if (value >= min && value <= 1_000_000) return value * 1000;
  throw new UsageError(`${name} must be seconds from ${min} to 1000000, not ${text}`);
}

/** A number of things, such as "1 line" and "2 lines". */
export function count(n: number, thing: string): string {
  return `${n} ${thing}${n === 1 ? "" : "s"}`;
}
