/** Cases for a server started by judge: what only /proc, signals and its output show. */
import { longLine } from "./bytes.ts";
import { SOME_DESCRIPTORS, type Started, until } from "./process.ts";
import { busy, type Case, Failure, seconds, Skip, WAITS } from "./case.ts";
import { keepsTimeWait } from "./proc.ts";
import { CROWD_BATCH, MANY, type Trial } from "./trial.ts";

/** Processes that a server may keep for the clients to come. */
const SOME_PROCESSES = 50;
/** Clients at once: more than select can have. */
const THOUSAND = 1100;
/** Clients that connect at the same time: some servers have a queue of five. */
const AT_ONCE = 4;
/** Clients that reset. */
const RESETS = 40;
/** The most clients to find out whether memory stops growing. */
const MOST_CLIENTS = 3000;
/** Lines of one client between two looks at the memory, and how many looks: more if it grows. */
const LINES = 600;
const LOOKS = 4;
const MOST_LOOKS = 12;
/** Lines after which stdio, which may hold 8 KiB back, has written the first. */
const FILL = 600;

export const STARTED: Case<Trial>[] = [
  {
    name: "no descriptor is left open",
    did: "counted /proc/PID/fd before and after hundreds of clients, and around 40 that reset",
    means: "connfd isn't closed, or not by the parent after fork, or not when a read fails",
    read: "CS:APP 12.1.1: close connfd in the parent; proc(5)",
    async run(t) {
      const { before, after } = await held(t);
      const left = after.descriptors - before.descriptors;
      if (left > SOME_DESCRIPTORS) throw new Failure(`${left} more are open than before`);
      const start = await started(t).held();
      try {
        for (let n = 0; n < RESETS; n++) await t.reset("a line\n", n % 2 ? "half a li" : "");
        await (await t.connect()).ask("after the resets\n");
      } catch (error) {
        if (!(error instanceof Failure) || await t.ended() === undefined) throw error;
        await restart(t);
        return "a reset ends it, so none was counted";
      }
      await t.end();
      const reset = (await started(t).held(start)).descriptors - start.descriptors;
      if (reset > SOME_DESCRIPTORS) throw new Failure(`${reset} more are open after the resets`);
    },
  },
  {
    name: "no process is left unwaited for",
    did: "counted zombies after hundreds of clients, and after 20 that left at once",
    means:
      "the parent doesn't wait for its children, or for one child a SIGCHLD: they don't queue; " +
      "or a child doesn't end",
    read: "CS:APP 8.4.3, waitpid; CS:APP 8.5.5: signals aren't queued; CS:APP 12.1.1",
    async run(t) {
      const { before, after } = await held(t);
      /** Zombies that stay, though clients come: some wait for their children only then. */
      const left = async () => {
        let zombies = 0;
        await until(async () => {
          const next = await t.connect();
          await next.ask("some wait for their children before they accept\n");
          await next.leave();
          return (zombies = (await started(t).held()).zombies) <= 1;
        }, t.timeout);
        return zombies;
      };
      const some = after.zombies > 1 ? await left() : 0;
      if (some > 1) throw new Failure(`${some} zombies are left`);
      const more = after.processes - before.processes;
      if (more > SOME_PROCESSES) throw new Failure(`${more} more processes run than before`);
      const clients = await t.many();
      for (const client of clients) client.close();
      const zombies = await left();
      if (zombies > 1) throw new Failure(`${zombies} zombies are left`);
    },
  },
  {
    name: "no memory is left taken",
    did: "measured private memory between hundreds of clients, then between thousands of lines",
    means: "what is allocated for a client or a line isn't freed, or a thread is neither joined " +
      "nor detached",
    read: "CS:APP 9.11, memory bugs; CS:APP 12.3.6, detaching threads",
    async run(t) {
      const { looks } = await held(t);
      const clients = looks.map(({ clients, held }) => ({ after: clients, memory: held.memory }));
      const keeps = started(t).keepsMemory();
      while (grows(clients) && keeps === undefined && !t.late) {
        const { after } = clients.at(-1)!;
        if (after >= MOST_CLIENTS) throw new Failure(growth(clients, "clients"));
        const more = await t.clients(after, CROWD_BATCH);
        const { memory } = await started(t).held(looks[0].held);
        clients.push({ after: after + more, memory });
      }
      if (grows(clients)) return `${growth(clients, "clients")}: ${keeps ?? "no time to see more"}`;

      const client = await t.connect();
      const lines: Look[] = [];
      const enough = () =>
        lines.length >= LOOKS && (!grows(lines) || keeps !== undefined || t.late) ||
        lines.length === MOST_LOOKS;
      while (!enough()) {
        for (let n = 0; n < LINES && !t.late; n++) await client.ask("a line of many\n");
        const { memory } = await started(t).held();
        lines.push({ after: LINES * (lines.length + 1), memory });
      }
      if (!grows(lines)) return;
      const more = growth(lines, "lines");
      if (lines.length === MOST_LOOKS && !t.late) throw new Failure(more);
      return `${more}: ${keeps ?? "no time to see more"}`;
    },
  },
  {
    name: "more than a thousand clients at once are served",
    did: `connected ${THOUSAND} clients, and sent a line on each`,
    means:
      "FD_SETSIZE is 1024: select can't have a descriptor above it, and FD_SET writes elsewhere",
    read: "select(2), BUGS; poll(2); CS:APP 12.2.1, echoservers.c",
    async run(t) {
      const server = await restart(t);
      const many = await t.concurrency();
      if (many < MANY) throw new Skip(`it serves ${many} at a time`);
      const limit = server.descriptorLimit();
      if (limit < THOUSAND + 100) throw new Skip(`it may have ${limit} descriptors`);
      const first = await t.connect();
      await first.ask("one of many\n");
      const clients = [first];
      const waiting: typeof clients = [];
      let [served, away] = [1, 0];
      while (away + waiting.length === 0 && served < THOUSAND && !t.late) {
        const some = Array.from({ length: Math.min(AT_ONCE, THOUSAND - served) }, async () => {
          try {
            const client = await t.connect();
            clients.push(client);
            await client.send("one of many\n");
            if (await client.next(t.timeout / 2) === "nothing") return waiting.push(client);
            await client.expect("one of many\n");
            served++;
          } catch (error) {
            // Some servers turn away whom they have no room for.
            if (!(error instanceof Failure) || await t.ended() !== undefined) throw error;
            away++;
          }
        });
        await Promise.all(some);
      }
      await first.ask("the first of many\n");
      // A thousand processes or threads may still be ending.
      const isAnswered = async (client: typeof first) => {
        for (let n = 0; n < WAITS / 2; n++) {
          if (await client.next(t.timeout) !== "nothing") return true;
        }
        return false;
      };
      const answered = clients.filter((client) => !waiting.includes(client));
      await Promise.all(answered.map((client) => client.leave()));
      if (served >= 1000 && served < 1030 && waiting.length > 0 && !await isAnswered(waiting[0])) {
        throw new Failure(`it serves ${served} at once, and nobody else when they have left`);
      }
      await Promise.all(waiting.map((client) => client.leave()));
      const next = await t.connect();
      await next.send("after so many\n");
      await isAnswered(next);
      await next.expect("after so many\n");
      if (away > 0) return `it serves ${served} at once, and turns others away`;
      if (served < THOUSAND) return `it serves ${served} at once`;
    },
  },
  {
    name: "it sleeps while nobody says anything",
    did: "measured its CPU time (/proc/PID/stat), with a client that said nothing and without",
    means: "it asks over and over instead of waiting, or reads on behind EOF",
    read: "CS:APP 12.2, select waits; proc(5)",
    async run(t) {
      const server = await restart(t); // the thousand of the case before may still be ending
      for (const who of ["a client says nothing", "nobody is connected"]) {
        const client = await t.connect();
        await client.ask("a line\n");
        if (who.startsWith("nobody")) await client.leave();
        const took = await busy(() => server.ticks(), t.quiet);
        client.close();
        if (took !== undefined) throw new Failure(`${took} while ${who}`);
      }
    },
  },
  {
    name: "it prints how many bytes each line has",
    did: "sent lines one after the other, one with a NUL, and read what the server prints",
    means: "the count is that of strlen, or not that of what was read",
    read: "CS:APP 11.4.9, echo.c: server received N bytes",
    async run(t) {
      const server = await restart(t);
      const counts = () =>
        [...server.program.stdout.matchAll(/received (\d+)/gi)].map((m) => Number(m[1]));
      const client = await t.connect();
      const asked = ["hello\n", "\n", "a NUL\0 in it\n", longLine(300)];
      while (asked.length < 20) asked.push("x".repeat(asked.length) + "\n");
      try {
        for (const line of asked) await client.ask(line);
        // Stdio writes to a pipe by 4096 bytes.
        await client.ask("y\n".repeat(FILL));
        for (let n = 0; counts().length < asked.length && n < FILL && !t.late; n++) {
          await client.ask("z\n");
        }
      } catch (error) {
        if (error instanceof Failure) throw new Skip(`a line doesn't come back: ${error.message}`);
        throw error;
      }
      await client.leave();
      await until(() => counts().length >= asked.length, t.quiet);
      const printed = counts();
      if (printed.length === 0) {
        throw new Skip("it has printed nothing like `server received 6 bytes`");
      }
      const at = printed.findIndex((n, i) => i < asked.length && n !== asked[i].length);
      if (at < 0 && printed.length >= asked.length) return;
      if (at < 0 && t.late) {
        return `it has printed ${printed.length} counts in the time of the case`;
      }
      if (at < 0) {
        throw new Failure(`it printed ${printed.length} counts for more than ${FILL} lines`);
      }
      throw new Failure(`it printed ${printed[at]} for a line of ${asked[at].length} bytes`);
    },
  },
  {
    name: "it ends on SIGTERM",
    did: "sent SIGTERM while nobody was connected",
    means: "the signal is caught or ignored, and the loop goes on",
    read: "CS:APP 8.5; signal(7)",
    async run(t) {
      const server = await restart(t);
      const client = await t.connect();
      await client.ask("a line\n");
      await client.leave();
      if (await server.terminate()) return;
      throw new Failure(`it still runs ${seconds(t.timeout)} after SIGTERM`);
    },
  },
  {
    name: "it listens again on the same port at once",
    did: "killed it with a client connected, and started it again on the same port",
    means: "SO_REUSEADDR isn't set: a connection in TIME_WAIT keeps the port for a minute",
    read: "CS:APP 11.4.8, open_listenfd; socket(7)",
    async run(t) {
      const server = await restart(t);
      if (!keepsTimeWait()) throw new Skip("too many connections are in TIME_WAIT on this machine");
      const client = await t.connect();
      await client.ask("a line\n");
      await server.stop();
      await client.leave();
      t.renew(await server.restart());
      await (await t.connect()).ask("a line\n");
    },
  },
];

