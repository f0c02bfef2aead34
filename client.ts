/**
 * The echo client of CS:APP: `open_clientfd`, and standard input to the server and
 * back to standard output.
 *
 * @module
 */
import {
  checkPort,
  type Flags,
  label,
  onSignal,
  PORT,
  run,
  signalCode,
  type Stdout,
  toInteger,
  toMilliseconds,
  UsageError,
} from "./cli.ts";
import { MAXLINE, type Reader, Rio, rioWriten, type Writer } from "./rio.ts";

const NEWLINE = 0x0a;
/** Bytes of one read of the input. */
const BLOCK = 65536;

/** What {@linkcode openClientfd} takes. */
export interface ConnectOptions {
  /** Gives the attempt up: it rejects with the signal's reason. */
  signal?: AbortSignal;
  /** Milliseconds until it fails; what the kernel waits unless given, minutes. */
  connectTimeout?: number;
}

/**
 * Opens a connected descriptor: `open_clientfd` of csapp.c. It walks the list of
 * the host's addresses until one connects.
 *
 * @param host A name or an address.
 * @param port The port, 1 to 65535.
 * @param options How to give it up.
 * @returns The connected descriptor.
 * @throws {RangeError} If the port is not an integer from 1 to 65535.
 * @throws {Deno.errors.TimedOut} If `connectTimeout` runs out.
 * @throws {Error} Of the class that `Deno.connect` throws, if no address connects;
 * its message names the host, the port and the cause.
 *
 * @example
 * ```ts
 * import { openClientfd } from "@netp/rio/client";
 *
 * using listenfd = Deno.listen({ hostname: "127.0.0.1", port: 0 });
 * using clientfd = await openClientfd("localhost", listenfd.addr.port, {
 *   connectTimeout: 2000,
 * });
 * ```
 */
export async function openClientfd(
  host: string,
  port: number,
  options: ConnectOptions = {},
): Promise<Deno.TcpConn> {
  checkPort("connect", port, 1);
  return await attempt(
    `connect to ${host} port ${port}`,
    options,
    (signal) => Deno.connect({ hostname: host, port, signal }),
  );
}

/** What {@linkcode openTlsClientfd} takes. */
export interface TlsConnectOptions extends ConnectOptions {
  /** Certificates, in PEM, that are trusted besides the usual ones. */
  caCerts?: string[];
}

/**
 * Opens a connected descriptor that speaks TLS, and shakes hands.
 *
 * @param host The name or address that the server's certificate is for.
 * @param port The port, 1 to 65535.
 * @param options How to give it up, and whom to trust. `connectTimeout` holds for the
 * connection and again for the handshake.
 * @returns The connected descriptor.
 * @throws {Error} As {@linkcode openClientfd} does, and if the server's certificate is
 * not trusted.
 *
 * @example
 * ```ts
 * import { openTlsClientfd } from "@netp/rio/client";
 * import { openTlsListenfd } from "@netp/rio/server";
 *
 * const read = (name: string) => Deno.readTextFile(`tests/tls/${name}.pem`);
 * const [ca, cert, key] = await Promise.all(["ca", "cert", "key"].map(read));
 * const listenfd = openTlsListenfd(0, { host: "127.0.0.1", cert, key });
 * const accepted = listenfd.accept();
 *
 * using clientfd = await openTlsClientfd("127.0.0.1", listenfd.addr.port, {
 *   caCerts: [ca],
 * });
 * (await accepted).close();
 * listenfd.close();
 * ```
 */
export async function openTlsClientfd(
  host: string,
  port: number,
  { caCerts, ...options }: TlsConnectOptions = {},
): Promise<Deno.TlsConn> {
  const clientfd = await openClientfd(host, port, options);
  return await attempt(
    `TLS handshake with ${host} port ${port}`,
    options,
    async (signal) => {
      let fd: Deno.Conn = clientfd;
      const close = () => fd[Symbol.dispose]();
      signal.addEventListener("abort", close);
      try {
        const tls = fd = await Deno.startTls(clientfd, {
          hostname: host,
          caCerts,
        });
        signal.throwIfAborted();
        await tls.handshake();
        return tls;
      } catch (error) {
        close();
        throw signal.aborted ? signal.reason : error;
      } finally {
        signal.removeEventListener("abort", close);
      }
    },
  );
}

