/** Runs the configurations of docs/deploy.md, with other ports. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { sleep } from "../net/time.ts";
import {
  bytes,
  Client,
  connect,
  freePort,
  has,
  noise,
  Program,
  ROOT,
  tempDir,
  text,
} from "./helpers.ts";

const page = await Deno.readTextFile(`${ROOT}/docs/deploy.md`);
const HAPROXY = { ignore: !has("haproxy") };
const NGINX_MODULES = "/usr/lib/nginx/modules/"; // Debian's
const NGINX = { ignore: !has(`nginx && test -e ${NGINX_MODULES}ngx_stream_module.so`) };
const SYSTEMD = { ignore: !has("systemd-analyze") };

/** The page's code block in a language, with replacements for ports and paths. */
function code(language: string, replaced: Record<string, string | number> = {}): string {
  const found = page.match(new RegExp(`^\`\`\`${language}\n([^]*?)^\`\`\`$`, "m"))?.[1];
  assert(found !== undefined, `no ${language}`);
  return Object.entries(replaced).reduce((code, [from, to]) => {
    assert(code.includes(from), `no ${from} in ${code}`);
    return code.replaceAll(from, String(to));
  }, found);
}

/** A server as the unit starts it, on free ports unless given. */
class Server implements AsyncDisposable {
  constructor(readonly program: Program, readonly port: number, readonly admin: number) {}

  static async start(port = 0, admin = 0): Promise<Server> {
    const unit = code("ini", { "1521%i": port, "910%i": admin, "/opt/rio/server.ts": "server.ts" });
    const [, args] = /^ExecStart=\S+ (.*)$/m.exec(unit)!;
    // Without --quiet, so that it shows the clients.
    const shown = args.split(" ").filter((arg) => arg !== "--quiet");
    const program = new Program(Deno.execPath(), [...shown, "--stats"]);
    const [, where] = await program.stderr.until(/^listening on 127\.0\.0\.1:(\d+) /m);
    const [, adminPort] = program.stderr.text.match(/^admin on http:\/\/127\.0\.0\.1:(\d+)$/m)!;
    return new Server(program, Number(where), Number(adminPort));
  }

  /** The counters, as they are now. */
  async stats(): Promise<{ accepted: number; bytesIn: number }> {
    return await (await fetch(`http://127.0.0.1:${this.admin}/stats`)).json();
  }

  /** Ends it, and returns the bytes it has read. */
  async stop(): Promise<number> {
    assertEquals([await this.program.stop(), this.program.stderr.text], [
      0,
      this.program.stderr.text,
    ]);
    return JSON.parse(/^\{.*\}$/m.exec(this.program.stderr.text)![0]).bytesIn;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.program[Symbol.asyncDispose]();
  }
}

/** Tries again until it returns true. */
async function eventually(attempt: () => Promise<boolean>): Promise<void> {
  while (!(await attempt().catch(() => false))) await sleep(20);
}

/** A balancer that runs. */
interface Balancer extends AsyncDisposable {
  port: number;
  /** The folder of its configuration, DIR in that and in its command. */
  path: string;
}

/** Runs a balancer with its configuration, until it listens. */
async function balance(
  command: string[],
  port: number,
  configuration: string,
): Promise<Balancer> {
  const { path, ...folder } = await tempDir();
  await Deno.writeTextFile(`${path}/conf`, configuration.replaceAll("DIR", path));
  const [name, ...args] = command.map((arg) => arg.replace("DIR", path));
  const program = new Program(name, args);
  // To connect would be to be a client.
  const listening = `0100007F:${port.toString(16).toUpperCase().padStart(4, "0")} 00000000:0000 0A`;
  await eventually(async () => (await Deno.readTextFile("/proc/net/tcp")).includes(listening));
  return {
    port,
    path,
    async [Symbol.asyncDispose]() {
      await program.stop();
      await folder[Symbol.asyncDispose]();
    },
  };
}

/** HAProxy over two servers, with more replacements in its configuration. */
async function haproxy(
  servers: Server[],
  replaced: Record<string, string> = {},
  bind = "bind 127.0.0.1:PORT",
) {
  const port = freePort();
  const [a, b] = servers;
  const configuration = code("haproxy", {
    "bind :7": bind.replace("PORT", String(port)),
    "15213": a.port,
    "15214": b.port,
    "9103": a.admin,
    "9104": b.admin,
    ...replaced,
  });
  return await balance(["haproxy", "-db", "-f", "DIR/conf"], port, configuration);
}

