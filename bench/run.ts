/** Shared by the benchmarks: compiling, starting and running programs, medians and tables. */
import { freePort } from "../tools/judge/process.ts";

const BIN = new URL("bin/", import.meta.url).pathname;
/** The path of deno, which may not be on PATH. */
const DENO = Deno.execPath();

/** How long to measure each cell of a benchmark, and how many times. */
export interface Effort {
  seconds: number;
  rounds: number;
}

/** Reads the effort from a command line: `[SECONDS] [ROUNDS]`. */
export function effort(seconds: number, rounds: number, args: string[] = Deno.args): Effort {
  return { seconds: Number(args[0] ?? seconds), rounds: Number(args[1] ?? rounds) };
}

/** The path of a file in this folder. */
export function here(name: string): string {
  return new URL(name, import.meta.url).pathname;
}

/** The path of a file that a benchmark makes. */
export function temporary(name: string): string {
  Deno.mkdirSync(BIN, { recursive: true });
  return BIN + name;
}

/** The command that runs a script with Deno. */
export function deno(path: string, ...args: string[]): string[] {
  return [DENO, "run", "--quiet", "--no-check", "--no-config", "--allow-all", here(path), ...args];
}

/** Compiles C or Go; returns the program, named like the first file, undefined without a compiler. */
export async function compile(source: string, ...more: string[]): Promise<string | undefined> {
  const path = here(source);
  const program = temporary(path.split("/").at(-1)!.replace(/\.(c|go)$/, ""));
  const command = path.endsWith(".go")
    ? ["go", "build", "-o", program, path]
    : ["gcc", "-O2", "-Wall", "-o", program, path, ...more.map(here)];
  if (!has(command[0])) return undefined;
  await run(command);
  return program;
}

/** Whether a program is installed. */
export function has(program: string): boolean {
  return new Deno.Command("sh", { args: ["-c", `command -v ${program}`] }).outputSync().success;
}

/** Runs a program and returns what it printed. */
export async function run(
  [command, ...args]: string[],
  options: Deno.CommandOptions = {},
): Promise<string> {
  const output = await new Deno.Command(command, { args, stderr: "inherit", ...options }).output();
  if (!output.success) throw new Error(`${command} ${args.join(" ")} ended with ${output.code}`);
  return new TextDecoder().decode(output.stdout).trim();
}

/** Starts a program that prints its port. */
export async function start(
  [command, ...args]: string[],
): Promise<[Deno.ChildProcess, port: string]> {
  const process = new Deno.Command(command, { args, stdout: "piped" }).spawn();
  const reader = process.stdout.getReader();
  const { value } = await reader.read();
  await reader.cancel();
  return [process, new TextDecoder().decode(value).trim()];
}

/** The most milliseconds until a server listens. */
const START = 10_000;

/** A server on a free port. */
export interface Running extends AsyncDisposable {
  port: string;
}

/** Starts a server, with its output in files of its name, and waits until it accepts. */
export async function startServer(
  name: string,
  command: (port: string) => string[],
  env: Record<string, string> = {},
): Promise<Running> {
  const port = `${freePort()}`;
  const quoted = command(port).map((arg) => `'${arg}'`).join(" ");
  // In a session of its own, so that its children can be killed with it.
  const process = new Deno.Command("setsid", {
    args: [
      "sh",
      "-c",
      `exec ${quoted} > '${temporary(`${name}.stdout`)}' 2> '${temporary(`${name}.stderr`)}'`,
    ],
    env,
  }).spawn();
  const end = async () => {
    try {
      Deno.kill(-process.pid, "SIGKILL");
    } catch {
      // All have exited.
    }
    await process.status;
  };
  for (const late = performance.now() + START;;) {
    try {
      (await Deno.connect({ hostname: "127.0.0.1", port: Number(port) })).close();
      return { port, [Symbol.asyncDispose]: end };
    } catch (error) {
      if (performance.now() > late) {
        await end();
        throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

/** The median. */
export function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}

/** A Markdown table. All columns but the first are numbers. */
export function table(head: string[], rows: string[][]): string {
  const lines = [head, head.map((_, i) => i === 0 ? "---" : "---:"), ...rows];
  return lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

/** Prints a Markdown table. */
export function printTable(head: string[], rows: string[][]): void {
  console.log(table(head, rows) + "\n");
}

/** Prints what couldn't be measured, and why. */
export function printMissing(missing: string[]): void {
  if (missing.length > 0) console.log(`left out: ${missing.join("; ")}\n`);
}
