/** Runs a program: command line in, exit code out. */
import { reason } from "../net/errors.ts";
import { within } from "../net/time.ts";
import { rioWriten } from "../rio.ts";
import { flushLog, log } from "./diagnostics.ts";
import { type CommandLine, type Flags, help, parseFlags, usage, UsageError } from "./flags.ts";
import { Stdout } from "./stdout.ts";

/** The version in deno.json, which a program run from a URL can't read. */
export const VERSION = "0.2.0";

/** The default port of all programs: the one of the book's examples. */
export const PORT = 15213;

/** The most milliseconds to flush standard output and standard error at exit. */
export const LAST_WORDS = 500;

/**
 * Runs a program: parses its command line, handles `--help` and `--version`, calls `main` and
 * exits with the code it returns. If it throws, the program prints one line on standard error
 * and exits with 1; on a {@linkcode UsageError} it adds the usage line and exits with 2.
 */
export async function run(
  commandLine: CommandLine,
  main: (flags: Flags, stdout: Stdout) => Promise<number>,
): Promise<never> {
  const { name } = commandLine;
  const stdout = new Stdout();
  try {
    const flags = parseFlags(Deno.args, commandLine);
    const print = (text: string) => rioWriten(stdout, new TextEncoder().encode(text));
    let code = 0;
    if (flags.set.has("help")) await print(help(commandLine));
    else if (flags.set.has("version")) await print(`${name} ${VERSION}\n`);
    else code = await main(flags, stdout);
    await stdout.flush();
    return await exit(code, stdout);
  } catch (error) {
    if (error instanceof UsageError) {
      log(`${name}: ${reason(error)}`);
      log(usage(commandLine));
      return await exit(2, stdout);
    }
    // The reader of standard output, such as `head`, has all it wants.
    if (error === stdout.error && error instanceof Deno.errors.BrokenPipe) return await exit(0);
    log(`${name}: ${reason(error)}`);
    return await exit(1, stdout);
  }
}

/**
 * Flushes standard output and standard error, for up to 0.5 s each, and exits; with 1 for 0 if
 * standard output couldn't be written.
 */
export async function exit(code: number, stdout?: Stdout): Promise<never> {
  const flushed = stdout?.flush().then(() => true, () => false) ?? Promise.resolve(true);
  const [written] = await Promise.all([within(LAST_WORDS, flushed), flushLog(LAST_WORDS)]);
  Deno.exit(written ? code : code || 1);
}