async function nginx(servers: Server[]) {
  const port = freePort();
  const [a, b] = servers;
  const configuration = code("nginx", {
    "listen 7;": `listen 127.0.0.1:${port};`,
    "15213": a.port,
    "15214": b.port,
    "modules/": NGINX_MODULES,
  });
  const command = [
    "nginx",
    "-p",
    "DIR",
    "-c",
    "conf",
    "-e",
    "stderr",
    "-g",
    "daemon off; pid pid;",
  ];
  return await balance(command, port, configuration);
}

Deno.test({
  ignore: !has("haproxy") || !has("openssl"),
  name: "haproxy asks clients for a certificate (needs haproxy, openssl)",
  async fn() {
    await using dir = await tempDir();
    const tls = (name: string) => Deno.readTextFile(`${ROOT}/tests/tls/${name}.pem`);
    await Deno.writeTextFile(`${dir.path}/server.pem`, await tls("cert") + await tls("key"));
    const pair = async (name: string) => {
      const [key, cert] = [`${dir.path}/${name}.key`, `${dir.path}/${name}.pem`];
      const command = `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes`;
      const args = ["-subj", `/CN=${name}`, "-keyout", key, "-out", cert];
      assertEquals(await new Program("openssl", [...command.split(" "), ...args]).code(), 0);
      return { key: await Deno.readTextFile(key), cert: await Deno.readTextFile(cert) };
    };
    const clients = await pair("clients");
    const bind = code("text", {
      ":7": "127.0.0.1:PORT",
      "server.pem": `${dir.path}/server.pem`,
      "clients.pem": `${dir.path}/clients.pem`,
    }).trim();
    await using server = await Server.start();
    await using proxy = await haproxy([server, server], {}, bind);
    const { port } = proxy;
    const caCerts = [await tls("ca")];
    const open = (pair = {}) => Deno.connectTls({ hostname: "127.0.0.1", port, caCerts, ...pair });
    await eventually(async () => {
      using client = new Client(await open(clients));
      await client.ask();
      return true;
    });
    const { accepted } = await server.stats();
    for (const other of [undefined, await pair("strangers")]) {
      using client = new Client(await open(other));
      await assertRejects(() => client.ask());
    }
    assertEquals((await server.stats()).accepted, accepted);
  },
});

for (
  const [name, start, options] of [["haproxy", haproxy, HAPROXY], ["nginx", nginx, NGINX]] as const
) {
  Deno.test({
    ...options,
    name: `${name} sends clients to both servers, which show the clients (needs ${name})`,
    async fn() {
      await using a = await Server.start();
      await using b = await Server.start();
      await using balancer = await start([a, b]);
      const shown = [];
      {
        using first = await connect(balancer.port);
        await first.ask();
        using second = await connect(balancer.port);
        await second.ask();
        for (const client of [first, second]) {
          const { port } = client.fd.localAddr as Deno.NetAddr;
          shown.push(`Connected to (127.0.0.1, ${port})\nserver received 6 bytes\n`);
          // Half-close goes through: what was sent before comes back behind it.
          await client.fd.write(bytes("the last"));
          await client.fd.closeWrite();
          const buf = new Uint8Array(100);
          assertEquals(text(buf.subarray(0, (await client.fd.read(buf))!)), "the last");
          await client.askEnd();
        }
      }
      await a.stop();
      await b.stop();
      const told = [a, b].map(({ program }) => program.stdout.text);
      assertEquals(
        told.toSorted(),
        shown.map((lines) => `${lines}server received 8 bytes\n`).toSorted(),
      );
      const faults = [a, b].map(({ program }) => program.stderr.text.match(/^server: 127.*$/gm));
      assertEquals(faults, [null, null]);
    },
  });
}

Deno.test({
  ...HAPROXY,
  name: "a rolling restart behind HAProxy loses no byte (needs haproxy)",
  async fn() {
    const servers = [await Server.start(), await Server.start()];
    let received = 0;
    let sent = 0;
    let stopping = false;
    try {
      await using balancer = await haproxy(servers, {
        global: "global\n  stats socket DIR/stats",
      });
      const isUp = async (name: string) => {
        using stats = await Deno.connect({ transport: "unix", path: `${balancer.path}/stats` });
        await stats.write(bytes("show servers state servers\n"));
        const answer = await new Response(stats.readable).text();
        return answer.includes(` ${name} 127.0.0.1 2 `); // 2 is "running"
      };
      // Each client connects, sends lines for a while, ends and comes again.
      const seed = noise(4096);
      const come = async (client: Client, n: number) => {
        for (let i = 0; i < n; i++) {
          const line = text(seed.subarray(0, 64 * (i + 1))).replaceAll("\n", "") + "\n";
          await client.ask(line);
          sent += line.length;
          await sleep(5);
        }
        await client.fd.closeWrite();
        await client.askEnd();
      };
      const clients = Array.from({ length: 8 }, async (_, i) => {
        for (let n = 0; !stopping; n++) {
          using client = await connect(balancer.port);
          await come(client, (7 * n + 5 * i) % 40);
        }
      });
      const restart = async () => {
        for (const i of [0, 1]) {
          const { port, admin } = servers[i];
          await eventually(async () => (await servers[i].stats()).accepted > 0);
          received += await servers[i].stop();
          servers[i] = await Server.start(port, admin);
          await eventually(() => isUp(["echo3", "echo4"][i]));
        }
        await eventually(async () => (await servers[1].stats()).accepted > 0);
      };
      await Promise.race([restart(), Promise.all(clients)]); // clients end first only if one fails
      stopping = true;
      await Promise.all(clients);
      for (const server of servers) received += await server.stop();
      assert(sent > 10_000);
      assertEquals(received, sent);
    } finally {
      stopping = true;
      for (const server of servers) await server[Symbol.asyncDispose]();
    }
  },
});

