/**
 * The lecture in a browser: a page on 127.0.0.1 that plays real servers and clients, and shows what
 * their traces say as they say it.
 *
 * @module
 */
import { lines } from "../../cli/child.ts";
import type { CommandLine, Flags } from "../../cli/flags.ts";
import { toInteger } from "../../cli/flags.ts";
import { exit, run } from "../../cli/program.ts";
import { onSignal, signalCode } from "../../cli/signals.ts";
import type { Stdout } from "../../cli/stdout.ts";
import { inTime } from "../../net/time.ts";
import { PATIENCE, Traceable } from "./actor.ts";
import page from "./web.html" with { type: "text" };
import script from "./web.js" with { type: "text" };

/** The most clients of one server, each a column of the picture. */
const CLIENTS = 8;
/** The most events of one server, after which only a new server can be started. */
const EVENTS = 2000;
/** The most characters of a line that is typed. */
const LINE = 200;
/** The most pages that watch at a time, and events that one of them may lag behind. */
const WATCHERS = 8;
const LAG = 2 * EVENTS;
/** The most actions that wait for the one under way, and bytes of one. */
const ACTIONS = 16;
const BODY = 1024;

const COMMAND_LINE: CommandLine = {
  name: "web",
  about:
    `Serves a page on 127.0.0.1 that plays the lecture with real processes. Open the URL that it
prints: nobody who doesn't know it can use the page.`,
  positionals: [["port", "the port of the page (default: any free one)"]],
  flags: [],
  notes: "Exit codes: 1 the port can't be had, 2 usage; 130 or 143 after Ctrl-C or SIGTERM.",
};

/** What can be done, as the page's buttons ask for it. */
interface Action {
  do: "server" | "end" | "client" | "type" | "eof" | "reset" | "stop" | "go";
  concurrency?: number;
  backlog?: number;
  client?: number;
  line?: string;
}

/** An action that can't be done now, or not at all. */
class Refused extends Error {}

/** A server or client process. */
class Player extends Traceable {
  readonly who: string;
  /** The client's port. */
  port?: string;
  ended = false;
  inputEnded = false;
  stopped = false;

  constructor(who: string, name: string, ...args: string[]) {
    super(name, ...args);
    this.who = who;
  }
}

