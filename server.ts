/**
 * The echo server of CS:APP: `open_listenfd`, `echo`, and one accept loop that is
 * the iterative server of the lecture with one slot and a concurrent one with more.
 * Imported, it is these; run, it is the program.
 *
 * @module
 */
import {
  count,
  type Flags,
  onSignal,
  PORT,
  reason,
  run,
  type Stdout,
  toInteger,
  toMilliseconds,
  UsageError,
} from "./cli.ts";
import { EchoServer, json, type Printer, total } from "./echo.ts";
import { address, LISTENQ, openListenfd, openTlsListenfd, openUnixListenfd } from "./listen.ts";
import type { Listenfd } from "./serve.ts";
import type { Workers } from "./workers.ts";

export { echo, type EchoOptions, EchoStats } from "./echo.ts";
export {
  type ListenOptions,
  LISTENQ,
  openListenfd,
  openTlsListenfd,
  openUnixListenfd,
  TlsListenfd,
  type TlsListenOptions,
} from "./listen.ts";
export { Connfd, type Listenfd, serve, type ServeOptions, ServeStats } from "./serve.ts";

/** Standard output that is given up when it fails: a server serves on. */
function fallible(stdout: Stdout): Printer {
  let failed = false;
  const fail = (error: unknown) => {
    if (!failed) console.error(`server: ${reason(error)}`);
    failed = true;
  };
  return {
    print(p, times) {
      if (failed) return;
      try {
        return stdout.print(p, times)?.catch(fail);
      } catch (error) {
        fail(error);
      }
    },
  };
}

const USAGE =
  "usage: server.ts [port] [--host=ADDR] [--unix=PATH] [--cert=FILE --key=FILE] [--backlog=N] [--concurrency=N] [--workers=N] [--idle-timeout=SEC] [--max-seconds=SEC] [--grace=SEC] [--names] [--quiet] [--stats] [--help] [--version]";
const HELP = `The echo server of CS:APP: prints who connects and how many bytes each line has,
and writes the line back.

  port                the port to listen on, 0 for any free one (default ${PORT})
  --host=ADDR         the address to listen on (default: all, IPv6 and IPv4)
  --unix=PATH         listen on a Unix socket instead
  --cert=FILE         speak TLS, with this certificate chain (PEM)
  --key=FILE          and its private key
  --backlog=N         connections that the kernel may queue (default ${LISTENQ})
  --concurrency=N     clients served at once; the others wait in the kernel's queue
                      (default 1: the iterative server)
  --workers=N         threads, each of which serves that many (default: one)
  --idle-timeout=SEC  end a connection when no byte has gone for so long
  --max-seconds=SEC   end a connection that lasts longer
  --grace=SEC         time for those still connected after SIGINT or SIGTERM (default 5)
  --names             print the names of hosts and services, not their numbers
  --quiet             print nothing on standard output
  --stats             print the counters as JSON at the end; SIGUSR1 prints them now
  -h, --help          print this
  --version           print the version

Exit codes: 0 done, 1 the network failed or the grace cut a connection, 2 usage.
`;

async function main(
  { positionals: [portGiven], values, set }: Flags,
  stdout: Stdout,
): Promise<number> {
  const port = portGiven ?? String(PORT);
  const integer = (name: string, fallback: number, max: number) =>
    toInteger(`--${name}`, values[name] ?? String(fallback), 1, max);
  const time = (name: string) => {
    const value = values[name];
    return value === undefined ? undefined : toMilliseconds(`--${name}`, value);
  };
  const portNumber = toInteger("port", port, 0, 65535);
  const { host, unix, cert, key } = values;
  const backlog = integer("backlog", LISTENQ, 65535);
  const workers = integer("workers", 1, 1024);
  const grace = toMilliseconds("--grace", values.grace ?? "5", 0);
  const options = {
    concurrency: integer("concurrency", 1, 1_000_000),
    grace,
    idleTimeout: time("idle-timeout"),
    maxTime: time("max-seconds"),
    names: set.has("names"),
    quiet: set.has("quiet"),
  };
  if ((cert === undefined) !== (key === undefined)) {
    throw new UsageError("--cert and --key go together");
  }
  if (unix !== undefined && portGiven !== undefined) {
    throw new UsageError(`port ${port} doesn't go with --unix=${unix}`);
  }
  for (const name of ["host", "backlog", "cert", "workers"]) {
    if (unix !== undefined && values[name] !== undefined) {
      throw new UsageError(`--${name} doesn't go with --unix=${unix}`);
    }
  }
  if (values.workers !== undefined && cert !== undefined) {
    throw new UsageError(`--cert doesn't go with --workers=${workers}`);
  }

  const start = performance.now();
  const out = fallible(stdout);
  let running: Omit<Workers, "addr">;
  let where: string;
  let bounds = `concurrency ${options.concurrency}`;
  if (values.workers !== undefined) {
    const { startWorkers } = await import("./workers.ts");
    const listenOptions = { host, backlog, reusePort: true };
    const team = await startWorkers(
      workers,
      portNumber,
      listenOptions,
      options,
      out,
    );
    running = team;
    where = address(team.addr.hostname, team.addr.port);
    bounds = `workers ${workers}, ${bounds}, backlog ${backlog}`;
  } else {
    const server = new EchoServer(options, out, console.error);
    let listenfd: Listenfd<Deno.Conn<Deno.Addr>>;
    if (unix !== undefined) {
      listenfd = await openUnixListenfd(unix);
      where = unix;
    } else {
      const listener = cert === undefined || key === undefined
        ? openListenfd(portNumber, { host, backlog })
        : openTlsListenfd(portNumber, {
          host,
          backlog,
          cert: await Deno.readTextFile(cert),
          key: await Deno.readTextFile(key),
          onError: (error, addr) => server.fault(error, addr),
        });
      listenfd = listener;
      where = address(listener.addr.hostname, listener.addr.port);
      bounds += `, backlog ${backlog}`;
    }
    running = {
      ended: server.run(listenfd),
      stop: () => server.stop(),
      stats: () => Promise.resolve([server.stats]),
    };
  }

  onSignal(async (signal) => {
    running.stop();
    const { active } = total(await running.stats());
    console.error(
      `server: ${signal}: ${count(active, "connection")} left, ${grace / 1000} s of grace`,
    );
  });
  if (Deno.build.os !== "windows") {
    Deno.addSignalListener("SIGUSR1", async () => {
      console.error(json(await running.stats()));
    });
  }
  console.error(`listening on ${where} (${bounds})`);
  await running.ended;

  const stats = await running.stats();
  if (set.has("stats")) console.error(json(stats));
  const { accepted, lines, bytesIn, closed: { cut } } = total(stats);
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.error(
    `server: ${count(accepted, "connection")}, ${count(lines, "line")}, ${
      count(bytesIn, "byte")
    } in ${seconds} s${cut > 0 ? `, ${count(cut, "connection")} cut` : ""}`,
  );
  return cut > 0 ? 1 : 0;
}

if (import.meta.main) {
  await run("server", {
    usage: USAGE,
    help: HELP,
    string: [
      "host",
      "unix",
      "cert",
      "key",
      "backlog",
      "concurrency",
      "workers",
      "idle-timeout",
      "max-seconds",
      "grace",
    ],
    boolean: ["names", "quiet", "stats"],
    positionals: 1,
  }, main);
}