Deno.test({
  ...SYSTEMD,
  name: "systemd finds nothing wrong with the unit (needs systemd-analyze)",
  async fn() {
    await using folder = await tempDir();
    const unit = code("ini", { "/usr/local/bin/deno": Deno.execPath() });
    await Deno.writeTextFile(`${folder.path}/echo@.service`, unit);
    const { code: exit, stderr } = await new Deno.Command("systemd-analyze", {
      args: ["verify", `${folder.path}/echo@3.service`],
    }).output();
    assertEquals([exit, text(stderr)], [0, ""]);
    // Its exposure is under 3 of 10.
    const { success, stdout } = await new Deno.Command("systemd-analyze", {
      args: ["security", "--offline=true", "--threshold=30", `${folder.path}/echo@3.service`],
    }).output();
    assert(success, text(stdout));
  },
});

Deno.test("the Dockerfile's command serves, and its health check says so", async () => {
  const file = code("dockerfile", { "15213": 0, ':9103", ': ':0", ' });
  const [, command] = /^CMD (.*)$/m.exec(file)!;
  await using server = new Program(Deno.execPath(), JSON.parse(command));
  await server.stderr.until(/^listening/m);
  const [, port] = server.stderr.text.match(/^admin on http:\/\/0\.0\.0\.0:(\d+)$/m)!;
  const [, check] = /^HEALTHCHECK CMD (.*)$/m.exec(file.replaceAll("9103", port))!;
  const run = async () => {
    const [, ...args] = JSON.parse(check);
    const { code, stderr } = await new Deno.Command(Deno.execPath(), { args }).output();
    return [code, text(stderr)];
  };
  assertEquals(await run(), [0, ""]);
});

Deno.test("the page names each metric, and no other", async () => {
  await using server = await Server.start();
  const metrics = await (await fetch(`http://127.0.0.1:${server.admin}/metrics`)).text();
  const names = (text: string, pattern: RegExp) =>
    [...new Set(Array.from(text.matchAll(pattern), ([, name]) => name))].toSorted();
  assertEquals(names(page, /^\| `((?:echo|process)_\w+)/gm), names(metrics, /^([a-z]\w+)/gm));
});

Deno.test("the example sends its counters by OpenTelemetry", async () => {
  // A collector that waits for a sum of 12 bytes.
  const found = Promise.withResolvers<void>();
  const seen: Record<string, string> = {};
  await using collector = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    async (request) => {
      const { resourceMetrics = [] } = await request.json();
      for (const { scopeMetrics } of resourceMetrics) {
        for (
          const { name, sum } of scopeMetrics.flatMap(({ metrics }: { metrics: unknown }) =>
            metrics
          )
        ) {
          if (sum !== undefined) {
            seen[name] = String(
              sum.dataPoints[0].asDouble ?? sum.dataPoints[0].asInt,
            );
          }
        }
      }
      if (seen["echo.received"] === "12") found.resolve();
      return Response.json({});
    },
  );
  const port = freePort();
  const source = code("ts ignore", { "@netp/rio/server": `${ROOT}/server.ts`, "15213": port });
  assert(
    source.trim().split("\n").filter((line) => line !== "").length <= 17,
    "15 lines are enough",
  );
  await using program = new Program(
    Deno.execPath(),
    ["run", "--quiet", "--allow-net", "--ext=ts", "-"],
    {
      OTEL_DENO: "true",
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${collector.addr.port}`,
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
      OTEL_METRIC_EXPORT_INTERVAL: "50",
    },
  );
  await program.write(source);
  await program.closeInput();
  let client!: Client;
  await eventually(async () => {
    client = await connect(port);
    return true;
  });
  using _ = client;
  await client.ask("hello\n");
  await client.ask("world\n");
  await found.promise;
  assertEquals([seen["echo.connections.accepted"], seen["echo.lines"]], ["1", "2"]);
});
