/**
 * `deno task soak [MINUTES]`: our server under everything that clients can do to it, over TCP, TLS,
 * a Unix socket and with threads. Default: ten minutes in all. Each server has three lives: it is
 * stopped in the middle of traffic, must serve that to its end, and is started again. Prints a
 * table of memory and descriptors. Exits with 1 if a byte was wrong, a client was dropped, or a
 * server didn't exit with 0. Needs Linux; with python3, connections are reset too.
 */
import { Child, lines } from "../cli/child.ts";
import { openClientfd, openTlsClientfd, openUnixClientfd } from "../client.ts";
import { sleep, within } from "../net/time.ts";
import { Rio, rioWriten } from "../rio.ts";
import { deno, has, here, printTable } from "./run.ts";

const LIVES = 3;
/** Checks of memory and descriptors per life, besides the one at the start. */
const LOOKS = 3;
const GRACE = 20;
const HOST = "127.0.0.1";
const MiB = 1 << 20;

type Conn = Deno.Conn<Deno.Addr>;

/** A way to reach a server. */
interface Way {
  name: string;
  /** The server's flags. */
  flags: string[];
  /** Connects, with a TLS handshake if there is TLS. */
  connect(port: number): Promise<Conn>;
  /** Connects, without a TLS handshake. */
  knock(port: number): Promise<Conn>;
}

function ways(folder: string): Way[] {
  const path = `${folder}/echo.sock`;
  const pem = (name: string) => here(`../tests/tls/${name}.pem`);
  const caCerts = [Deno.readTextFileSync(pem("ca"))];
  const tcp = (port: number) => openClientfd(HOST, port);
  const tls = (port: number) => openTlsClientfd(HOST, port, { caCerts });
  const unix = () => openUnixClientfd(path);
  const certificate = [`--cert=${pem("cert")}`, `--key=${pem("key")}`];
  return [
    { name: "TCP", flags: ["0"], connect: tcp, knock: tcp },
    { name: "TLS", flags: ["0", ...certificate], connect: tls, knock: tcp },
    { name: "Unix socket", flags: [`--unix=${path}`], connect: unix, knock: unix },
    { name: "2 threads", flags: ["0", "--workers=2"], connect: tcp, knock: tcp },
    {
      name: "2 threads, TLS",
      flags: ["0", "--workers=2", ...certificate],
      connect: tls,
      knock: tcp,
    },
  ];
}

/** One life of a server. */
class Server extends Child {
  port = 0;
  /** Its standard error so far. */
  told = "";
  readonly #listening = Promise.withResolvers<void>();
  readonly #log: Promise<void>;

  private constructor(flags: string[]) {
    const limits = ["--concurrency=200", "--idle-timeout=2", `--grace=${GRACE}`];
    const [command, ...args] = deno("../server.ts", ...flags, ...limits);
    super(command, { args, stdout: "null", stderr: "piped" });
    this.#log = this.#read();
  }

  static async start(way: Way): Promise<Server> {
    const server = new Server(way.flags);
    await server.#listening.promise;
    return server;
  }

  async #read(): Promise<void> {
    for await (const line of lines(this.process.stderr)) {
      this.told = `${this.told}${line}\n`.slice(-4096);
      const [found, port] = /^listening on .*?:?(\d*) \(/.exec(line) ?? [];
      if (found === undefined) continue;
      this.port = Number(port);
      this.#listening.resolve();
    }
    this.#listening.reject(new Error(`the server ended: ${this.told}`));
  }

  /** Its memory in MiB, and its number of descriptors. */
  look(): string[] {
    try {
      const proc = `/proc/${this.process.pid}`;
      const status = Deno.readTextFileSync(`${proc}/status`);
      const memory = Number(/VmRSS:\s+(\d+)/.exec(status)![1]) / 1024;
      return [memory.toFixed(0), `${[...Deno.readDirSync(`${proc}/fd`)].length}`];
    } catch {
      return ["gone", "gone"];
    }
  }

