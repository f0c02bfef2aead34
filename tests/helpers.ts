/** What several test files need: bytes, readers in memory, and real programs. */
import { assert, assertEquals } from "@std/assert";
import { openClientfd, openTlsClientfd } from "@netp/rio/client";
import { type Reader, Rio, rioWriten, type Writer } from "@netp/rio/rio";

/** The bytes of a text, a byte a character. */
export function bytes(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text, (c) => c.charCodeAt(0));
}

/** The text of bytes, a character a byte. */
export function text(bytes: Uint8Array): string {
  return Array.from(bytes, (b) => String.fromCharCode(b)).join("");
}

/** Bytes that look random, and are the same every time. */
export function noise(length: number): Uint8Array<ArrayBuffer> {
  let x = 0x2545f491;
  return Uint8Array.from({ length }, () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return x & 0xff;
  });
}

/** A reader of given parts: texts, each in one read if it fits, errors, and EOFs. */
export class MemoryReader implements Reader {
  #parts: (Uint8Array | Error | null)[];

  constructor(parts: (string | Error | null)[]) {
    this.#parts = parts.map((p) => typeof p === "string" ? bytes(p) : p);
  }

  static of(text: string, chunk: number): MemoryReader {
    const parts = [];
    for (let i = 0; i < text.length; i += chunk) {
      parts.push(text.slice(i, i + chunk));
    }
    return new MemoryReader(parts);
  }

  async read(p: Uint8Array): Promise<number | null> {
    await Promise.resolve();
    const part = this.#parts.shift();
    if (part === undefined || part === null) return null;
    if (part instanceof Error) throw part;
    const n = Math.min(p.length, part.length);
    p.set(part.subarray(0, n));
    if (n < part.length) this.#parts.unshift(part.subarray(n));
    return n;
  }
}

/** A writer that keeps what it is given. */
export class MemoryWriter implements Writer {
  #parts: string[] = [];

  /** What was written. */
  get text(): string {
    return this.#parts.join("");
  }

  write(p: Uint8Array): Promise<number> {
    this.#parts.push(text(p));
    return Promise.resolve(p.length);
  }
}

/** The folder of the project. */
export const ROOT = new URL("..", import.meta.url).pathname;
/** Milliseconds after which a program that still runs is killed. */
const HANG = 180_000;

/** What a stream has brought so far. */
export class Output {
  text = "";
  /** Resolves at the end of the stream. */
  readonly ended: Promise<void>;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  #ended = false;
  #wake = () => {};

  constructor(stream: ReadableStream<Uint8Array>) {
    this.#reader = stream.getReader();
    this.ended = this.#read();
  }

  async #read() {
    for (let r; !(r = await this.#reader.read()).done;) {
      this.text += text(r.value);
      this.#wake();
    }
    this.#ended = true;
    this.#wake();
  }

  /** Goes away, as `head` does: the program that writes is told so. */
  async cancel(): Promise<void> {
    await this.#reader.cancel();
  }

