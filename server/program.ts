/** The program server.ts: start, signals, shutdown. */
import { log } from "../cli/diagnostics.ts";
import type { Flags } from "../cli/flags.ts";
import { exit, LAST_WORDS, run } from "../cli/program.ts";
import { onSignal } from "../cli/signals.ts";
import type { Stdout } from "../cli/stdout.ts";
import { inOrder, traceTo } from "../cli/trace_lines.ts";
import { address } from "../net/address.ts";
import { label, reason } from "../net/errors.ts";
import { plural, printable } from "../net/text.ts";
import { sleep } from "../net/time.ts";
import { openListenfd, openTlsListenfd } from "../server.ts";
import { openAdmin } from "./admin.ts";
import { COMMAND_LINE, type ServerFlags, serverFlags } from "./command_line.ts";
import { EchoServer } from "./echo_server.ts";
import { Output } from "./output.ts";
import type { Printer } from "./report.ts";
import { json, type Stats, total } from "./stats.ts";
import { checkPair, type Pair } from "./tls.ts";
import { traceListenfd } from "./trace.ts";
import { openUnixListenfd } from "./unix.ts";
import { startWorkers } from "./workers.ts";

/** A running server, in this thread or in workers. */
export interface Running {
  /** Where it listens. */
  where: string;
  /** Resolves when it has ended; rejects if a thread fails. */
  ended: Promise<unknown>;
  stop(): void;
  /** Uses another certificate from now on. */
  renew(pair: Pair): void;
  stats(): Promise<Stats[]>;
}

async function main(flags: Flags, stdout: Stdout): Promise<number> {
  const start = performance.now();
  const given = serverFlags(flags);
  const { workers, trace, drainDelay, options: { concurrency, grace, backlog } } = given;
  stdout.byLine ||= trace;
  const out = new Output(stdout, log);
  const starting = startServer(given, out);
  let end = 0;
  const subject = {
    slots: concurrency * (workers ?? 1),
    draining: false,
    stats: async () => await (await starting).stats(),
  };
  // At once: clients may have connected before all threads listen, and a signal would end the program.
  onSignal(async (signal) => {
    subject.draining = true;
    const running = await starting.catch(() => undefined);
    if (running === undefined) return; // `main` reports it
    if (drainDelay > 0) log(`server: ${signal}: draining in ${drainDelay / 1000} s`);
    await sleep(drainDelay);
    running.stop();
    end = performance.now() + grace;
    const { active } = total(await running.stats());
    log(`server: ${signal}: ${plural(active, "connection")} left, ${grace / 1000} s of grace`);
  });
  // Windows has neither, and its SIGHUP is the end of the console. SIGUSR1 is for those who know it
  // from before: since 2.9.2 it makes Deno open a debugger, too.
  if (Deno.build.os !== "windows") {
    const started = () => starting.catch(() => undefined);
    for (const signal of ["SIGUSR1", "SIGUSR2"] as const) {
      Deno.addSignalListener(signal, async () => {
        const running = await started();
        if (running !== undefined) log(json(await running.stats()));
      });
    }
    if (given.cert !== undefined) {
      Deno.addSignalListener("SIGHUP", async () => await renew(given, await started()));
    }
  }
  const running = await starting;
  if (given.admin !== undefined) {
    const { hostname, port } = openAdmin(given.admin, subject);
    log(`admin on http://${address(hostname, port)}`);
  }
  const bounds = [
    ...workers === undefined ? [] : [`workers ${workers}`],
    `concurrency ${concurrency}`,
    ...given.unix === undefined ? [`backlog ${backlog}`] : [],
  ];
  log(`listening on ${running.where} (${bounds.join(", ")})`);
  await running.ended;

  const counts = await running.stats();
  const printed = await out.end(Math.max(end - performance.now(), LAST_WORDS));
  if (given.stats) log(json(counts));
  const { accepted, lines, bytesIn, closed: { cut } } = total(counts);
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  const served = [plural(accepted, "connection"), plural(lines, "line"), plural(bytesIn, "byte")];
  const lost = cut > 0 ? `, ${plural(cut, "connection")} cut` : "";
  log(`server: ${served.join(", ")} in ${seconds} s${lost}`);
  return await exit(cut === 0 && printed ? 0 : 1);
}

/** Reads the certificate and the key, if there are any, and checks them. */
async function readPair(flags: ServerFlags): Promise<Pair | undefined> {
  if (flags.cert === undefined || flags.key === undefined) return undefined;
  const [cert, key] = await Promise.all(
    [flags.cert, flags.key].map((path) => Deno.readTextFile(path)),
  );
  try {
    checkPair({ cert, key });
  } catch (error) {
    throw label(`${flags.cert} and ${flags.key}`, error);
  }
  return { cert, key };
}

/** Reads certificate and key anew; if they are no good, the old ones stay. */
async function renew(flags: ServerFlags, running: Running | undefined): Promise<void> {
  try {
    const pair = await readPair(flags);
    if (pair === undefined || running === undefined) return;
    running.renew(pair);
    log("server: SIGHUP: the certificate was read anew");
  } catch (error) {
    log(`server: SIGHUP: the old certificate stays: ${reason(error)}`);
  }
}

async function startServer(flags: ServerFlags, out: Output): Promise<Running> {
  const tls = await readPair(flags);
  return flags.workers === undefined
    ? await startHere(flags, tls, flags.trace ? inOrder(out) : out)
    : await startThreads(flags.workers, flags, tls, out);
}

/** Starts the server in this thread, on a port or a Unix socket. */
async function startHere(
  { port, host, unix, unixMode: mode, trace, options }: ServerFlags,
  tls: Pair | undefined,
  stdout: Printer,
): Promise<Running> {
  const server = new EchoServer(options, stdout, log);
  const running = {
    stop: () => server.stop(),
    renew: () => {},
    stats: () => Promise.resolve([server.stats]),
  };
  if (unix !== undefined) {
    const listenfd = await openUnixListenfd(unix, { mode });
    if (trace) traceListenfd(listenfd, undefined, traceTo("server"));
    return { ...running, where: printable(unix), ended: server.run(listenfd) };
  }
  const listenOptions = { host, backlog: options.backlog };
  const tlsListenfd = tls &&
    openTlsListenfd(port, { ...listenOptions, ...tls, ...server.handshakes });
  const listenfd = tlsListenfd ?? openListenfd(port, listenOptions);
  if (trace) traceListenfd(listenfd, { port, ...listenOptions }, traceTo("server"));
  return {
    ...running,
    where: whereOf(listenfd.addr, host),
    renew: (pair) => tlsListenfd?.renew(pair),
    ended: server.run(listenfd),
  };
}

/** Starts the server in workers that share one listening socket. */
async function startThreads(
  n: number,
  { port, host, options }: ServerFlags,
  tls: Pair | undefined,
  stdout: Printer,
): Promise<Running> {
  // Closing this one resets no client: the workers have the same socket open by then.
  using listenfd = openListenfd(port, { host, backlog: options.backlog, shared: true });
  const { addr } = listenfd;
  // The port asked for, 0 too: by it Deno finds the socket to share.
  const where = { hostname: addr.hostname, port, tls };
  return { where: whereOf(addr, host), ...await startWorkers(n, where, options, stdout) };
}

/** Where it listens, with the scope of a link-local address, which Deno leaves out. */
function whereOf({ hostname, port }: Deno.NetAddr, host: string | undefined): string {
  return address(host?.includes("%") ? host : hostname, port);
}

/** Runs the program. */
export async function program(): Promise<never> {
  return await run(COMMAND_LINE, main);
}
