/** What the benchmarks share: programs to compile, start and run, medians and tables. */

const BIN = new URL("bin/", import.meta.url).pathname;
/** A program of the same run, on PATH or not. */
const DENO = Deno.execPath();

/** How long a cell of a benchmark is measured, and how often. */
export interface Effort {
  seconds: number;
  rounds: number;
}

/** The effort of a command line, `[SECONDS] [ROUNDS]`. */
export function effort(seconds: number, rounds: number, args: string[] = Deno.args): Effort {
  return { seconds: Number(args[0] ?? seconds), rounds: Number(args[1] ?? rounds) };
}

/** The path of a file of this folder. */
export function here(name: string): string {
  return new URL(name, import.meta.url).pathname;
}

/** The path of a file that a benchmark makes. */
export function temporary(name: string): string {
  Deno.mkdirSync(BIN, { recursive: true });
  return BIN + name;
}

/** How a script is run by Deno. */
export function deno(path: string, ...args: string[]): string[] {
  return [DENO, "run", "--quiet", "--no-check", "--no-config", "--allow-all", here(path), ...args];
}

/** Compiles a C or Go file of this folder, and returns the program; undefined without compiler. */
export async function compile(source: string): Promise<string | undefined> {
  const path = here(source);
  const program = temporary(path.split("/").at(-1)!.replace(/\.(c|go)$/, ""));
  const command = path.endsWith(".go")
    ? ["go", "build", "-o", program, path]
    : ["gcc", "-O2", "-Wall", "-o", program, path];
  if (!has(command[0])) return undefined;
  await run(command);
  return program;
}

/** Whether a program is on this machine. */
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

/** A port that was free a moment ago. */
function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

/** Milliseconds that a server has to listen. */
const START = 10_000;

/** A server on a free port. */
export interface Running extends AsyncDisposable {
  port: string;
}

/** Starts a server whose output goes to files of its name, and waits until it accepts. */
export async function startServer(
  name: string,
  command: (port: string) => string[],
  env: Record<string, string> = {},
): Promise<Running> {
  const port = `${freePort()}`;
  const quoted = command(port).map((arg) => `'${arg}'`).join(" ");
  // In a session of its own, so that what it forks ends with it.
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
      // All of them have ended.
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

/** The one in the middle. */
export function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}

/** A table in Markdown, all columns of which but the first are numbers. */
export function table(head: string[], rows: string[][]): string {
  const lines = [head, head.map((_, i) => i === 0 ? "---" : "---:"), ...rows];
  return lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

/** Prints such a table. */
export function printTable(head: string[], rows: string[][]): void {
  console.log(table(head, rows) + "\n");
}

/** Says what couldn't be measured, and why. */
export function printMissing(missing: string[]): void {
  if (missing.length > 0) console.log(`left out: ${missing.join("; ")}\n`);
}
