/** A thread of the prethreaded server, started by workers.ts. */
import { Stdout } from "../cli/stdout.ts";
import { OtherThread } from "../cli/threads.ts";
import { type Listenfd, openListenfd, openTlsListenfd, TlsListenfd } from "../server.ts";
import type { ServerOptions } from "./command_line.ts";
import { EchoServer } from "./echo_server.ts";
import type { Pair } from "./tls.ts";
import type { MainThread, Where } from "./workers.ts";

let server: EchoServer;
let listenfd: Listenfd;
let ending = false;
let goOn = () => {};

// One block at a time is on its way to the main thread, which bounds memory.
const stdout = new Stdout({
  write(p) {
    const { promise, resolve } = Promise.withResolvers<number>();
    goOn = () => resolve(p.length);
    main.call("print", p.slice()).then(goOn);
    if (ending) goOn();
    return promise;
  },
});

const methods = {
  listen({ hostname: host, port, tls }: Where, options: ServerOptions): void {
    server = new EchoServer(options, stdout, (line) => void main.call("log", line));
    const listenOptions = { host, backlog: options.backlog, shared: true };
    listenfd = tls === undefined
      ? openListenfd(port, listenOptions)
      : openTlsListenfd(port, { ...listenOptions, ...tls, ...server.handshakes });
  },
  async run(): Promise<void> {
    await server.run(listenfd);
    // Don't wait for the last blocks: the main thread knows how long they may take.
    ending = true;
    goOn();
    await stdout.flush();
  },
  stop: () => server.stop(),
  renew(pair: Pair): void {
    if (listenfd instanceof TlsListenfd) listenfd.renew(pair);
  },
  stats: () => server.stats,
};

/** What the main thread may call. */
export type ServerThread = typeof methods;

const main = new OtherThread<MainThread>(globalThis, methods);
