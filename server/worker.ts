/** A thread of the prethreaded server, started by workers.ts. */
import { Stdout } from "../cli/stdout.ts";
import { reason } from "../net/errors.ts";
import { openListenfd, openTlsListenfd, type TlsListenfd } from "../server.ts";
import { EchoServer } from "./echo_server.ts";
import type { Answer, Order } from "./workers.ts";

const main = globalThis as unknown as {
  postMessage(answer: Answer): void;
  onmessage: (event: MessageEvent<Order>) => void;
};

let printed = Promise.withResolvers<void>();
let ending = false;
// One block at a time is on its way to the main thread, which bounds memory.
const stdout = new Stdout({
  async write(p) {
    printed = Promise.withResolvers();
    main.postMessage({ type: "print", bytes: p.slice() });
    if (!ending) await printed.promise;
    return p.length;
  },
});
let server: EchoServer | undefined;
let tlsListenfd: TlsListenfd | undefined;
async function start({ where, options }: Order & { type: "start" }): Promise<void> {
  const log = (line: string) => main.postMessage({ type: "log", line });
  server = new EchoServer(options, stdout, log);
  const { hostname: host, port, tls } = where;
  const { backlog } = options;
  const listenOptions = { host, backlog, shared: true };
  try {
    tlsListenfd = tls && openTlsListenfd(port, { ...listenOptions, ...tls, ...server.handshakes });
    const listenfd = tlsListenfd ?? openListenfd(port, listenOptions);
    main.postMessage({ type: "listening" });
    await server.run(listenfd);
    // Don't wait for the last blocks: the main thread knows how long they may take.
    ending = true;
    printed.resolve();
    await stdout.flush();
    main.postMessage({ type: "ended" });
  } catch (error) {
    main.postMessage({ type: "failed", message: reason(error) });
  }
}

main.onmessage = ({ data }) => {
  if (data.type === "start") start(data);
  else if (data.type === "printed") printed.resolve();
  else if (data.type === "stop") server?.stop();
  else if (data.type === "renew") tlsListenfd?.renew(data.pair);
  else if (server) main.postMessage({ type: "stats", stats: server.stats });
};
