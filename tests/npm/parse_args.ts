/** A stand-in for `parseArgs` of `@std/cli`, which is modelled on minimist. */
import minimist from "npm:minimist@^1.2.8";

/** The options of `parseArgs` that this project uses. */
export interface ParseOptions {
  string?: string[];
  boolean?: string[];
  alias?: Record<string, string>;
  unknown?: (arg: string) => unknown;
}

/** Parses command line arguments. */
export const parseArgs: (
  args: string[],
  options?: ParseOptions,
) => { _: string[]; [flag: string]: unknown } = minimist;
