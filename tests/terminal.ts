/** The terminals of a page that shows them: what they show is what happens. */
import { assertEquals } from "@std/assert";
import { sleep, within } from "../net/time.ts";
import { queueLength } from "../server/queue_length.ts";
import { bytes, type Output, Program, tempDir } from "./helpers.ts";

/** What is fenced in a page, by its language. */
export function fenced(page: string, language: string): string[] {
  return [...page.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, "gm"))]
    .map(([, code]) => code);
}

/**
 * What differs from run to run: times, ports, process ids, numbers of descriptors, sizes of buffers,
 * and whether localhost is 127.0.0.1 or ::1.
 */
function masked(line: string): string {
  return line.replace(/^ +\d+\.\d{3} {2}/, "TIME  ")
    .replace(/in \d+\.\d s/, "in TIME s")
    .replaceAll("[::1]", "127.0.0.1")
    .replace(/^(TIME {2}client {2}socket\(AF_INET)6/, "$1")
    .replaceAll(/(:|, |")\d{4,5}\b/g, "$1PORT")
    .replace(/^usage: (\S+) .*/, "usage: $1")
    .replace(/^(\w+\()\d+(?=[,)])/, "$1FD").replace(/^((?:socket|accept4)\(.*) = \d+$/, "$1 = FD")
    .replace(/^(recvfrom.*"), \d+, /, "$1, N, ")
    .replace(/pid=\d+,fd=\d+/g, "pid=PID,fd=FD")
    .replaceAll(/(127\.0\.0\.1\.)\d{4,5}\b/g, "$1PORT")
    .replace(/^\d+( packets (?:received|dropped) by)/, "N$1")
    .replace(/^State .*/, (heads) => heads.replaceAll(" ", ""))
    .replaceAll(/ +/g, " ").trimEnd();
}

/** Whether a line is told on standard error, and not printed on standard output. */
function isTold(line: string): boolean {
  return /^( +\d+\.\d{3} {2}|listening on |(server|client|tcpdump): |usage: |\d+ packets )/.test(
    line,
  );
}

/** Milliseconds that a line may take to come. */
const PATIENCE = 20_000;

/** One of the reader's terminals. */
class Terminal {
  #program: Program | undefined;
  #shown = { stdout: 0, stderr: 0 };

  /** Does what stands in a block: commands, lines that are typed, and lines that come. */
  async play(block: string, here: (text: string) => string): Promise<void> {
    if (block.startsWith("$ ss ")) return await this.#look(block, here);
    for (const line of block.split("\n")) {
      if (line.startsWith("$ ")) await this.#start(here(line.slice(2)));
      else if (line.endsWith("⏎")) await this.#program!.write(line.replace("⏎", "\n"));
      else if (line === "^D") await this.#program!.closeInput();
      else if (line === "^C") await this.#interrupt();
      else await this.#expect(here(line));
    }
  }

  /** Looks with ss until it shows what stands in a block, in any order. */
  async #look(block: string, here: (text: string) => string): Promise<void> {
    const [command, ...shown] = block.split("\n");
    const rows = (lines: string[]) => lines.map(masked).sort();
    const until = performance.now() + PATIENCE;
    for (;;) {
      await this.#start(here(command.slice(2)));
      const program = this.#program!;
      this.#program = undefined;
      await program.code();
      const seen = rows(lines(program.stdout));
      if (`${seen}` === `${rows(shown)}`) return;
      if (performance.now() > until) assertEquals(seen, rows(shown));
      await sleep(50);
    }
  }

  async #start(command: string): Promise<void> {
    await this.end();
    // A terminal of its own, in which Ctrl-C is for all of the command.
    const script = `deno() { '${Deno.execPath()}' "$@"; }; ${command}`;
    this.#program = new Program("setsid", ["sh", "-c", script]);
    this.#shown = { stdout: 0, stderr: 0 };
    const [, port] = /echoserveri\.ts (\d+)/.exec(command) ?? [];
    if (port !== undefined) await listening(Number(port));
  }

  async #interrupt(): Promise<void> {
    const { pid } = this.#program!.process;
    await new Deno.Command("kill", { args: ["-INT", "--", `-${pid}`] }).output();
  }

  async #expect(line: string): Promise<void> {
    const stream = isTold(line) ? "stderr" : "stdout";
    const output = this.#program![stream];
    const n = ++this.#shown[stream];
    const own = "(?:(?:Task|Download) .*\n)*";
    const come = output.until(new RegExp(`^(?:${own}(?!Task |Download ).*\n){${n}}`));
    await within(PATIENCE, come.catch(() => {}));
    assertEquals(masked(lines(output)[n - 1] ?? "(nothing)"), masked(line));
  }

  /** Waits for the end of the command, and holds that it has said no more than was shown. */
  async end(): Promise<void> {
    if (this.#program === undefined) return;
    await this.#program.code();
    for (const stream of ["stdout", "stderr"] as const) {
      assertEquals(lines(this.#program[stream]).slice(this.#shown[stream]), []);
    }
    this.#program = undefined;
  }

  async kill(): Promise<void> {
    if (this.#program === undefined) return;
    const { pid } = this.#program.process;
    await new Deno.Command("kill", { args: ["-KILL", "--", `-${pid}`], stderr: "null" }).output();
    await this.#program.code();
  }
}

/** The lines that a program has written, without those of Deno itself. */
function lines(output: Output): string[] {
  const decoded = new TextDecoder().decode(bytes(output.text));
  return decoded.split("\n").slice(0, -1).filter((line) => !/^(Task|Download) /.test(line));
}

/** Resolves when a program that doesn't say so listens on a port. */
export async function listening(port: number): Promise<void> {
  const addr = { transport: "tcp", hostname: "::", port } as const;
  while (typeof await queueLength(addr) !== "number") await sleep(20);
}

/** A port that no socket has, not even in TIME-WAIT, and that no client is ever given. */
function quietPort(): number {
  const sockets = ["tcp", "tcp6"].map((table) => Deno.readTextFileSync(`/proc/net/${table}`))
    .join();
  for (;;) {
    const port = 16000 + Math.floor(Math.random() * 16000); // ephemeral ones begin at 32768
    if (!sockets.includes(`:${port.toString(16).toUpperCase().padStart(4, "0")} `)) return port;
  }
}

/** Plays the screens of a page, on ports that are free now and in a folder of their own. */
export async function playPage(page: string): Promise<void> {
  await using dir = await tempDir();
  const [first, second] = [quietPort(), quietPort()];
  const here = (text: string) =>
    text.replaceAll("15213", `${first}`).replaceAll("15214", `${second}`)
      .replaceAll("/tmp/", `${dir.path}/`);
  const terminals = new Map<string, Terminal>();
  try {
    for (const screen of fenced(page, "console")) {
      const [, name, block] = /^# (terminal \d)\n([^]*)\n$/.exec(screen)!;
      if (!terminals.has(name)) terminals.set(name, new Terminal());
      await terminals.get(name)!.play(block, here);
    }
    for (const terminal of terminals.values()) await terminal.end();
  } finally {
    for (const terminal of terminals.values()) await terminal.kill();
  }
}
