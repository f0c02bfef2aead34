/** The programs of the scene: real processes, watched through their trace. */
import { inTime } from "../../net/time.ts";
import type { Lane } from "./figure.ts";

/** The most milliseconds to wait for an event. */
const PATIENCE = 20_000;

/** A line of a trace. */
export interface Traced {
  /** When the line arrived, in milliseconds of this program's clock. */
  time: number;
  /** The name of the call, such as `accept`, and its arguments. */
  name: string;
  args: string[];
  result: string;
}

/** Parses a line of a trace; undefined if it isn't one. */
export function parseTrace(line: string): Traced | undefined {
  const [seconds, side, call, result] = line.trim().split(/ {2,}/);
  if (!/^\d+\.\d{3}$/.test(seconds) || !/^(server|client)$/.test(side)) return undefined;
  const [, name, args = ""] = /^(\w+)(?:\((.*)\))?/.exec(call) ?? [];
  return { time: performance.now(), name, args: args.split(", "), result };
}

/** Starts a program of this project, with `--trace` on its standard error. */
export function spawn(name: string, ...args: string[]): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--quiet",
      "--no-prompt",
      "--allow-net",
      "--allow-run=cat",
      new URL(`../../${name}`, import.meta.url).href,
      ...args,
      "--trace",
    ],
    env: { NO_COLOR: "1" },
    stdin: "piped",
    stdout: "null",
    stderr: "piped",
  }).spawn();
}

/** The lines of a stream. */
export async function* lines(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
): AsyncGenerator<string> {
  let text = "";
  for await (const chunk of stream.pipeThrough(new TextDecoderStream())) {
    const parts = (text + chunk).split("\n");
    text = parts.pop()!;
    yield* parts;
  }
}

/** A server or client process. */
export class Actor {
  readonly lane: Lane;
  readonly #name: string;
  readonly #process: Deno.ChildProcess;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  readonly #events: Traced[] = [];
  /** The last traced length of the server's queue. */
  #queue: Traced | undefined;
  #port: string | undefined;
  #change = Promise.withResolvers<void>();
  #lastLine = "";
  #ended = false;

  /** Starts a program of this project, with `--trace`. */
  constructor(lane: Lane, name: string, ...args: string[]) {
    this.lane = lane;
    this.#name = name;
    this.#process = spawn(name, ...args);
    this.#stdin = this.#process.stdin.getWriter();
    this.#read();
  }

  /** Resolves to the port a server listens on. */
  async port(): Promise<string> {
    return await this.#find(() => this.#port, "port");
  }

  /** Resolves to the next event; throws if its name isn't `name`. */
  async next(name?: string): Promise<Traced> {
    const event = await this.#find(() => this.#events.shift(), name ?? "event");
    if (name !== undefined && event.name !== name) {
      throw new Error(`${this.#name}: ${event.name}, not ${name}`);
    }
    return event;
  }

  /** Resolves to the last traced length of the server's queue, once there is one. */
  async queue(): Promise<Traced> {
    return await this.#find(() => this.#queue, "queue");
  }

  /** Types a line. */
  async type(line: string): Promise<void> {
    await this.#stdin.write(new TextEncoder().encode(line));
  }

  /** Types Ctrl-D. */
  async endInput(): Promise<void> {
    await this.#stdin.close();
  }

  /** Kills the process if it is still running. */
  async kill(): Promise<void> {
    try {
      this.#process.kill("SIGKILL");
    } catch {
      // Already ended.
    }
    await this.#process.status;
  }

  async #find<T>(take: () => T | undefined, name: string): Promise<T> {
    const cancel = inTime(PATIENCE, () => {
      this.#ended = true;
      this.#change.resolve();
    });
    try {
      for (;;) {
        const found = take();
        if (found !== undefined) return found;
        if (this.#ended) throw new Error(`${this.#name}: no ${name}: ${this.#lastLine}`);
        await this.#change.promise;
      }
    } finally {
      cancel();
    }
  }

  async #read(): Promise<void> {
    for await (const line of lines(this.#process.stderr)) this.#take(line);
    this.#ended = true;
    this.#wake();
  }

  #take(line: string): void {
    this.#lastLine = line;
    this.#port ??= /^listening on .*:(\d+) \(/.exec(line)?.[1];
    const event = parseTrace(line);
    if (event?.name === "queue") this.#queue = event;
    else if (event !== undefined) this.#events.push(event);
    this.#wake();
  }

  #wake(): void {
    this.#change.resolve();
    this.#change = Promise.withResolvers();
  }
}