/** The server's process, if judge can look into it. */
function started(t: Trial): Started {
  if (t.started === undefined) throw new Skip("only of a server that --start starts");
  return t.started;
}

/** Starts the server anew, and checks that it is judge's to look into. */
async function restart(t: Trial): Promise<Started> {
  const server = started(t);
  t.renew(await server.start());
  if (server.listener() !== undefined) return server;
  throw new Skip("who listens isn't among the processes that --start has started");
}

async function held(t: Trial) {
  if (started(t).listener() === undefined) await restart(t);
  const { looks } = await t.crowd();
  return { looks, before: looks[0].held, after: looks.at(-1)!.held };
}

/** How much memory was held after so many clients or lines. */
interface Look {
  after: number;
  memory: number;
}

/**
 * Whether memory still grows: in the last step by a quarter of what it grew by on average since it
 * was lowest.
 */
export function grows(looks: Look[]): boolean {
  const [first, last, before] = [lowest(looks), looks.at(-1)!, looks.at(-2) ?? looks[0]];
  const rate = (from: Look) => (last.memory - from.memory) / (last.after - from.after);
  return rate(before) > 0 && rate(before) > rate(first) / 4;
}

/** What was given back isn't growth. */
function lowest(looks: Look[]): Look {
  return looks.reduce((least, look) => look.memory < least.memory ? look : least);
}

/** How much memory has grown since it was lowest. */
export function growth(looks: Look[], what: string): string {
  const [first, last] = [lowest(looks), looks.at(-1)!];
  const [more, n] = [last.memory - first.memory, last.after - first.after];
  return `its memory grew by ${Math.round(more / 1024)} KiB in ${n} ${what}, ` +
    `${Math.round(more / n)} bytes each, and didn't stop growing`;
}