/**
 * Opens a connected descriptor on a Unix socket.
 *
 * @param path The path of the socket.
 * @returns The connected descriptor.
 * @throws {Error} Of the class that `Deno.connect` throws, if it doesn't connect; its
 * message names the path and the cause.
 *
 * @example
 * ```ts
 * import { openUnixClientfd } from "@netp/rio/client";
 * import { openUnixListenfd } from "@netp/rio/server";
 *
 * const path = `${await Deno.makeTempDir()}/echo.sock`;
 * using listenfd = await openUnixListenfd(path);
 * using clientfd = await openUnixClientfd(path);
 * ```
 */
export async function openUnixClientfd(path: string): Promise<Deno.UnixConn> {
  try {
    return await Deno.connect({ transport: "unix", path });
  } catch (error) {
    throw label(`connect to ${path}`, error);
  }
}

/** Tries what can be given up, and names it if it fails. */
async function attempt<T>(
  what: string,
  { signal, connectTimeout }: ConnectOptions,
  open: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const late = new AbortController();
  const timer = connectTimeout === undefined ? undefined : setTimeout(() => {
    late.abort(
      new Deno.errors.TimedOut(`no answer within ${connectTimeout / 1000} s`),
    );
  }, connectTimeout);
  try {
    return await open(
      signal ? AbortSignal.any([signal, late.signal]) : late.signal,
    );
  } catch (error) {
    if (signal?.aborted) throw error;
    throw label(what, error);
  } finally {
    clearTimeout(timer);
  }
}

/** What {@linkcode echoClient} takes. */
export interface EchoClientOptions {
  /**
   * One line out, one line back, as the C program does it. Unless set, both
   * directions go at once, at the speed of the network.
   */
  lockstep?: boolean;
  /**
   * Milliseconds to wait for the next byte while the server owes one, or owes its
   * end of the connection; for ever unless given.
   */
  timeout?: number;
}

/** The connection ended before the server had answered all. */
export class ServerClosedError extends Error {}

/**
 * Sends `input` to the server and writes what comes back to `output`, byte by byte
 * the same: the loop of the book's echo client. At the end of the input it sends
 * FIN, writes what still comes back, and ends when the server closes.
 *
 * @param clientfd A connected descriptor. It is left open.
 * @param input What to send.
 * @param output Where to write what comes back.
 * @param options How.
 * @returns The counts of bytes sent and received.
 * @throws {ServerClosedError} If the server ends first. What came back is written.
 * @throws {Deno.errors.TimedOut} If the timeout runs out.
 * @throws {Error} What `input` and `output` throw.
 *
 * @example
 * ```ts
 * import { echoClient, openClientfd } from "@netp/rio/client";
 * import { echo, openListenfd } from "@netp/rio/server";
 * import { assertEquals } from "@std/assert";
 *
 * using listenfd = openListenfd(0, { host: "127.0.0.1" });
 * const served = listenfd.accept().then(async (connfd) => {
 *   await echo(connfd);
 *   connfd.close();
 * });
 *
 * using file = await Deno.open("LICENSE");
 * using clientfd = await openClientfd("127.0.0.1", listenfd.addr.port);
 * let back = "";
 * await echoClient(clientfd, file, {
 *   write: (p) => {
 *     back += new TextDecoder().decode(p);
 *     return Promise.resolve(p.length);
 *   },
 * });
 * await served;
 * assertEquals(back, await Deno.readTextFile("LICENSE"));
 * ```
 */
