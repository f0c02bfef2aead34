/** Cases for a server started by judge: what only /proc, signals and its output show. */
import { sleep } from "../../net/time.ts";
import { longLine } from "./bytes.ts";
import type { Started } from "./process.ts";
import { type Case, Failure, Skip } from "./case.ts";
import type { Trial } from "./trial.ts";

/** Descriptors and bytes that a language's runtime may take in the meantime. */
const SOME_DESCRIPTORS = 10;
const SOME_MEMORY = 512 * 1024;

/** Clients that reset. */
const RESETS = 40;

/** How many times to check whether the server sleeps. */
const LOOKS = 10;

export const STARTED: Case<Trial>[] = [
  {
    name: "no descriptor is left open",
    did: "counted /proc/PID/fd before and after 450 clients, and around 40 that reset",
    means: "connfd isn't closed, or not by the parent after fork, or not when a read fails",
    read: "CS:APP 12.1.1: close connfd in the parent; proc(5)",
    async run(t) {
      const { before, after } = await held(t);
      const left = after.descriptors - before.descriptors;
      if (left > SOME_DESCRIPTORS) throw new Failure(`${left} more are open than before`);
      const start = await started(t).held();
      try {
        for (let n = 0; n < RESETS; n++) await t.reset("a line\n", "half a li");
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
      }
      if (await t.ended() !== undefined) {
        await restart(t);
        return "a reset ends it, so none was counted";
      }
      const reset = (await started(t).held(start)).descriptors - start.descriptors;
      if (reset > SOME_DESCRIPTORS) throw new Failure(`${reset} more are open after the resets`);
    },
  },
  {
    name: "no process is left unwaited for",
    did: "counted zombies after 450 clients, and after 20 that left at once",
    means: "the parent doesn't wait for its children, or for one child a SIGCHLD: they don't queue",
    read: "CS:APP 8.4.3, waitpid; CS:APP 8.5.5: signals aren't queued; CS:APP 12.1.1",
    async run(t) {
      const { after } = await held(t);
      if (after.zombies > 1) throw new Failure(`${after.zombies} zombies are left`);
      const clients = await t.many();
      for (const client of clients) client.close();
      const last = await t.connect();
      await last.ask("some wait for their children before they accept\n");
      await last.leave();
      const { zombies } = await started(t).held(after);
      if (zombies > 1) throw new Failure(`${zombies} zombies are left`);
    },
  },
  {
    name: "no memory is left taken",
    did: "read RssAnon of /proc/PID/status before and after 450 clients",
    means: "what is allocated for a client isn't freed, or a thread is neither joined nor detached",
    read: "CS:APP 9.11, memory bugs; CS:APP 12.3.6, detaching threads",
    async run(t) {
      const { before, after } = await held(t);
      const more = after.memory - before.memory;
      if (more > Math.max(SOME_MEMORY, before.memory / 2)) {
        throw new Failure(
          `${Math.round(more / 1024)} KiB more than before, of ${Math.round(before.memory / 1024)}`,
        );
      }
    },
  },
  {
    name: "it sleeps while nobody says anything",
    did:
      "looked whether it runs or sleeps (/proc/PID/task), with a client that said nothing and without",
    means: "it asks over and over instead of waiting, or reads on behind EOF",
    read: "CS:APP 12.2, select waits; proc(5)",
    async run(t) {
      const server = started(t);
      for (const who of ["a client says nothing", "nobody is connected"]) {
        const client = await t.connect();
        await client.ask("a line\n");
        if (who.startsWith("nobody")) await client.leave();
        let running = 0;
        for (let look = 0; look < LOOKS; look++) {
          await sleep(t.quiet / LOOKS);
          if (await server.runs()) running++;
        }
        client.close();
        if (running > LOOKS * 0.7) {
          throw new Failure(`it ran in ${running} of ${LOOKS} looks while ${who}`);
        }
      }
    },
  },
  {
    name: "it prints how many bytes each line has",
    did: "sent lines one after the other, one with a NUL, and read what the server prints",
    means: "the count is that of strlen, or not that of what was read",
    read: "CS:APP 11.4.9, echo.c: server received N bytes",
    async run(t) {
      const { program } = await restart(t);
      const client = await t.connect();
      const asked = ["hello\n", "\n", "a NUL\0 in it\n", longLine(300)];
      // Standard output is a pipe: stdio writes only once it has 4096 bytes or more.
      while (asked.length < 600) asked.push("x".repeat(asked.length % 50) + "\n");
      try {
        for (const line of asked) await client.ask(line);
      } catch (error) {
        if (error instanceof Failure) throw new Skip(`a line doesn't come back: ${error.message}`);
        throw error;
      }
      client.close();
      const counts = () =>
        [...program.stdout.matchAll(/received (\d+)/gi)].map((m) => Number(m[1]));
      await t.until(() => counts().length >= asked.length, t.quiet);
      const printed = counts();
      if (printed.length === 0) {
        throw new Skip("it has printed nothing like `server received 6 bytes`");
      }
      const at = printed.findIndex((n, i) => n !== asked[i]?.length);
      if (at < 0) return;
      const line = at < asked.length ? `a line of ${asked[at].length} bytes` : "a line too many";
      throw new Failure(`it printed ${printed[at]} for ${line}`);
    },
  },
  {
    name: "it ends on SIGTERM",
    did: "sent SIGTERM while nobody was connected",
    means: "the signal is caught or ignored, and the loop goes on",
    read: "CS:APP 8.5; signal(7)",
    async run(t) {
      const { program } = await restart(t);
      await (await t.connect()).ask("a line\n");
      await t.end();
      await started(t).terminate();
      await t.wait("its end", program.ended);
    },
  },
  {
    name: "it listens again on the same port at once",
    did: "killed it with a client connected, and started it again on the same port",
    means: "SO_REUSEADDR isn't set: a connection in TIME_WAIT keeps the port for a minute",
    read: "CS:APP 11.4.8, open_listenfd; socket(7)",
    async run(t) {
      await restart(t);
      const client = await t.connect();
      await client.ask("a line\n");
      await started(t).stop();
      await client.end();
      client.close();
      t.renew(await started(t).restart());
      await (await t.connect()).ask("a line\n");
    },
  },
];

function started(t: Trial): Started {
  if (t.started === undefined) throw new Skip("only of a server that --start starts");
  return t.started;
}

async function restart(t: Trial): Promise<Started> {
  const server = started(t);
  t.renew(await server.start());
  return server;
}

async function held(t: Trial) {
  started(t);
  const { before, after } = await t.crowd();
  return { before: before!, after: after! };
}
