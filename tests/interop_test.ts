/** Our server with other people's clients, our client with other people's servers. */
import { assertEquals } from "@std/assert";
import { freePort, has, Program, PYTHON3, runProgram, startServer } from "./helpers.ts";

/** nc is OpenBSD's if it knows -N; what others do at the end of their input differs. */
const NC = new TextDecoder().decode(
  new Deno.Command("sh", { args: ["-c", "nc -h 2>&1"] }).outputSync().stdout,
);
const hasPeer = (name: string) =>
  has(name) && (name !== "nc" || /^\s*-?N|-[\w]*N[\w]*\]/m.test(NC));
const needs = (name: string) => name === "nc" ? "needs OpenBSD's nc" : `needs ${name}`;

const LINES = "hello\n\0\xff\xfe\r\n\nlong ".padEnd(20_000, "x") + "\n";
const INPUT = LINES + "no newline";

const PYTHON_CLIENT = `
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
data = sys.stdin.buffer.read()
s.sendall(data)
s.shutdown(socket.SHUT_WR)
while chunk := s.recv(4096):
    sys.stdout.buffer.write(chunk)
`;
const CLIENTS: [name: string, args: (port: string) => string[]][] = [
  ["nc", (port) => ["-N", "127.0.0.1", port]],
  ["socat", (port) => ["-t9", "STDIO", `TCP:127.0.0.1:${port}`]],
  ["python3", (port) => ["-c", PYTHON_CLIENT, port]],
];
for (const [name, args] of CLIENTS) {
  Deno.test({
    name: `our server serves ${name} (${needs(name)})`,
    ignore: !hasPeer(name),
    async fn() {
      await using server = await startServer();
      for (let i = 0; i < 2; i++) {
        const { code, stdout } = await runProgram(
          new Program(name === "python3" ? PYTHON3 : name, args(`${server.port}`)),
          INPUT,
        );
        assertEquals([code, stdout], [0, INPUT]);
      }
    },
  });
}

const PYTHON_SERVER = `
import socket
s = socket.create_server(("127.0.0.1", 0))
print(s.getsockname()[1], flush=True)
while True:
    c, _ = s.accept()
    with c:
        while data := c.recv(4096):
            c.sendall(data)
`;
/** Starts an echo server and returns it with its port. */
const SERVERS: Record<string, () => Promise<[Program, string]>> = {
  async nc() {
    // It ends when the client has sent FIN, so that only lockstep gets it all.
    // What nc receives is sent back by whoever holds its standard input.
    const port = `${freePort()}`;
    const nc = new Program("nc", ["-lvN", "127.0.0.1", port]);
    await nc.stderr.until(/^Listening on/m);
    (async () => {
      for (let sent = 0; sent < LINES.length;) {
        await nc.stdout.until(new RegExp(`^[^]{${sent + 1}}`));
        const part = nc.stdout.text.slice(sent);
        sent += part.length;
        await nc.write(part);
      }
      await nc.closeInput();
    })();
    return [nc, port];
  },
  async socat() {
    const address = "TCP-LISTEN:0,bind=127.0.0.1,fork,reuseaddr";
    const socat = new Program("socat", ["-dd", "-t9", address, "EXEC:cat"]);
    const [, port] = await socat.stderr.until(/listening on .*:(\d+)$/m);
    return [socat, port];
  },
  async python3() {
    const python = new Program(PYTHON3, ["-c", PYTHON_SERVER]);
    const [port] = await python.stdout.until(/^\d+/);
    return [python, port];
  },
};
for (const [name, start] of Object.entries(SERVERS)) {
  for (const flags of [[], ["--lockstep"]].slice(name === "nc" ? 1 : 0)) {
    Deno.test({
      name: `our client speaks with ${name} ${flags} (${needs(name)})`,
      ignore: !hasPeer(name),
      async fn() {
        const [server, port] = await start();
        await using _ = server;
        const client = Program.script("client.ts", "127.0.0.1", port, ...flags);
        const input = name === "nc" ? LINES : INPUT;
        const { code, stdout, stderr } = await runProgram(client, input);
        assertEquals([code, stdout, stderr], [0, input, ""]);
      },
    });
  }
}
