/** What becomes of a program: its command line in, its exit code out. */
import { reason } from "../net/errors.ts";
import { within } from "../net/time.ts";
import { rioWriten } from "../rio.ts";
import { flushLog, log } from "./diagnostics.ts";
import { type CommandLine, type Flags, help, parseFlags, usage, UsageError } from "./flags.ts";
import { Stdout } from "./stdout.ts";

/** The version of deno.json, which a program run from a URL can't read. */
export const VERSION = "0.2.0";

/** The port of the programs unless one is given: csapp's own example. */
export const PORT = 15213;

/** Milliseconds that standard output and standard error have when a program must end. */
export const LAST_WORDS = 500;

/**
 * Runs a program: parses its command line, answers `--help` and `--version`, calls `main`
 * and ends with its exit code; with 1 and one line on standard error if it throws, with 2
 * and the usage line if it throws a `UsageError`.
 */
export async function run(
  commandLine: CommandLine,
  main: (flags: Flags, stdout: Stdout) => Promise<number>,
): Promise<never> {
  const { name } = commandLine;
  const stdout = new Stdout();
  try {
    const flags = await parseFlags(Deno.args, commandLine);
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
    // Whoever read standard output, `head` say, has enough.
    if (error === stdout.error && error instanceof Deno.errors.BrokenPipe) return await exit(0);
    log(`${name}: ${reason(error)}`);
    return await exit(1, stdout);
  }
}

/** Ends the program, even where nobody reads what it has left to say. */
export async function exit(code: number, stdout?: Stdout): Promise<never> {
  const flushed = stdout?.flush().catch(() => {}) ?? Promise.resolve();
  await Promise.all([within(LAST_WORDS, flushed), flushLog(LAST_WORDS)]);
  Deno.exit(code);
}
