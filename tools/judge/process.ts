/** Programs that judge starts: a client, or a server and what /proc shows of it. */
import { constants } from "node:os";
import { Child } from "../../cli/child.ts";
import { sleep, within } from "../../net/time.ts";
import { openClientfd } from "../../client.ts";
import { Failure } from "./case.ts";
import { bytes, text } from "./bytes.ts";
import { useful } from "./seen.ts";
import {
  checkProc,
  descriptorLimit,
  descriptors,
  firstClientPort,
  Group,
  keepsMemory,
  links,
  listeners,
  memory,
  pids,
  type Stat,
  statOf,
} from "./proc.ts";

/** The most bytes kept of a program's output. */
const KEPT = 1 << 20;
/** Milliseconds between two looks: at first, and at most. */
const LOOK = 20;
const MAX_LOOK = 200;
/** Milliseconds for a program that closes its connections to end, and for its output to arrive. */
const LAST_WORDS = 100;
/** Milliseconds for killed processes to be gone. */
const KILLED = 30_000;
/** Descriptors that a language's runtime may take in the meantime. */
export const SOME_DESCRIPTORS = 10;
/** Ports below this one are left alone. */
const FIRST_PORT = 10_000;

/** Exit codes of a shell that couldn't run a command. */
const NO_COMMAND = [126, 127];

/** The resources a server holds. */
export interface Held {
  descriptors: number;
  /** Private memory, in bytes. */
  memory: number;
  /** Zombies: processes that have ended and that it hasn't waited for. */
  zombies: number;
  processes: number;
}

/** Fills in placeholders such as {port} in a command line. */
export function command(template: string, values: Record<string, string | number>): string {
  return template.replace(/\{(\w+)\}/g, (all, name) => `${values[name] ?? all}`);
}

/** A command line that runs, with sh. */
export class Program extends Child {
  /** Its processes; undefined where /proc may not be read. */
  readonly group: Group | undefined;
  /** Its standard output so far, up to 1 MiB. */
  stdout = "";
  stderr = "";
  /** Its status, once it has exited. */
  status: Deno.CommandStatus | undefined;
  readonly ended: Promise<Deno.CommandStatus>;
  /** Resolves when it has exited and all of its output has been read. */
  readonly finished: Promise<Deno.CommandStatus>;
  readonly #read: Promise<unknown>;

