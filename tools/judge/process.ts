/** A server started by judge: its process, its output, and what /proc shows of it. */
import { sleep, within } from "../../net/time.ts";
import { openClientfd } from "../../client.ts";
import { Failure } from "./case.ts";

/** The most bytes kept of a program's output. */
const KEPT = 1 << 20;
/** Milliseconds between two checks. */
const LOOK = 20;
/** Milliseconds for a program that closes its connections to end, and for its output to arrive. */
const LAST_WORDS = 100;

/** The resources a server holds. */
export interface Held {
  descriptors: number;
  /** Private memory, in bytes. */
  memory: number;
  /** Zombies: processes that have ended and that it hasn't waited for. */
  zombies: number;
  processes: number;
}

/** A process, from /proc/PID/stat. */
interface Stat {
  pid: number;
  parent: number;
  session: number;
  state: string;
}

/** Fills in placeholders such as {port} in a command line. */
export function command(template: string, values: Record<string, string | number>): string {
  return template.replace(/\{(\w+)\}/g, (all, name) => `${values[name] ?? all}`);
}

/** Starts a command line with sh, which a simple command replaces (exec). */
export function spawn(commandLine: string): Program {
  const simple = !/[;&|<>()`$\n]|^\s*\w+=/.test(commandLine);
  return new Program(simple ? `exec ${commandLine}` : commandLine);
}

/** A running program. */
export class Program {
  readonly process: Deno.ChildProcess;
  /** Its standard output so far, up to 1 MiB. */
  stdout = "";
  stderr = "";
  /** Its status, once it has exited. */
  status: Deno.CommandStatus | undefined;
  readonly ended: Promise<Deno.CommandStatus>;
  /** Resolves when it has exited and all of its output has been read. */
  readonly finished: Promise<Deno.CommandStatus>;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  readonly #read: Promise<unknown>;

  constructor(commandLine: string) {
    this.process = new Deno.Command("/bin/sh", {
      args: ["-c", commandLine],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
      detached: true, // in a session of its own, so that its processes can be found
    }).spawn();
    this.#stdin = this.process.stdin.getWriter();
    this.#read = Promise.all([
      this.#keep(this.process.stdout, (text) => this.stdout += text),
      this.#keep(this.process.stderr, (text) => this.stderr += text),
    ]);
    this.ended = this.process.status.then((status) => this.status = status);
    this.finished = this.#read.then(() => this.ended);
  }

  /** Writes to its standard input, if that is still open. */
  async type(text: string): Promise<void> {
    await this.#stdin.write(new TextEncoder().encode(text)).catch(() => {});
  }

  /** Closes its standard input. */
  async closeInput(): Promise<void> {
    await this.#stdin.close().catch(() => {});
  }

  /** Says how it ended, and the last line of its standard error. */
  said(): string {
    const { code, signal } = this.status ?? {};
    return `ended ${signal ? `by ${signal}` : `with exit code ${code}`}${this.lastLine()}`;
  }

  /** The last line of its standard error, behind a colon; empty if there is none. */
  lastLine(): string {
    const last = this.stderr.trim().split("\n").at(-1);
    return last ? `: ${last}` : "";
  }

  /** Kills it and everything it started, and waits until they have ended. */
  async kill(): Promise<void> {
    send(-this.process.pid, "SIGKILL");
    await this.ended;
    await this.closeInput();
    // A process that left the session may still hold the output open.
    await within(1000, this.#read);
  }

  async #keep(stream: ReadableStream<Uint8Array>, add: (text: string) => void): Promise<void> {
    const decoder = new TextDecoder("latin1");
    let size = 0;
    for await (const part of stream) {
      if ((size += part.length) <= KEPT) add(decoder.decode(part));
    }
  }
}

/** A server started by judge. */
export class Started {
  readonly #template: string;
  readonly #timeout: number;
  #program: Program | undefined;
  #port = 0;

  constructor(template: string, timeout: number) {
    this.#template = template;
    this.#timeout = timeout;
  }

  /** The program started last. */
  get program(): Program {
    return this.#program!;
  }

  /**
   * Starts the server, after stopping it if it is running. Default port: a free one.
   *
   * @returns The first connection to it.
   */
  async start(port: number = freePort()): Promise<Deno.TcpConn> {
    await this.stop();
    const program = spawn(command(this.#template, { port }));
    this.#program = program;
    this.#port = port;
    const end = performance.now() + 2 * this.#timeout;
    for (;;) {
      for (const host of ["127.0.0.1", "::1"]) {
        try {
          return await openClientfd(host, port, { connectTimeout: this.#timeout });
        } catch {
          // Not listening yet.
        }
      }
      if (program.status !== undefined) {
        await within(LAST_WORDS, program.finished);
        throw new Failure(`the server ${program.said()}`);
      }
      if (performance.now() > end) {
        await this.stop();
        throw new Failure(`the server didn't listen on port ${port}${program.lastLine()}`);
      }
      await sleep(LOOK);
    }
  }

  /** Starts it again on the same port. */
  async restart(): Promise<Deno.TcpConn> {
    return await this.start(this.#port);
  }

  /** How the server ended by itself; undefined if it runs. */
  async ended(): Promise<string | undefined> {
    const program = this.#program;
    if (program === undefined) return undefined;
    await within(LAST_WORDS, program.finished);
    if (program.status === undefined) return undefined;
    // The program may have left the serving to another process.
    const processes = await session(program.process.pid);
    if (processes.some(({ state }) => state !== "Z")) return undefined;
    return `the server ${program.said()}`;
  }

  /** Kills the server. */
  async stop(): Promise<void> {
    await this.#program?.kill();
    this.#program = undefined;
  }

  /** Pauses its processes with SIGSTOP. Returns a function that continues them. */
  async pause(): Promise<() => Promise<void>> {
    const processes = await session(this.program.process.pid);
    for (const { pid } of processes) send(pid, "SIGSTOP");
    const stopped = ({ state }: Stat) => state === "T" || state === "Z";
    for (let looks = 0; looks < 1000; looks++) {
      if ((await session(this.program.process.pid)).every(stopped)) break;
      await sleep(1);
    }
    return () => Promise.resolve(processes.forEach(({ pid }) => send(pid, "SIGCONT")));
  }

  /** Sends SIGTERM to the process that listens. */
  async terminate(): Promise<void> {
    send(await this.listener(), "SIGTERM");
  }

  /** The id of the process that listens on the port: the first, if several do. */
  async listener(): Promise<number> {
    const { pid } = this.program.process;
    const inodes = await listening(this.#port);
    for (const process of await session(pid)) {
      if (!(await links(process.pid)).some((link) => inodes.has(link))) continue;
      return process.pid;
    }
    return pid;
  }

  /**
   * The resources it holds. Waits until they are down to `before`, for at most the timeout of a
   * wait.
   */
  async held(before?: Held): Promise<Held> {
    const end = performance.now() + this.#timeout / 2;
    for (;;) {
      const held = await this.#held();
      const settled = before !== undefined && held.descriptors <= before.descriptors &&
        held.zombies <= before.zombies && held.processes <= before.processes;
      if (settled || performance.now() > end) return held;
      if (before === undefined && performance.now() > end - this.#timeout / 2 + 50) return held;
      await sleep(LOOK);
    }
  }

  async #held(): Promise<Held> {
    const processes = await session(this.program.process.pid);
    const pids = new Set(processes.map(({ pid }) => pid));
    const held = { descriptors: 0, memory: 0, zombies: 0, processes: 0 };
    for (const { pid, parent, state } of processes) {
      if (state === "Z") {
        // If the parent has exited, the zombie is init's to reap, not the server's.
        if (pids.has(parent)) held.zombies++;
        continue;
      }
      held.processes++;
      held.descriptors += (await links(pid)).length;
      const status = await read(`/proc/${pid}/status`);
      held.memory += Number(/^RssAnon:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
    }
    return held;
  }

  /** Whether one of its threads is running or runnable. */
  async runs(): Promise<boolean> {
    for (const { pid } of await session(this.program.process.pid)) {
      for (const task of await names(`/proc/${pid}/task`)) {
        const stat = parseStat(pid, await read(`/proc/${pid}/task/${task}/stat`));
        if (stat?.state === "R") return true;
      }
    }
    return false;
  }
}

/** Finds a free port. */
export function freePort(): number {
  using listenfd = Deno.listen({ hostname: "0.0.0.0", port: 0 });
  return listenfd.addr.port;
}

function send(pid: number, signal: Deno.Signal): void {
  try {
    Deno.kill(pid, signal);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error; // it has exited
  }
}

/** The processes of a session, oldest first. */
async function session(id: number): Promise<Stat[]> {
  const all: Stat[] = [];
  for (const name of await names("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const stat = parseStat(Number(name), await read(`/proc/${name}/stat`));
    if (stat?.session === id) all.push(stat);
  }
  return all.sort((a, b) => a.pid - b.pid);
}

/** Parses /proc/PID/stat: proc(5). The second field, the name, may contain anything. */
function parseStat(pid: number, text: string): Stat | undefined {
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  if (fields.length < 20) return undefined;
  const [state, parent, , session] = fields;
  return { pid, parent: Number(parent), session: Number(session), state };
}

/** What the descriptors of a process refer to. */
async function links(pid: number): Promise<string[]> {
  const folder = `/proc/${pid}/fd`;
  const link = (name: string) => Deno.readLink(`${folder}/${name}`).catch(() => "");
  return await Promise.all((await names(folder)).map(link));
}

/** The entries of a folder in /proc; none if the process has exited. */
async function names(folder: string): Promise<string[]> {
  try {
    return await Array.fromAsync(Deno.readDir(folder), ({ name }) => name);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    return [];
  }
}

/** The sockets listening on a port. */
async function listening(port: number): Promise<Set<string>> {
  const inodes = new Set<string>();
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  for (const table of ["tcp", "tcp6"]) {
    for (const line of (await read(`/proc/net/${table}`)).split("\n")) {
      const [, local, , state, , , , , , inode] = line.trim().split(/\s+/);
      if (local?.endsWith(`:${hex}`) && state === "0A") inodes.add(`socket:[${inode}]`);
    }
  }
  return inodes;
}

async function read(path: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    return ""; // it has exited
  }
}