  /** Stops it; resolves to its exit code, or -1 if it had to be killed. */
  async drain(): Promise<number> {
    this.signal("SIGTERM");
    const status = await within(2 * GRACE * 1000, this.process.status);
    if (status === undefined) await this.kill();
    await this.#log;
    return status?.code ?? -1;
  }
}

function randomBytes(length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i += 65_536) crypto.getRandomValues(bytes.subarray(i, i + 65_536));
  return bytes;
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/** Sends a line, and compares what comes back. */
async function ask(clientfd: Conn, rio: Rio, line: Uint8Array): Promise<void> {
  await rioWriten(clientfd, line);
  const back = await rio.readline();
  if (back === null || !same(back, line)) throw new Error(`a wrong line: ${back?.length} bytes`);
}

/** Sends a line of `length` MiB and FIN, reads after `late` ms, and compares every byte. */
async function longLine(clientfd: Conn, length: number, late: number): Promise<void> {
  const block = randomBytes(MiB).map((b) => b === 10 ? 11 : b);
  const sending = (async () => {
    for (let i = 0; i < length; i++) await rioWriten(clientfd, block);
    await clientfd.closeWrite();
  })();
  let back = 0;
  const receiving = (async () => {
    await sleep(late);
    const rio = new Rio(clientfd);
    const buf = new Uint8Array(MiB);
    for (let n; (n = await rio.readnb(buf)) > 0; back += n) {
      if (!same(buf.subarray(0, n), block.subarray(0, n))) throw new Error(`wrong at ${back}`);
    }
  })();
  await Promise.all([sending, receiving]);
  if (back !== length * MiB) throw new Error(`${back} bytes came back`);
}

/** What a client does; throws if what comes back isn't what it sent. */
type Deed = (connect: () => Promise<Conn>, knock: () => Promise<Conn>) => Promise<void>;

const DEEDS: Record<string, Deed> = {
  async "200 lines, one after the other"(connect) {
    using clientfd = await connect();
    const rio = new Rio(clientfd);
    for (let i = 0; i < 200; i++) {
      const line = randomBytes(1 + Math.random() * 2000).map((b) => b === 10 ? 11 : b);
      line[line.length - 1] = 10;
      await ask(clientfd, rio, line);
    }
  },
  async "a line now and then"(connect) {
    using clientfd = await connect();
    const rio = new Rio(clientfd);
    for (let i = 0; i < 10; i++) {
      await ask(clientfd, rio, Uint8Array.of(97, 10));
      await sleep(100);
    }
  },
  async "100 KB of random bytes, then FIN"(connect) {
    using clientfd = await connect();
    const data = randomBytes(100_000);
    const sending = rioWriten(clientfd, data).then(() => clientfd.closeWrite());
    const back = new Uint8Array(data.length + 1);
    const [n] = await Promise.all([new Rio(clientfd).readnb(back), sending]);
    if (!same(back.subarray(0, n), data)) throw new Error(`${n} bytes came back, or wrong ones`);
  },
  async "256 MiB without a newline"(connect) {
    using clientfd = await connect();
    await longLine(clientfd, 256, 0);
  },
  async "16 MiB, read half a second late"(connect) {
    using clientfd = await connect();
    await longLine(clientfd, 16, 500);
  },
  async "open and close"(_connect, knock) {
    (await knock()).close();
    await sleep(2);
  },
  // Over TLS these bytes aren't TLS: Deno can't close a TLS client whose buffers are full.
  async "send and never read"(_connect, knock) {
    using clientfd = await knock();
    const block = new Uint8Array(MiB);
    const sending = (async () => {
      for (;;) await clientfd.write(block);
    })().catch(() => {}); // closed below
    await sleep(500);
    clientfd[Symbol.dispose]();
    await sending;
  },
  async "silent until the server ends it"(connect) {
    using clientfd = await connect();
    await clientfd.write(new Uint8Array(3));
    await clientfd.read(new Uint8Array(1)).catch(() => {}); // FIN or RST
  },
  async "silent before any byte"(_connect, knock) {
    using clientfd = await knock();
    await sleep(1000 * Math.random());
    clientfd[Symbol.dispose]();
  },
};
/** The number of clients that do the same at once, if more than one. */
const AT_ONCE: Record<string, number> = { "200 lines, one after the other": 5 };