/** The server, its clients, and all that has happened to them. */
class Stage {
  #server: Player | undefined;
  #clients: Player[] = [];
  /** What the server has accepted, by the client's port. */
  #connfds = new Map<string, string>();
  #events: unknown[] = [];
  #begin = 0;
  #port = "";
  #over = false;
  readonly #watchers = new Set<ReadableStreamDefaultController<string>>();
  #heard = new Set<(who: string, line: string) => void>();
  #turn: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  /** Does an action after those before it. */
  async act(action: Action): Promise<void> {
    if (this.#waiting >= ACTIONS) throw new Refused("too much at once");
    this.#waiting++;
    const done = this.#turn.then(() => this.#act(action));
    this.#turn = done.catch(() => {});
    try {
      await done;
    } finally {
      this.#waiting--;
    }
  }

  /** All events so far, and each that comes, as server-sent events. */
  watch(): ReadableStream<string> {
    if (this.#watchers.size >= WATCHERS) throw new Refused("too many pages watch");
    let own: ReadableStreamDefaultController<string>;
    return new ReadableStream<string>({
      start: (controller) => {
        this.#watchers.add(own = controller);
        for (const event of [{ begin: true }, ...this.#events]) own.enqueue(message(event));
      },
      cancel: () => void this.#watchers.delete(own),
    }, { highWaterMark: LAG });
  }

  /** Ends all processes, for good. */
  async end(): Promise<void> {
    this.#over = true;
    await this.#kill();
  }

  async #kill(): Promise<void> {
    const players = [...this.#clients, ...this.#server === undefined ? [] : [this.#server]];
    await Promise.all(players.map((player) => player.kill()));
  }

  async #act({ do: what, concurrency = 1, backlog = 1024, client: n = 0, line = "" }: Action) {
    if (what === "server") return await this.#start(concurrency, backlog);
    const server = this.#server;
    if (server === undefined || server.ended) throw new Refused("no server runs");
    if (this.#events.length >= EVENTS) throw new Refused("the picture is full: start a new server");
    if (what === "end") {
      this.#tell(server.who, { did: "SIGINT" });
      return server.signal("SIGINT");
    }
    if (what === "client") return this.#enter();
    const client = this.#clients[n - 1];
    if (client === undefined || client.ended) throw new Refused(`client ${n} doesn't run`);
    if (what === "stop" || what === "go") {
      client.stopped = what === "stop";
      const signal = client.stopped ? "SIGSTOP" : "SIGCONT";
      this.#tell(client.who, { did: signal });
      return client.signal(signal);
    }
    if (client.inputEnded) throw new Refused(`client ${n} has sent EOF`);
    if (what === "eof") {
      client.inputEnded = true;
      client.closeInput();
      return;
    }
    if (what === "reset") return await this.#reset(server, client);
    if (line.length > LINE || /[\p{Cc}]/u.test(line)) {
      throw new Refused(`a line has at most ${LINE} characters, and no control characters`);
    }
    client.type(`${line}\n`);
  }

  async #start(concurrency: number, backlog: number): Promise<void> {
    await this.#kill();
    this.#clients = [];
    this.#connfds.clear();
    this.#events = [];
    this.#begin = performance.now();
    this.#send({ begin: true });
    this.#server = this.#play(
      "server",
      "server.ts",
      "0",
      "--host=127.0.0.1",
      "--quiet",
      `--concurrency=${concurrency}`,
      `--backlog=${backlog}`,
    );
    const listening = /^listening on .*:(\d+) \(/;
    const line = await this.#hear((who, line) => who === "server" && listening.test(line));
    this.#port = listening.exec(line)![1];
  }

  #enter(): void {
    if (this.#clients.length >= CLIENTS) {
      throw new Refused(`${CLIENTS} clients at most: start a new server`);
    }
    const who = `client ${this.#clients.length + 1}`;
    this.#clients.push(
      this.#play(who, "client.ts", "127.0.0.1", this.#port, "--connect-timeout=600"),
    );
  }

  /**
   * Makes a client's kernel send RST, as it does when a process ends with bytes unread: the client
   * is stopped before the echo of a line can come, and killed when it has come.
   */
  async #reset(server: Player, client: Player): Promise<void> {
    const connfd = this.#connfds.get(client.port ?? "");
    if (connfd === undefined) throw new Refused("only a client that is served can be reset");
    try {
      client.signal("SIGCONT");
      server.signal("SIGSTOP");
      const written = this.#hear((who, line) => who === client.who && / rio_writen\(/.test(line));
      client.type("bye\n");
      await written;
      client.signal("SIGSTOP");
      const echoed = this.#hear((_, line) => line.includes(` rio_writen(${connfd}, `));
      server.signal("SIGCONT");
      await echoed;
      this.#tell(client.who, { did: "SIGKILL" });
    } finally {
      server.signal("SIGCONT");
      client.signal("SIGKILL");
      client.ended = true; // for who asks again before its end is told
    }
  }

  #play(who: string, name: string, ...args: string[]): Player {
    if (this.#over) throw new Refused("everything ends");
    const player = new Player(who, name, ...args);
    (async () => {
      for await (const line of lines(player.process.stderr)) this.#line(player, line);
      const { code } = await player.process.status;
      player.ended = true;
      this.#tell(who, { exit: code });
    })();
    return player;
  }

  /** Takes what a process has written to standard error. */
  #line(player: Player, line: string): void {
    const { who } = player;
    if (player !== this.#server && !this.#clients.includes(player)) return; // of a server before
    const [, client] = / = (?:0|connfd \d+) +127\.0\.0\.1:(\d+) -> /.exec(line) ?? [];
    if (who !== "server") player.port ??= client;
    else if (client !== undefined) this.#connfds.set(client, /connfd \d+/.exec(line)![0]);
    this.#tell(who, { line });
    for (const heard of this.#heard) heard(who, line);
  }

  /** Resolves to the first line from now on that is the one. */
  async #hear(is: (who: string, line: string) => boolean): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const heard = (who: string, line: string) => is(who, line) && resolve(line);
    this.#heard.add(heard);
    const cancel = inTime(PATIENCE, () => reject(new Refused("a process doesn't answer")));
    try {
      return await promise;
    } finally {
      cancel();
      this.#heard.delete(heard);
    }
  }

