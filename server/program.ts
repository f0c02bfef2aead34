/** The program server.ts: start, signals, shutdown. */
import { log } from "../cli/diagnostics.ts";
import type { Flags } from "../cli/flags.ts";
import { exit, LAST_WORDS, run } from "../cli/program.ts";
import { onSignal } from "../cli/signals.ts";
import type { Stdout } from "../cli/stdout.ts";
import { inOrder, traceTo } from "../cli/trace.ts";
import { address } from "../net/address.ts";
import { count } from "../net/errors.ts";
import { type ListenOptions, openListenfd, openTlsListenfd } from "../server.ts";
import { openAdmin } from "./admin.ts";
import { COMMAND_LINE, serverFlags, type ServerOptions } from "./command_line.ts";
import { EchoServer } from "./echo_server.ts";
import { Output } from "./output.ts";
import type { Printer } from "./report.ts";
import { json, type Stats, total } from "./stats.ts";
import { traceListenfd } from "./trace.ts";
import { openUnixListenfd } from "./unix.ts";
import { Workers } from "./workers.ts";

/** A running server, in this thread or in workers. */
interface Running {
  /** Where it listens. */
  where: string;
  ended: Promise<unknown>;
  stop(): void;
  stats(): Promise<Stats[]>;
}

async function main(flags: Flags, stdout: Stdout): Promise<number> {
  const { port, host, unix, cert, key, workers, stats, admin, trace, options } = serverFlags(
    flags,
  );
  const { concurrency, backlog, grace } = options;
  const tls = cert !== undefined && key !== undefined
    ? { cert: await Deno.readTextFile(cert), key: await Deno.readTextFile(key) }
    : undefined;
  const start = performance.now();
  stdout.byLine ||= trace;
  const out = new Output(stdout, log);
  const starting = workers !== undefined
    ? startThreads(workers, port, { host, backlog }, tls, options, out)
    : startHere(unix ?? port, { host, backlog }, tls, options, trace ? inOrder(out) : out, trace);

  let end = 0;
  const subject = {
    slots: concurrency * (workers ?? 1),
    draining: false,
    stats: async () => await (await starting).stats(),
  };
  // Now, since a thread may serve before all have started.
  onSignal(async (signal) => {
    subject.draining = true;
    const running = await starting.catch(() => undefined);
    if (running === undefined) return; // `main` reports it
    running.stop();
    end = performance.now() + grace;
    const { active } = total(await running.stats());
    log(`server: ${signal}: ${count(active, "connection")} left, ${grace / 1000} s of grace`);
  });
  if (Deno.build.os !== "windows") { // which has no SIGUSR1
    Deno.addSignalListener("SIGUSR1", async () => log(json(await subject.stats())));
  }
  const running = await starting;
  if (admin !== undefined) {
    const { hostname, port } = openAdmin(admin, subject);
    log(`admin on http://${address(hostname, port)}`);
  }
  const bounds = [
    ...workers === undefined ? [] : [`workers ${workers}`],
    `concurrency ${concurrency}`,
    ...unix === undefined ? [`backlog ${backlog}`] : [],
  ];
  log(`listening on ${running.where} (${bounds.join(", ")})`);
  await running.ended;

  const counts = await running.stats();
  const printed = await out.end(Math.max(end - performance.now(), LAST_WORDS));
  if (stats) log(json(counts));
  const { accepted, lines, bytesIn, closed: { cut } } = total(counts);
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  const served = [count(accepted, "connection"), count(lines, "line"), count(bytesIn, "byte")];
  const lost = cut > 0 ? `, ${count(cut, "connection")} cut` : "";
  log(`server: ${served.join(", ")} in ${seconds} s${lost}`);
  return await exit(cut === 0 && printed ? 0 : 1);
}

/** Starts the server in this thread, on a port or a Unix socket. */
async function startHere(
  where: number | string,
  listenOptions: ListenOptions,
  tls: { cert: string; key: string } | undefined,
  options: ServerOptions,
  stdout: Printer,
  trace: boolean,
): Promise<Running> {
  const server = new EchoServer(options, stdout, log);
  const running = {
    stop: () => server.stop(),
    stats: () => Promise.resolve([server.stats]),
  };
  if (typeof where === "string") {
    const listenfd = await openUnixListenfd(where);
    if (trace) traceListenfd(listenfd, undefined, traceTo("server"));
    return { ...running, where, ended: server.run(listenfd) };
  }
  const listenfd = tls === undefined
    ? openListenfd(where, listenOptions)
    : openTlsListenfd(where, { ...listenOptions, ...tls, ...server.handshakes });
  if (trace) traceListenfd(listenfd, { port: where, ...listenOptions }, traceTo("server"));
  const { hostname, port } = listenfd.addr;
  return { ...running, where: address(hostname, port), ended: server.run(listenfd) };
}

/** Starts the server in workers that share one listening socket. */
async function startThreads(
  n: number,
  port: number,
  listenOptions: ListenOptions,
  tls: { cert: string; key: string } | undefined,
  options: ServerOptions,
  stdout: Printer,
): Promise<Running> {
  // Closing this one resets no client: the workers have the same socket open by then.
  using listenfd = openListenfd(port, { ...listenOptions, shared: true });
  const { hostname } = listenfd.addr;
  const workers = await Workers.start(n, { hostname, port, tls }, options, stdout);
  return {
    where: address(hostname, listenfd.addr.port),
    ended: workers.ended,
    stop: () => workers.stop(),
    stats: () => workers.stats(),
  };
}

/** Runs the program. */
export async function program(): Promise<never> {
  return await run(COMMAND_LINE, main);
}