/** Runs clients, and counts what they did and what went wrong. */
class Traffic {
  readonly done: Record<string, number> = {};
  readonly wrong: string[] = [];

  /** Makes clients do everything, again and again until `stopping`, and waits for the last. */
  async go(way: Way, server: Server, stopping: AbortSignal): Promise<void> {
    const connect = () => way.connect(server.port);
    const knock = () => way.knock(server.port);
    const repeat = async (name: string) => {
      while (!stopping.aborted) {
        try {
          await DEEDS[name](connect, knock);
          this.done[name] = (this.done[name] ?? 0) + 1;
        } catch (error) {
          this.wrong.push(`${way.name}: ${name}: ${error}`);
          await sleep(100);
        }
      }
    };
    const names = Object.keys(DEEDS).flatMap((name) => Array(AT_ONCE[name] ?? 1).fill(name));
    await Promise.all(names.map(repeat));
  }
}

const RST = `
import itertools, socket, struct, sys, time
for n in itertools.count():
    try:
        s = socket.create_connection(("${HOST}", int(sys.argv[1])))
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.sendall(b"line\\n" * (n % 3000))
        if n % 2: s.recv(1)
        s.close()
    except ConnectionError:
        pass
    time.sleep(0.01)
`;

/** Resets connections at random moments until `end` is called. */
function resets(port: number): { end(): Promise<unknown> } {
  if (port === 0 || !has("python3")) return { end: () => Promise.resolve() };
  const python = new Deno.Command("python3", { args: ["-c", RST, `${port}`] }).spawn();
  return {
    end() {
      python.kill("SIGKILL");
      return python.status;
    },
  };
}

/** Runs one life of a server, which is stopped in the middle of traffic. */
async function live(way: Way, life: number, ms: number, traffic: Traffic): Promise<string[][]> {
  const server = await Server.start(way);
  const rows: string[][] = [];
  const look = (when: string) => rows.push([way.name, `${life}`, when, ...server.look()]);
  look("started");
  const stop = new AbortController();
  const reset = resets(server.port);
  const going = traffic.go(way, server, stop.signal);
  for (let i = 1; i <= LOOKS; i++) {
    await sleep(ms / LOOKS);
    look(`${(i * ms / LOOKS / 1000).toFixed(1)} s`);
  }
  // No new clients from now on; all that have connected must be served to their end.
  await reset.end();
  stop.abort();
  const code = await server.drain();
  await going;
  const [summary = "no summary"] = /^server: \d+ connections?, .*$/m.exec(server.told) ?? [];
  rows.push([way.name, `${life}`, `drained: ${summary.slice("server: ".length)}`, "", ""]);
  if (code !== 0) traffic.wrong.push(`${way.name}: exit code ${code}: ${server.told.slice(-500)}`);
  return rows;
}

const minutes = Number(Deno.args[0] ?? 10);
const folder = await Deno.makeTempDir();
const traffic = new Traffic();
const rows: string[][] = [];
try {
  const all = ways(folder);
  const ms = minutes * 60_000 / all.length / LIVES;
  for (const way of all) {
    for (let life = 1; life <= LIVES; life++) rows.push(...await live(way, life, ms, traffic));
  }
} finally {
  await Deno.remove(folder, { recursive: true });
}
printTable(["way", "life", "when", "memory, MiB", "descriptors"], rows);
printTable(
  ["what clients did", "times"],
  Object.entries(traffic.done).map(([name, n]) => [name, `${n}`]),
);
console.log(`wrong: ${traffic.wrong.length}`);
for (const text of traffic.wrong.slice(0, 10)) console.log(text);
Deno.exit(traffic.wrong.length > 0 ? 1 : 0);
