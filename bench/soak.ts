/**
 * `deno task soak [MINUTES]`: our server for ten minutes under all that clients can do
 * to it, with its memory and descriptors watched. Ends with a table, and with 1 if a
 * byte was wrong, a client was dropped, or the server didn't end in good order. Needs
 * Linux and python3.
 */
import { Rio, rioWriten } from "../rio.ts";

const MINUTES = Number(Deno.args[0] ?? 10);
const ROWS = 10;
const MiB = 1 << 20;

const server = new Deno.Command(Deno.execPath(), {
  args: [
    "run",
    "--quiet",
    "--allow-net",
    new URL("../server.ts", import.meta.url).pathname,
    "0",
    "--concurrency=200",
    "--idle-timeout=5",
    "--grace=10",
    "--stats",
  ],
  stdout: "null",
  stderr: "piped",
}).spawn();
const stderr = new Rio(readerOf(server.stderr));
const listening = new TextDecoder().decode((await stderr.readline())!);
const port = Number(/:(\d+) /.exec(listening)![1]);

const end = performance.now() + MINUTES * 60_000;
const done: Record<string, number> = {};
const wrong: string[] = [];

/** Does a thing over and over until the end, and counts. */
async function repeat(name: string, deed: () => Promise<void>): Promise<void> {
  done[name] = 0;
  while (performance.now() < end) {
    try {
      await deed();
      done[name]++;
    } catch (error) {
      wrong.push(`${name}: ${error}`);
    }
  }
}

const connect = () => Deno.connect({ hostname: "127.0.0.1", port });
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

function randomBytes(length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i += 65536) {
    crypto.getRandomValues(bytes.subarray(i, i + 65536));
  }
  return bytes;
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/** Sends bytes and FIN, and holds that all of them come back. */
async function echoed(data: Uint8Array): Promise<void> {
  using clientfd = await connect();
  const sending = rioWriten(clientfd, data).then(() => clientfd.closeWrite());
  const back = new Uint8Array(data.length + 1);
  const n = await new Rio(clientfd).readnb(back);
  await sending;
  if (!same(back.subarray(0, n), data)) {
    throw new Error(`${n} of ${data.length} bytes came back, or wrong ones`);
  }
}

async function longLine(): Promise<void> {
  using clientfd = await connect();
  const block = new Uint8Array(MiB).fill(0x61);
  const sending = (async () => {
    for (let i = 0; i < 1024; i++) await rioWriten(clientfd, block);
    await clientfd.closeWrite();
  })();
  let back = 0;
  const buf = new Uint8Array(MiB);
  for (let n; (n = await clientfd.read(buf)) !== null;) back += n;
  await sending;
  if (back !== 1024 * MiB) throw new Error(`${back} bytes came back`);
}

async function lines(): Promise<void> {
  using clientfd = await connect();
  const rio = new Rio(clientfd);
  for (let i = 0; i < 200; i++) {
    const line = randomBytes(1 + Math.random() * 2000).map((b) => b === 10 ? 11 : b);
    line[line.length - 1] = 10;
    await rioWriten(clientfd, line);
    const back = await rio.readline();
    if (back === null || !same(back, line)) throw new Error("a wrong line");
  }
}

async function openAndClose(): Promise<void> {
  for (let i = 0; i < 100; i++) (await connect()).close();
  await sleep(20);
}

async function sendAndNeverRead(): Promise<void> {
  using clientfd = await connect();
  const block = new Uint8Array(MiB);
  const sending = (async () => {
    for (;;) await clientfd.write(block);
  })().catch(() => {});
  await sleep(1000);
  clientfd.close();
  await sending;
}

async function beSilent(): Promise<void> {
  using clientfd = await connect();
  await clientfd.write(new Uint8Array(3));
  // The idle timeout ends it.
  await clientfd.read(new Uint8Array(1)).catch(() => {});
}

async function trickle(): Promise<void> {
  using clientfd = await connect();
  for (let i = 0; i < 10; i++) {
    await clientfd.write(new Uint8Array([97]));
    await sleep(300);
  }
}

const RST = `
import socket, struct, sys, time
n = 0
while True:
    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.sendall(b"line\\n" * (n % 3000))
    if n % 2: s.recv(1)
    s.close()
    n += 1
    time.sleep(0.01)
`;
const python = new Deno.Command("python3", {
  args: ["-c", RST, `${port}`],
}).spawn();

/** Memory and descriptors of the server. */
async function sample(): Promise<string[]> {
  const status = await Deno.readTextFile(`/proc/${server.pid}/status`);
  const memory = Number(/VmRSS:\s+(\d+)/.exec(status)![1]) / 1024;
  const descriptors = [...Deno.readDirSync(`/proc/${server.pid}/fd`)].length;
  return [memory.toFixed(0), `${descriptors}`];
}

async function watch(): Promise<string[][]> {
  const rows = [];
  for (let row = 0; row <= ROWS; row++) {
    const left = end - performance.now();
    await sleep(Math.max(0, left - (ROWS - row) * MINUTES * 60_000 / ROWS));
    rows.push([(row * MINUTES / ROWS).toFixed(1), ...await sample()]);
  }
  return rows;
}

const faults: string[] = [];
const log = (async () => {
  for await (const line of stderr) faults.push(new TextDecoder().decode(line));
})();
const [rows] = await Promise.all([
  watch(),
  ...Array.from({ length: 5 }, (_, i) => repeat(`lines ${i}`, lines)),
  repeat("100 KB of random bytes", () => echoed(randomBytes(100_000))),
  repeat("1 GiB without a newline", longLine),
  repeat("100 times open and close", openAndClose),
  repeat("send and never read", sendAndNeverRead),
  repeat("silent", beSilent),
  repeat("a byte now and then", trickle),
]);
python.kill("SIGKILL");
await python.status;
server.kill("SIGTERM");
const { code } = await server.status;
await log;

console.log("| minute | memory, MiB | descriptors |\n| ---: | ---: | ---: |");
for (const row of rows) console.log(`| ${row.join(" | ")} |`);
console.log("\n| what clients did | times |\n| --- | ---: |");
for (const [name, times] of Object.entries(done)) {
  console.log(`| ${name} | ${times} |`);
}
console.log(`\n${faults.slice(-2).join("")}`);
console.log(`wrong: ${wrong.length}; exit code ${code}`);
for (const text of wrong.slice(0, 10)) console.log(text);
Deno.exit(wrong.length > 0 || code !== 0 ? 1 : 0);

function readerOf(stream: ReadableStream<Uint8Array>) {
  const reader = stream.getReader({ mode: "byob" });
  return {
    async read(p: Uint8Array): Promise<number | null> {
      const { value, done } = await reader.read(new Uint8Array(p.length));
      if (done || value === undefined) return null;
      p.set(value);
      return value.length;
    },
  };
}
