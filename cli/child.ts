/** Programs that this one starts. */

/** A program that runs, with its standard input at hand. */
export class Child {
  readonly process: Deno.ChildProcess;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;

  constructor(command: string, options: Omit<Deno.CommandOptions, "stdin">) {
    this.process = new Deno.Command(command, { ...options, stdin: "piped" }).spawn();
    this.#stdin = this.process.stdin.getWriter();
  }

  /** Writes to its standard input, if that is still open. */
  async type(text: string): Promise<void> {
    await this.#stdin.write(new TextEncoder().encode(text)).catch(() => {});
  }

  /** Closes its standard input. */
  async closeInput(): Promise<void> {
    await this.#stdin.close().catch(() => {});
  }

  /** Sends it a signal, unless it has ended. */
  signal(signal: Deno.Signal): void {
    try {
      this.process.kill(signal);
    } catch {
      // It has ended.
    }
  }

  /** Kills it, and waits until it has ended. */
  async kill(): Promise<void> {
    this.signal("SIGKILL");
    await this.process.status;
  }
}

/** The lines of a stream; what is behind the last newline isn't one. */
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