  #tell(who: string, what: object): void {
    const event = { who, time: (performance.now() - this.#begin) / 1000, ...what };
    this.#events.push(event);
    this.#send(event);
  }

  #send(event: unknown): void {
    for (const watcher of this.#watchers) {
      if ((watcher.desiredSize ?? 0) > 0) watcher.enqueue(message(event));
      else { // it has stopped reading; it may come back, and is told all from the start
        this.#watchers.delete(watcher);
        watcher.close();
      }
    }
  }
}

/** A server-sent event. */
function message(event: unknown): string {
  return `data: ${JSON.stringify(event)}\n\n`;
}

/** Checks what a request asks for: it comes from anywhere. */
function toAction(text: string): Action {
  const action = JSON.parse(text);
  const range = (value: unknown, max: number) =>
    value === undefined || Number.isInteger(value) && 1 <= Number(value) && Number(value) <= max;
  const known = ["server", "end", "client", "type", "eof", "reset", "stop", "go"];
  if (
    !known.includes(action?.do) || !range(action.concurrency, CLIENTS) ||
    !range(action.backlog, 1024) || !range(action.client, CLIENTS) ||
    !["undefined", "string"].includes(typeof action.line)
  ) throw new Refused("no such action");
  return action;
}

/** The text of a request, which may not be longer than an action. */
async function body(request: Request): Promise<string> {
  let text = "";
  for await (const chunk of request.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += chunk;
    if (text.length > BODY) throw new Refused("too long");
  }
  return text;
}

const HEADERS = {
  "cache-control": "no-store",
  "content-security-policy": "default-src 'none'; script-src 'self'; connect-src 'self'; " +
    "style-src 'unsafe-inline'; img-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer", // the URL has the token
  "x-content-type-options": "nosniff",
};

function respond(type: string, content: BodyInit | null, status = 200): Response {
  return new Response(content, { status, headers: { ...HEADERS, "content-type": type } });
}

/** Answers a request; `origin` is the page's, and `token` the first part of its path. */
async function answer(
  request: Request,
  origin: string,
  token: string,
  stage: Stage,
): Promise<Response> {
  const refuse = (why: string, status: number) => respond("text/plain", `${why}\n`, status);
  const { headers, method, url } = request;
  // Another Host is a name that somebody made point here; another Origin, somebody else's page.
  if (`http://${headers.get("host")}` !== origin) return refuse("not this host", 403);
  const from = headers.get("origin");
  if (from === null ? method !== "GET" : from !== origin) return refuse("not this origin", 403);
  const { pathname = "" } = URL.parse(url) ?? {};
  if (!pathname.startsWith(`/${token}/`)) return refuse("open the URL that was printed", 403);
  try {
    switch (`${method} ${pathname.slice(token.length + 1)}`) {
      case "GET /":
        return respond("text/html; charset=utf-8", page);
      case "GET /web.js":
        return respond("text/javascript; charset=utf-8", script);
      case "GET /events":
        return respond("text/event-stream", stage.watch().pipeThrough(new TextEncoderStream()));
      case "POST /do":
        await stage.act(toAction(await body(request)));
        return respond("text/plain", null, 204);
      default:
        return refuse("not found", 404);
    }
  } catch (error) {
    if (error instanceof Refused) return refuse(error.message, 409);
    if (error instanceof SyntaxError) return refuse("no JSON", 400);
    throw error;
  }
}

async function main({ positionals: [port = "0"] }: Flags, stdout: Stdout): Promise<number> {
  const stage = new Stage();
  const token = crypto.randomUUID();
  const server: Deno.HttpServer<Deno.NetAddr> = Deno.serve({
    hostname: "127.0.0.1",
    port: toInteger("port", port, 0, 65535),
    onListen: ({ port }) =>
      void stdout.print(new TextEncoder().encode(`http://127.0.0.1:${port}/${token}/\n`)),
  }, (request) => answer(request, `http://127.0.0.1:${server.addr.port}`, token, stage));
  onSignal(async (signal) => {
    await stage.end();
    await exit(signalCode(signal), stdout);
  });
  await server.finished;
  return 0;
}

if (import.meta.main) await run(COMMAND_LINE, main);
