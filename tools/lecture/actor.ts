/** The programs of the scene: real processes, watched through their trace. */
import { Child, lines } from "../../cli/child.ts";
import { inTime } from "../../net/time.ts";
import type { Lane } from "./figure.ts";

/** The most milliseconds to wait for an event. */
export const PATIENCE = 20_000;

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
function parseTrace(line: string): Traced | undefined {
  const [seconds, side, call, result] = line.trim().split(/ {2,}/);
  if (!/^\d+\.\d{3}$/.test(seconds) || !/^(server|client)$/.test(side)) return undefined;
  const [, name, args = ""] = /^(\w+)(?:\((.*)\))?/.exec(call) ?? [];
  return { time: performance.now(), name, args: args.split(", "), result };
}

/** A program of this project, with `--trace` on its standard error. */
export class Traceable extends Child {
  constructor(name: string, ...args: string[]) {
    const program = new URL(`../../${name}`, import.meta.url).href;
    const run = ["run", "--quiet", "--no-prompt", "--allow-net", "--allow-run=cat", program];
    super(Deno.execPath(), {
      args: [...run, ...args, "--trace"],
      env: { NO_COLOR: "1" },
      stdout: "null",
      stderr: "piped",
    });
  }
}

/** A server or client of the scene. */
export class Actor extends Traceable {
  readonly lane: Lane;
  readonly #name: string;
  readonly #events: Traced[] = [];
  /** The last traced length of the server's queue. */
  #queue: Traced | undefined;
  #port: string | undefined;
  #change = Promise.withResolvers<void>();
  #lastLine = "";
  #ended = false;

  constructor(lane: Lane, name: string, ...args: string[]) {
    super(name, ...args);
    this.lane = lane;
    this.#name = name;
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
    for await (const line of lines(this.process.stderr)) this.#take(line);
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
