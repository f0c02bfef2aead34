/** Command lines: their definition, help, parsing and numbers. */
import { isIPv6 } from "node:net";
import { parseArgs } from "node:util";

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
 * Parses a command line. Values are those of the last time a flag is given.
 * @throws {UsageError} If a flag is unknown, lacks its value or has one that it doesn't take, or
 * there are too many positional arguments.
 */
export function parseFlags(args: string[], commandLine: CommandLine): Flags {
  const options: Record<string, { type: "string" | "boolean"; short?: string }> = {
    help: { type: "boolean", short: "h" },
    version: { type: "boolean" },
  };
  for (const [flag] of commandLine.flags) {
    const [name, value] = flag.split("=");
    options[name] = { type: value === undefined ? "boolean" : "string" };
  }
  const { tokens } = parseArgs({ args, options, strict: false, tokens: true });
  const flags: Flags = { positionals: [], values: {}, set: new Set() };
  for (const token of tokens) {
    if (token.kind === "positional") flags.positionals.push(token.value);
    if (token.kind !== "option") continue;
    const { index, name, value, inlineValue } = token;
    if (!Object.hasOwn(options, name)) {
      throw new UsageError(
        `no such flag: ${args[index]}${suggestion(args[index], options, commandLine)}`,
      );
    } else if (options[name].type === "boolean") {
      if (value !== undefined) throw new UsageError(`--${name} takes no value: ${args[index]}`);
      flags.set.add(name);
    } else if (!value || !inlineValue && value.startsWith("-")) {
      throw new UsageError(`--${name} needs a value`);
    } else {
      flags.values[name] = value;
    }
  }
  const extra = flags.positionals[commandLine.positionals.length];
  if (extra !== undefined && !flags.set.has("help") && !flags.set.has("version")) {
    throw new UsageError(`one argument too many: ${extra}`);
  }
  return flags;
}

/** What was meant by a flag as typed: a positional argument, or a flag with mostly the same letters. */
function suggestion(typed: string, options: object, { positionals }: CommandLine): string {
  const name = typed.replace(/^-+|=.*/gs, "");
  if (positionals.some(([each]) => each === name)) return ` (the ${name} is given without a flag)`;
  const [near] = Object.keys(options).toSorted((a, b) => distance(name, a) - distance(name, b));
  return distance(name, near) <= Math.min(2, near.length / 3) ? ` (did you mean --${near}?)` : "";
}

/** The edit distance of two words: Levenshtein's, with neighbours that changed places as one edit. */
function distance(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = rows[i] = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = rows[i - 1][j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swapped = a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
        ? rows[i - 2][j - 2] + 1
        : same;
      row[j] = Math.min(rows[i - 1][j] + 1, row[j - 1] + 1, same, swapped);
    }
  }
  return rows[a.length][b.length];
}

/**
 * Returns a host: an IPv6 address without its brackets, if it has any.
 * @throws {UsageError} If `text` has a port, or can't be a name or an address.
 */
export function toHost(name: string, text: string): string {
  const host = text.replace(/^\[(.*:.*)\]$/, "$1");
  if (host.includes(":") ? isIPv6(host) : /^[^\s/[\]]+$/.test(host)) return host;
  throw new UsageError(`${name} must be a name or an address, without a port, not ${text}`);
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
