/** Threads of the server, with a standard output that isn't read. */
import { assertEquals } from "@std/assert";
import { openListenfd } from "@netp/rio/server";
import { Rio, rioWriten } from "@netp/rio/rio";
import { Workers } from "../server/workers.ts";
import { bytes, text } from "./helpers.ts";

const LINES = 40_000;

Deno.test({
  name: "a thread waits for who reads standard output: a block on its way, and one behind it",
  // Its thread ends with the process.
  sanitizeResources: false,
  sanitizeOps: false,
  async fn() {
    const printed: string[] = [];
    const reader = Promise.withResolvers<void>();
    const stdout = {
      print(p: Uint8Array) {
        printed.push(text(p));
        return reader.promise;
      },
    };
    using listenfd = openListenfd(0, { host: "127.0.0.1", backlog: 16, shared: true });
    const { hostname, port } = listenfd.addr;
    const options = {
      concurrency: 1,
      grace: 30_000,
      backlog: 16,
      idleTimeout: Infinity,
      maxTime: Infinity,
      names: false,
      quiet: false,
    };
    const workers = await Workers.start(1, { hostname, port, tls: undefined }, options, stdout);
    listenfd.close(); // the thread's own goes on
    using clientfd = await Deno.connect({ hostname, port });
    const sending = rioWriten(clientfd, bytes("x\n".repeat(LINES))).then(() =>
      clientfd.closeWrite()
    );
    const rio = new Rio(clientfd);
    const receiving = rio.readnb(new Uint8Array(2 * LINES + 1));

    // It stands still when it answers and answers, and has read no more.
    let lines = -1;
    for (let same = 0; same < 200;) {
      const [stats] = await workers.stats();
      same = stats.lines === lines && lines > 0 ? same + 1 : 0;
      lines = stats.lines;
    }
    assertEquals([printed.length, lines < LINES], [1, true]);

    reader.resolve();
    assertEquals(await receiving, 2 * LINES);
    await sending;
    workers.stop();
    await workers.ended;
    const [, ...told] = printed.join("").split("\n");
    assertEquals(told.length, LINES + 1);
  },
});
