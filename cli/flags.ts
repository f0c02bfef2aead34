/** Command lines: their definition, help, parsing and numbers. */
import { parse } from "./parser.ts";

/** An invalid command line: the program prints its usage line and exits with code 2. */
export class UsageError extends Error {}

/** The definition of a program's command line. */
export interface CommandLine {
  /** The program's file name, without its extension. */
  name: string;
  /** What the program does. */
  about: string;
  /** The positional arguments, each with its help. */
  positionals: [name: string, help: string][];
  /** The flags, `NAME` or `NAME=VALUE`, each with its help. */
  flags: [flag: string, help: string][];
  /** The last lines of the help. */
  notes: string;
}

/** A parsed command line. */
export interface Flags {
  /** The positional arguments. */
  positionals: string[];
  /** The values of flags of the form `NAME=VALUE`; undefined if not given. */
  values: { [flag: string]: string | undefined };
  /** The flags given that take no value. */
  set: Set<string>;
}

/** The usage line. */
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
 * Parses a command line. Invalid flags are rejected before a parser sees them, so that all
 * parsers agree. Without flags, or with `--help` or `--version`, no parser is loaded.
 * @throws {UsageError} If a flag is unknown, lacks its value or has one that it doesn't take, or
 * there are too many positional arguments.
 * @throws {Error} If no parser can be loaded.
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
      // For a flag given twice minimist returns all values, parseArgs the last one.
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

/** Rejects invalid flags, and joins each flag and its value into one argument. */
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
 * Converts an argument to an integer.
 * @throws {UsageError} If `text` is not a decimal integer from `min` to `max`.
 */
export function toInteger(name: string, text: string, min: number, max: number): number {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
  if (value >= min && value <= max) return value;
  throw new UsageError(`${name} must be an integer from ${min} to ${max}, not ${text}`);
}

/**
 * Converts an argument in seconds, decimals allowed, to milliseconds.
 * @throws {UsageError} If `text` is not a decimal number from `min` to 1000000.
 */
export function toMilliseconds(name: string, text: string, min: number = 0.001): number {
  const value = /^\d{1,7}(\.\d+)?$/.test(text) ? Number(text) : NaN;
  if (value >= min && value <= 1_000_000) return value * 1000;
  throw new UsageError(`${name} must be seconds from ${min} to 1000000, not ${text}`);
}
