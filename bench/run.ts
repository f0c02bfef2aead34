/** What the benchmarks share: programs to compile, start and run, and the median. */

const BIN = new URL("bin/", import.meta.url).pathname;

/** Compiles a C or Go file of `peers/`, or of the path given, and returns the program. */
export async function compile(source: string): Promise<string> {
  await Deno.mkdir(BIN, { recursive: true });
  const path = new URL(`peers/${source}`, import.meta.url).pathname;
  const program = BIN + path.split("/").at(-1)!.replace(/\.(c|go)$/, "");
  await run(
    path.endsWith(".go")
      ? ["go", "build", "-o", program, path]
      : ["gcc", "-O2", "-Wall", "-o", program, path],
  );
  return program;
}

/** Whether a program is on this machine. */
export function has(program: string): boolean {
  return new Deno.Command("sh", { args: ["-c", `command -v ${program}`] }).outputSync().success;
}

/** Runs a program and returns what it printed. */
export async function run(
  [command, ...args]: string[],
): Promise<string> {
  const output = await new Deno.Command(command, {
    args,
    stderr: "inherit",
  }).output();
  if (!output.success) {
    throw new Error(`${command} ${args.join(" ")} ended with ${output.code}`);
  }
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

/** The one in the middle. */
export function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}

/** A port that was free a moment ago. */
export function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

/** Starts a server whose output goes to a file, and waits until it accepts. */
export async function serverOn(
  port: string,
  [command, ...args]: string[],
): Promise<AsyncDisposable> {
  const quoted = [command, ...args].map((arg) => `'${arg}'`).join(" ");
  const process = new Deno.Command("sh", {
    args: ["-c", `exec ${quoted} > '${BIN}stdout' 2> '${BIN}stderr'`],
  }).spawn();
  for (;;) {
    try {
      (await Deno.connect({ hostname: "127.0.0.1", port: Number(port) }))
        .close();
      break;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  return {
    async [Symbol.asyncDispose]() {
      process.kill("SIGKILL");
      await process.status;
    },
  };
}