  constructor(commandLine: string) {
    // Without a shell in between, the program's own end is seen.
    const simple = !/[;&|<>()`$\n]|^\s*(\w+=|(exec|cd|ulimit|umask|\.)\s)/.test(commandLine);
    super("/bin/sh", {
      args: ["-c", simple ? `exec ${commandLine}` : commandLine],
      stdout: "piped",
      stderr: "piped",
      detached: true, // in a session of its own, so that a signal reaches its processes
    });
    this.group = group(this.process.pid);
    this.#read = Promise.all([
      this.#keep(this.process.stdout, (text) => this.stdout += text),
      this.#keep(this.process.stderr, (text) => this.stderr += text),
    ]);
    this.ended = this.process.status.then((status) => this.status = status);
    this.finished = this.#read.then(() => this.ended);
  }

  /** Says how it ended, and the most useful line of its standard error. */
  said(): string {
    const { code = 0, signal } = this.status ?? {};
    // A shell tells a signal by 128 more.
    const by = signal ?? Object.entries(constants.signals).find(([, n]) => n === code - 128)?.[0];
    return `ended ${by ? `by ${by}` : `with exit code ${code}`}${this.lastLine()}`;
  }

  /** The most useful line of its standard error, behind a colon; empty if there is none. */
  lastLine(): string {
    const last = useful(new TextDecoder().decode(bytes(this.stderr)));
    return last ? `: ${last}` : "";
  }

  /** What its end is: judge's failure, if there is no such command, else the program's. */
  failure(message: string): Error {
    const { code = 0 } = this.status ?? {};
    return NO_COMMAND.includes(code) ? new Error(message) : new Failure(message);
  }

  /** Kills it and everything it started, and waits until they have ended. */
  override async kill(): Promise<void> {
    send(-this.process.pid, "SIGKILL");
    const end = performance.now() + KILLED;
    for (let left; (left = this.group?.running() ?? []).length > 0;) {
      if (performance.now() > end) break;
      for (const { pid } of left) send(pid, "SIGKILL");
      await sleep(LOOK / 4);
    }
    await this.ended;
    await this.closeInput();
    // A process that wasn't found may still hold the output open.
    await within(1000, this.#read);
  }

  async #keep(stream: ReadableStream<Uint8Array>, add: (text: string) => void): Promise<void> {
    let size = 0;
    for await (const part of stream) {
      if ((size += part.length) <= KEPT) add(text(part));
    }
  }
}

/** A server started by judge. */
export class Started implements AsyncDisposable {
  readonly #template: string;
  readonly #timeout: number;
  #program: Program | undefined;
  #port = 0;
  /** Whether it serves, but no process of it can be seen. */
  #unseen = false;

  constructor(template: string, timeout: number) {
    this.#template = template;
    this.#timeout = timeout;
  }

  /** The program started last. */
  get program(): Program {
    return this.#program!;
  }

  /**
   * Starts the server, after stopping it if it is running. Default port: a free one. Returns the
   * first connection to it.
   */
  async start(port: number = freePort()): Promise<Deno.TcpConn> {
    await this.stop();
    const program = new Program(command(this.#template, { port }));
    this.#program = program;
    this.#port = port;
    this.#unseen = false;
    const end = performance.now() + 2 * this.#timeout;
    const daemon = performance.now() + this.#timeout / 5;
    for (;;) {
      for (const host of ["127.0.0.1", "::1"]) {
        try {
          const connfd = await openClientfd(host, port, { connectTimeout: this.#timeout });
          this.#unseen = program.status !== undefined && this.listener() === undefined;
          return connfd;
        } catch {
          // Not listening yet.
        }
      }
      // A daemon's first process ends before it listens.
      const over = program.status?.success ? performance.now() > daemon : program.status;
      const gone = over ? await this.ended() : undefined;
      if (gone !== undefined) throw program.failure(gone);
      if (performance.now() > end) {
        const elsewhere = this.#elsewhere();
        await this.stop();
        throw new Failure(
          `the server didn't listen on port ${port}${elsewhere}${program.lastLine()}`,
        );
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
    if (program === undefined || this.#unseen) return undefined;
    // The program may have left the serving to another process.
    const runs = () => program.group!.running().length > 0;
    if (runs() && !(await until(() => !runs(), LAST_WORDS))) return undefined;
    await within(this.#timeout, program.finished);
    return `the server ${program.said()}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Kills the server. */
  async stop(): Promise<void> {
    await this.#program?.kill();
    this.#program = undefined;
  }

  /** Pauses its processes with SIGSTOP. Returns a function that continues them. */
  async pause(): Promise<() => Promise<void>> {
    const processes = this.processes();
    for (const { pid } of processes) send(pid, "SIGSTOP");
    const end = performance.now() + this.#timeout;
    while (processes.some(({ pid }) => /[^TtZX]/.test(statOf(pid)?.state ?? "X"))) {
      if (performance.now() > end) break;
      await sleep(1);
    }
    return () => Promise.resolve(processes.forEach(({ pid }) => send(pid, "SIGCONT")));
  }

  /** Sends SIGTERM to the process that listens; false if it still runs after the timeout. */
  async terminate(): Promise<boolean> {
    const listener = this.listener();
    if (listener === undefined) throw new Failure(await this.ended() ?? "nobody listens any more");
    const { pid, since } = listener;
    send(pid, "SIGTERM");
    const gone = () => {
      const stat = statOf(pid);
      return stat?.since !== since || /[ZX]/.test(stat.state);
    };
    return await until(gone, this.#timeout);
  }

  /** Its processes that haven't ended, oldest first. */
  processes(): Stat[] {
    return this.program.group!.running();
  }

  /** The process that listens on the port: the oldest, if several do; undefined if none is seen. */
  listener(): Stat | undefined {
    const ports = listeners();
    const listens = (pid: number) => links(pid).some((link) => ports.get(link) === this.#port);
    const mine = this.processes().find(({ pid }) => listens(pid));
    if (mine !== undefined) return mine;
    // The port was free: whoever listens there now was started by the program.
    for (const pid of pids().filter(listens)) this.program.group!.adopt(pid);
    return this.processes().find(({ pid }) => listens(pid));
  }

  /** Says on which other ports it listens, or that it hasn't been told which. */
  #elsewhere(): string {
    const ports = listeners();
    const others = new Set(
      this.processes().flatMap(({ pid }) => links(pid).flatMap((link) => ports.get(link) ?? [])),
    );
    const where = others.size > 0 ? `, but on ${[...others].join(" and ")}` : "";
    return where + (this.#template.includes("{port}") ? "" : ": --start has no {port}");
  }

  /**
   * The resources it holds. Waits until they are down to `before`, for at most the timeout of a
   * wait.
   */
  async held(before?: Held): Promise<Held> {
    const down = () => {
      const held = this.#held();
      return before === undefined || held.descriptors <= before.descriptors + SOME_DESCRIPTORS &&
          held.processes <= before.processes;
    };
    await until(down, this.#timeout);
    return this.#held();
  }

  #held(): Held {
    const processes = this.program.group!.all();
    const pids = new Set(processes.map(({ pid }) => pid));
    const held = { descriptors: 0, memory: 0, zombies: 0, processes: 0 };
    for (const { pid, parent, state } of processes) {
      if (state === "Z") {
        // If the parent has exited, the zombie is init's to reap, not the server's.
        if (pids.has(parent)) held.zombies++;
        continue;
      }
      held.processes++;
      held.descriptors += descriptors(pid);
      held.memory += memory(pid);
    }
    return held;
  }

  /** The CPU time it has taken so far, in clock ticks. */
  ticks(): number {
    return this.processes().reduce((sum, { ticks }) => sum + ticks, 0);
  }

  /** Why the memory it keeps doesn't show a leak; undefined if it does. */
  keepsMemory(): string | undefined {
    return this.processes().map(({ pid }) => keepsMemory(pid)).find((why) => why !== undefined);
  }

  /** The most descriptors that its processes may have open. */
  descriptorLimit(): number {
    return Math.min(...this.processes().map(({ pid }) => descriptorLimit(pid)));
  }
}

/** The ports given out so far. */
const given = new Set<number>();

/** Finds a free port, none that was used before or that the system gives to clients. */
export function freePort(): number {
  const ports = firstClientPort() - FIRST_PORT;
  for (;;) {
    const port = FIRST_PORT + Math.floor(Math.random() * ports);
    if (given.has(port)) continue;
    try {
      Deno.listen({ hostname: "0.0.0.0", port }).close();
      given.add(port);
      return port;
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
}

/** Polls until `holds` returns true; false if it doesn't within `ms` milliseconds. */
export async function until(
  holds: () => boolean | Promise<boolean>,
  ms: number,
): Promise<boolean> {
  const end = performance.now() + ms;
  for (let look = LOOK; !(await holds()); look = Math.min(2 * look, MAX_LOOK)) {
    if (performance.now() > end) return false;
    await sleep(look);
  }
  return true;
}

function group(pid: number): Group | undefined {
  try {
    checkProc();
    return new Group(pid);
  } catch {
    return undefined;
  }
}

function send(pid: number, signal: Deno.Signal): void {
  try {
    Deno.kill(pid, signal);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error; // it has exited
  }
}
