/** What each exercise asks of its file. */
import { assertEquals } from "@std/assert";
import { echo, Rio, rioWriten } from "@netp/rio";

/** Milliseconds that an answer may take. */
const PATIENCE = 10_000;

/** An exercise: throws unless a file does what it asks. */
export type Check = (file: URL, patience?: number) => Promise<void>;

export const CHECKS: Record<string, Check> = {
  async echo(file, patience) {
    const { echo } = await import(file.href);
    await using server = new Server(echo);
    for (const sent of ["hello\n", "one\ntwo\n\n", "a\0b\n", `${"x".repeat(9999)}\n`, "the end"]) {
      using client = await Client.connect(server.port, patience);
      await client.send(sent);
      await client.fd.closeWrite();
      assertEquals(await client.rest(), sent, "what comes back is what was sent");
    }
  },

  async leak(file, patience) {
    await using server = await Program.listening(file);
    for (const line of ["one\n", "two\n"]) {
      using client = await Client.connect(server.port, patience);
      await client.send(line);
      await client.fd.closeWrite();
      assertEquals(await client.rest(), line, "then the client sees EOF");
    }
  },

  async concurrent(file, patience) {
    await using server = await Program.listening(file);
    using silent = await Client.connect(server.port, patience);
    using second = await Client.connect(server.port, patience);
    await second.send("second\n");
    assertEquals(await second.line(), "second\n", "while the first client is silent");
    await second.fd.closeWrite();
    assertEquals(await second.rest(), "", "the second client sees EOF");
    await silent.send("first\n");
    assertEquals(await silent.line(), "first\n", "the first client is served, too");
  },

  async deadlock(file, patience) {
    await using server = new Server((connfd) => echo(connfd));
    for (const text of ["one\ntwo\n", "no newline", "one\nno newline"]) {
      await using client = new Program(file, "127.0.0.1", `${server.port}`);
      const output = await within(client.talk(text), "the client ends", patience);
      assertEquals(output, text);
    }
  },

  async protocol(file, patience) {
    const { answer } = await import(file.href);
    await using server = new Server(answer);
    using client = await Client.connect(server.port, patience);
    for (
      const [command, answer] of [
        ["echo hello, world", "hello, world"],
        ["add 1 2", "3"],
        ["add -5 3", "-2"],
        ["add one 2", "error: no such command"],
        ["", "error: no such command"],
        [`echo ${"x".repeat(74)}`, "x".repeat(74)], // 80 bytes with its newline
      ]
    ) {
      await client.send(`${command}\n`);
      assertEquals(await client.line(), `${answer}\n`, command);
    }
    await client.send("add 1 1\nquit\n");
    assertEquals(await client.rest(), "2\n", "two commands at once; then EOF");

    using long = await Client.connect(server.port, patience);
    await long.send("x".repeat(81)); // and no newline
    assertEquals(await long.rest(), "error: line too long\n", "then EOF");
  },
};

/** Settles like `promise`, or throws when it takes too long. */
async function within<T>(promise: Promise<T>, what: string, patience = PATIENCE): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`${what}: it never happened`)), patience);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** A server in this process, which closes each connection after its handler. */
class Server implements AsyncDisposable {
  readonly #listenfd = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly port = this.#listenfd.addr.port;
  readonly #served: Promise<void>[] = [];
  readonly #ended: Promise<void>;

  constructor(handler: (connfd: Deno.TcpConn) => Promise<void>) {
    this.#ended = this.#accept(handler);
  }

  async #accept(handler: (connfd: Deno.TcpConn) => Promise<void>) {
    for await (const connfd of this.#listenfd) this.#served.push(this.#serve(connfd, handler));
  }

  async #serve(connfd: Deno.TcpConn, handler: (connfd: Deno.TcpConn) => Promise<void>) {
    try {
      await handler(connfd);
    } catch {
      // The client sees that nothing comes back.
    } finally {
      connfd[Symbol.dispose](); // which may be called twice
    }
  }

  async [Symbol.asyncDispose]() {
    this.#listenfd.close();
    await this.#ended;
    await Promise.all(this.#served);
  }
}

/** A client that sends text and reads what comes back. */
class Client implements Disposable {
  readonly fd: Deno.TcpConn;
  readonly #rio: Rio;
  readonly #patience: number | undefined;

  private constructor(fd: Deno.TcpConn, patience?: number) {
    this.fd = fd;
    this.#rio = new Rio(fd);
    this.#patience = patience;
  }

  static async connect(port: number, patience?: number): Promise<Client> {
    return new Client(await Deno.connect({ hostname: "127.0.0.1", port }), patience);
  }

  async send(text: string): Promise<void> {
    await rioWriten(this.fd, new TextEncoder().encode(text));
  }

  /** The next line; empty at EOF. */
  async line(): Promise<string> {
    const line = await within(this.#rio.readline(), "an answer", this.#patience);
    return new TextDecoder().decode(line ?? new Uint8Array());
  }

  /** All lines until EOF. */
  async rest(): Promise<string> {
    let text = "";
    for (let line; (line = await this.line()) !== "";) text += line;
    return text;
  }

  [Symbol.dispose]() {
    this.fd.close();
  }
}

/** A program that is run with a file. */
class Program implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly port: number;

  constructor(file: URL, ...args: string[]) {
    this.port = Number(args.at(-1));
    this.#process = new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "--no-check", "--allow-net", file.href, ...args],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
  }

  /** A server that is given a free port, and listens on it. */
  static async listening(file: URL): Promise<Program> {
    const { port } = (() => {
      using listenfd = Deno.listen({ hostname: "127.0.0.1", port: 0 });
      return listenfd.addr;
    })();
    const program = new Program(file, `${port}`);
    const listens = async () => {
      for (;;) {
        try {
          (await Deno.connect({ hostname: "127.0.0.1", port })).close();
          return;
        } catch {
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
      }
    };
    try {
      await within(listens(), "the server listens");
    } catch (error) {
      await program[Symbol.asyncDispose]();
      throw error;
    }
    return program;
  }

  /** What the program answers to its input. */
  async talk(input: string): Promise<string> {
    const stdin = this.#process.stdin.getWriter();
    await stdin.write(new TextEncoder().encode(input));
    await stdin.close();
    return await new Response(this.#process.stdout).text();
  }

  async [Symbol.asyncDispose]() {
    try {
      this.#process.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await Promise.all([
      this.#process.status,
      this.#process.stdin.close().catch(() => {}),
      this.#process.stdout.cancel().catch(() => {}),
    ]);
  }
}