  /** Resolves when the text matches; rejects if the stream ends before. */
  async until(pattern: RegExp): Promise<RegExpMatchArray> {
    for (;;) {
      const match = this.text.match(pattern);
      if (match !== null) return match;
      assert(!this.#ended, `no ${pattern} in ${JSON.stringify(this.text)}`);
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }
}

/** A program that runs, with what it has written. */
export class Program implements AsyncDisposable {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly process: Deno.ChildProcess;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  readonly #hang: ReturnType<typeof setTimeout>;

  constructor(
    command: string,
    args: string[],
    env: Record<string, string> = {},
  ) {
    this.process = new Deno.Command(command, {
      args,
      env: { NO_COLOR: "1", ...env },
      cwd: ROOT,
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.stdout = new Output(this.process.stdout);
    this.stderr = new Output(this.process.stderr);
    this.#stdin = this.process.stdin.getWriter();
    this.#hang = setTimeout(() => this.process.kill("SIGKILL"), HANG);
  }

  /** One of this project's programs: server.ts or client.ts. */
  static script(name: string, ...args: (string | number)[]): Program {
    const given = args.map(String);
    const files = /--(unix|cert|cafile|workers)/.test(given.join(" "));
    return new Program(Deno.execPath(), [
      "run",
      "--quiet",
      "--allow-net",
      ...files ? ["--allow-read", "--allow-write"] : [],
      name,
      ...given,
    ]);
  }

  /** Writes to standard input. */
  async write(data: string | Uint8Array<ArrayBuffer>): Promise<void> {
    await this.#stdin.write(typeof data === "string" ? bytes(data) : data);
  }

  /** Ends standard input. */
  async closeInput(): Promise<void> {
    await this.#stdin.close().catch(() => {}); // the program may have ended
  }

  /** Ends standard input, waits for the program's end and returns its exit code. */
  async code(): Promise<number> {
    await this.closeInput();
    const { code } = await this.process.status;
    clearTimeout(this.#hang);
    await Promise.all([this.stdout.ended, this.stderr.ended]);
    return code;
  }

  /** Sends a signal, and returns the exit code. */
  async stop(signal: Deno.Signal = "SIGTERM"): Promise<number> {
    this.process.kill(signal);
    return await this.code();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.process.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await this.code();
  }
}

/** Our server on a free port of 127.0.0.1, or of the host in `flags`. */
export async function startServer(
  ...flags: string[]
): Promise<Program & { port: number }> {
  const server = Program.script("server.ts", 0, ...flags);
  const [, port] = await server.stderr.until(/^listening on .*:(\d+) \(/m);
  return Object.assign(server, { port: Number(port) });
}

/** A connection to a server of this machine, and a reader of what it sends. */
export async function connect(port: number): Promise<Client> {
  return new Client(await Deno.connect({ hostname: "127.0.0.1", port }));
}

/** A client that sends lines and awaits their echo. */
export class Client implements Disposable {
  readonly #rio: Rio;

  constructor(readonly fd: Deno.Conn<Deno.Addr>) {
    this.#rio = new Rio(fd);
  }

  /** Sends a line, and holds that it comes back. */
  async ask(line = "hello\n"): Promise<void> {
    await rioWriten(this.fd, bytes(line));
    const buf = new Uint8Array(line.length);
    const n = await this.#rio.readnb(buf);
    assertEquals(text(buf.subarray(0, n)), line);
  }

  /** Asserts that the server has closed the connection. */
  async askEnd(): Promise<void> {
    const end = await this.#rio.readline().catch(() => null);
    assertEquals(end, null);
  }

  [Symbol.dispose]() {
    this.fd[Symbol.dispose]();
  }
}

/** What one program makes of some input. */
export async function runProgram(
  program: Program,
  input: string | Uint8Array<ArrayBuffer> = "",
): Promise<{ code: number; stdout: string; stderr: string }> {
  await program.write(input).catch(() => {}); // it may end before it has read all
  const code = await program.code();
  return { code, stdout: program.stdout.text, stderr: program.stderr.text };
}

/**
 * Fills the queue of a listener, which then answers no further SYN. Returns the connections in the
 * queue, and how the next one failed.
 */
export async function fillQueue(
  port: number,
): Promise<[queued: Deno.TcpConn[], error: Error]> {
  const queued: Deno.TcpConn[] = [];
  for (;;) {
    try {
      queued.push(
        await openClientfd("127.0.0.1", port, { connectTimeout: 200 }),
      );
    } catch (error) {
      return [queued, error as Error];
    }
  }
}

/** Whether a program is on this machine. */
export function has(program: string): boolean {
  return new Deno.Command("sh", {
    args: ["-c", `command -v ${program}`],
  }).outputSync().success;
}

export {
  /** A port for programs that can't take port 0: free a moment ago, and none that clients get. */
  freePort,
} from "../tools/judge/process.ts";

/** Debian's python3 rather than that of pyenv, a shell script that takes half a second. */
export const PYTHON3: string = ["/usr/bin/python3", "python3"].find(has) ?? "";

/** Runs python with `port` and `socket` at hand; RST sends a reset at close. */
export async function python(port: number, script: string): Promise<void> {
  const program = new Program(PYTHON3, [
    "-c",
    `import socket, struct, sys, time
port = ${port}
RST = (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
def connect():
    return socket.create_connection(("127.0.0.1", port))
${script}`,
  ]);
  const { code, stderr } = await runProgram(program);
  assertEquals([code, stderr], [0, ""]);
}

/** For tests that need python3, or Linux. */
export const PYTHON = { ignore: PYTHON3 === "" };
export const LINUX = { ignore: Deno.build.os !== "linux" };

/** Bytes of memory that a process has. */
export async function memory({ process }: Program): Promise<number> {
  const status = await Deno.readTextFile(`/proc/${process.pid}/status`);
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)![1]) * 1024;
}

/** The flags of a server that speaks TLS. */
export const TLS: string[] = ["--cert=tests/tls/cert.pem", "--key=tests/tls/key.pem"];
/** The flags of a client that trusts it. */
export const TLS_CLIENT: string[] = ["--tls", "--cafile=tests/tls/ca.pem"];

/** A connection to a server of this machine that speaks TLS. */
export async function connectTls(port: number): Promise<Client> {
  const caCerts = [await Deno.readTextFile(`${ROOT}/tests/tls/ca.pem`)];
  return new Client(await openTlsClientfd("127.0.0.1", port, { caCerts }));
}

/** A folder for sockets and files, that goes at the end. */
export async function tempDir(): Promise<AsyncDisposable & { path: string }> {
  const path = await Deno.makeTempDir();
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}

/** Whether there is a file. */
export function exists(path: string): Promise<boolean> {
  return Deno.lstat(path).then(() => true, () => false);
}
