/** The lecture's server: `serve` and `echo`, with its output, diagnostics and counters. */
import { echo, type Listenfd, serve } from "../server.ts";
import { Rio } from "../rio.ts";
import type { ServerOptions } from "./command_line.ts";
import { type Connfd, ECHO_BUFSIZE } from "./connfd.ts";
import { type Cause, Refused, ServeStats } from "./connections.ts";
import { Gate, NO_PLACE } from "./gate.ts";
import type { Endpoints } from "./proxy.ts";
import { type Printer, Report } from "./report.ts";
import { EchoStats, partOf, type Stats } from "./stats.ts";
import { TlsConnfd } from "./tls.ts";

/** One echo server, in the main thread or in a worker. */
export class EchoServer {
  readonly #options: ServerOptions;
  readonly #report: Report;
  readonly #gate: Gate;
  readonly #stop = new AbortController();
  readonly #serveStats = new ServeStats();
  readonly #echoStats = new EchoStats();
  /** The counters of each connection, with `--log`. */
  readonly #own = new WeakMap<Connfd, EchoStats>();
  #handshakesFailed = 0;
  #listenfd: Listenfd | undefined;

  /** A server that prints to `stdout` and reports faults to `log`. */
  constructor(
    options: ServerOptions,
    stdout: Printer,
    log: (line: string) => void,
  ) {
    this.#options = options;
    this.#report = new Report(options, stdout, log);
    this.#gate = new Gate(options);
  }

  /** Accepts, prints, echoes and closes until `stop` is called and all connections have ended. */
  async run(listenfd: Listenfd): Promise<void> {
    const report = this.#report;
    const { log } = this.#options;
    this.#listenfd = listenfd;
    await serve(listenfd, async (connfd) => {
      const alone = this.#serveStats.active === 0; // it isn't counted yet
      const rio = new Rio(connfd, alone ? { bufsize: ECHO_BUFSIZE } : {});
      using place = connfd.conn instanceof TlsConnfd
        ? NO_PLACE // it was admitted before its handshake
        : await this.#gate.enter(connfd, rio);
      if (place === undefined || !(await this.#gate.isClient(rio))) return; // a health check
      connfd.writing = true;
      await report.connected(connfd);
      const stats = log ? partOf(this.#echoStats) : this.#echoStats;
      if (log) this.#own.set(connfd, stats);
      await echo(connfd, {
        rio,
        stats,
        onLines: (lengths) => {
          connfd.writing = true; // standard output may be slow
          return report.received(lengths, connfd);
        },
      });
    }, {
      ...this.#options,
      signal: this.#stop.signal,
      stats: this.#serveStats,
      onError: (error, connfd) => report.fault(error, connfd?.remoteAddr),
      onClose: (connfd, cause, ms) =>
        report.closed(connfd.remoteAddr, cause, ms, this.#own.get(connfd)),
    });
    report.end();
  }

  /** What a TLS listener needs: who is admitted, and where failed handshakes are told. */
  readonly handshakes = {
    admit: async (ends: Endpoints, rio: Rio): Promise<Disposable | undefined> => {
      let cause: Cause = "done";
      try {
        const place = await this.#gate.enter(ends, rio);
        if (place !== undefined) return place;
      } catch (error) {
        if (error instanceof Refused) cause = "refused";
        else if (error instanceof Deno.errors.InvalidData) cause = "failed";
        else throw error;
        this.#report.fault(error, ends.remoteAddr);
      }
      // A connection that had no handshake.
      this.#serveStats.accepted++;
      this.#serveStats.closed[cause]++;
      this.#report.closed(ends.remoteAddr, cause);
    },
    onError: (error: unknown, addr: Deno.Addr): void => {
      this.#handshakesFailed++;
      this.#report.fault(error, addr);
      this.#report.closed(addr, "handshake failed");
    },
  };

  /** The counters so far. */
  get stats(): Stats {
    return {
      ...this.#serveStats,
      ...this.#echoStats,
      handshaking: this.#listenfd?.handshaking ?? 0,
      handshakesFailed: this.#handshakesFailed,
      refusals: { ...this.#gate.refusals },
    };
  }

  /** Stops: `run` returns when all connections have been served or the grace has run out. */
  stop(): void {
    this.#stop.abort();
  }
}