export async function echoClient(
  clientfd: Reader & Writer & { closeWrite(): Promise<void> },
  input: Reader,
  output: Writer,
  { lockstep = false, timeout }: EchoClientOptions = {},
): Promise<{ sent: number; received: number }> {
  const count = { sent: 0, received: 0 };
  const rio = new Rio(clientfd);
  const buf = new Uint8Array(BLOCK);
  let sentAll = false;
  let inputError: unknown;

  const late = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let reading = false;
  /** The timeout runs while a read waits for what the server owes. */
  const watch = () => {
    const owed = sentAll || count.received < count.sent;
    if (timeout === undefined || !reading || !owed) return;
    timer ??= setTimeout(() => late.abort(), timeout);
  };

  /** Sends bytes; false if the connection has ended. */
  const send = async (bytes: Uint8Array) => {
    count.sent += bytes.length;
    watch();
    return await rioWriten(clientfd, bytes).then(() => true, () => false);
  };
  /** Writes out the lines that come back next; false if the connection has ended. */
  const receive = async () => {
    reading = true;
    watch();
    const signal = timeout === undefined ? undefined : late.signal;
    const alive = await rio.ready({ signal }).catch(() => false);
    reading = false;
    clearTimeout(timer);
    timer = undefined;
    if (!alive) return false;
    const n = rio.takeLines(buf, []);
    count.received += n;
    await rioWriten(output, buf.subarray(0, n));
    return true;
  };

  /** The input, where an error is its end. */
  const source = {
    async read(p: Uint8Array) {
      try {
        return await input.read(p);
      } catch (error) {
        inputError = error;
        return null;
      }
    },
  };
  const atOnce = async () => {
    const buf = new Uint8Array(BLOCK);
    for (let n; (n = await source.read(buf)) !== null;) {
      if (!(await send(buf.subarray(0, n)))) return false;
    }
    return true;
  };
  const lineByLine = async () => {
    const lines = new Rio(source);
    for (let line; (line = await lines.readline()) !== null;) {
      if (!(await send(line))) return false;
      // A last line without a newline comes back only after FIN.
      const whole = line.at(-1) === NEWLINE || line.length === MAXLINE - 1;
      if (whole && !(await receive())) return false;
    }
    return true;
  };
  const sendAll = async () => {
    if (!(await (lockstep ? lineByLine() : atOnce()))) return;
    sentAll = true;
    watch();
    await clientfd.closeWrite().catch(() => {});
  };

  const sending = sendAll();
  if (lockstep) await sending;
  while (await receive());

  const result = `${count.received} of ${count.sent} bytes came back`;
  if (late.signal.aborted) {
    throw new Deno.errors.TimedOut(
      `no answer for ${timeout! / 1000} s: ${result}`,
    );
  }
  if (inputError !== undefined) throw inputError;
  if (!sentAll || count.received < count.sent) {
    throw new ServerClosedError(`server closed the connection: ${result}`);
  }
  return count;
}

const USAGE =
  "usage: client.ts [host] [port] [--unix=PATH] [--tls] [--cafile=FILE] [--lockstep] [--connect-timeout=SEC] [--timeout=SEC] [--help] [--version]";
const HELP = `The echo client of CS:APP: sends standard input to the server and prints what comes
back.

  host                   the server's name or address (default localhost)
  port                   its port (default ${PORT})
  --unix=PATH            connect to a Unix socket instead
  --tls                  speak TLS
  --cafile=FILE          trust these certificates too (PEM)
  --lockstep             wait for each line to come back before the next goes out, as
                         the C program does; always so from a terminal
  --connect-timeout=SEC  time to connect (default 30)
  --timeout=SEC          time to wait for an answer (default: for ever)
  -h, --help             print this
  --version              print the version

Exit codes: 0 done, 1 the network or the server failed, 2 usage.
`;

async function main(flags: Flags, stdout: Stdout): Promise<number> {
  const [host = "localhost", port = String(PORT)] = flags.positionals;
  const portNumber = toInteger("port", port, 1, 65535);
  const connectTimeout = toMilliseconds(
    "--connect-timeout",
    flags.values["connect-timeout"] ?? "30",
  );
  const timeout = flags.values.timeout === undefined
    ? undefined
    : toMilliseconds("--timeout", flags.values.timeout);

  const { unix, cafile } = flags.values;
  const tls = flags.set.has("tls");
  if (unix !== undefined && (tls || flags.positionals.length > 0)) {
    throw new UsageError(
      `no host, port or --tls goes with --unix=${unix}`,
    );
  }
  if (cafile !== undefined && !tls) {
    throw new UsageError(`--cafile=${cafile} goes with --tls`);
  }

  onSignal((signal) => {
    const end = () => Deno.exit(signalCode(signal));
    stdout.flush().then(end, end);
  });
  using clientfd: Deno.Conn<Deno.Addr> = unix !== undefined
    ? await openUnixClientfd(unix)
    : tls
    ? await openTlsClientfd(host, portNumber, {
      connectTimeout,
      caCerts: cafile === undefined ? [] : [await Deno.readTextFile(cafile)],
    })
    : await openClientfd(host, portNumber, { connectTimeout });
  const input = {
    async read(p: Uint8Array) {
      try {
        return await Deno.stdin.read(p);
      } catch (error) {
        throw label("standard input", error);
      }
    },
  };
  await echoClient(clientfd, input, stdout, {
    lockstep: flags.set.has("lockstep") || Deno.stdin.isTerminal(),
    timeout,
  });
  return 0;
}

if (import.meta.main) {
  await run("client", {
    usage: USAGE,
    help: HELP,
    string: ["unix", "cafile", "connect-timeout", "timeout"],
    boolean: ["tls", "lockstep"],
    positionals: 2,
  }, main);
}
