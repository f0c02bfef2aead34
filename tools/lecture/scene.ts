/** The lecture's scene: a server and two clients; the second one waits, or doesn't. */
import { Actor, type Traced } from "./actor.ts";
import type { Act, Lane, Row, State } from "./figure.ts";
import type { Words } from "./words.ts";

/** Shows the scene, and sets its pace. */
export interface Stage {
  begin(act: Act): Promise<void>;
  add(row: Row): Promise<void>;
  end(act: Act): Promise<void>;
  /** Resolves when it is time for the next action, or to show the next event. */
  pause(before: "action" | "event"): Promise<void>;
  /** The most characters of an event in each column. */
  readonly room: readonly number[];
}

/** An event that causes another one, in another column. */
interface Cause {
  row: Row;
  label: string;
}

/** The scene, played once. */
export class Scene implements AsyncDisposable {
  readonly #stage: Stage;
  readonly #words: Words;
  readonly #actors: Actor[] = [];
  readonly #rows: Row[] = [];
  readonly #begin = performance.now();
  #time = 0;
  #states: Row["states"] = ["off", "off", "off"];
  #serving = 0;

  constructor(stage: Stage, words: Words) {
    this.#stage = stage;
    this.#words = words;
  }

  /** Plays an act. */
  async play(concurrency: 1 | 2): Promise<Act> {
    const act = {
      title: this.#words[concurrency === 1 ? "iterative" : "concurrent"],
      rows: this.#rows,
      moral: "",
    };
    await this.#stage.begin(act);
    act.moral = await (concurrency === 1 ? this.#iterative() : this.#concurrent());
    await this.#stage.end(act);
    return act;
  }

  /** The iterative server: the second client waits until the first one leaves. */
  async #iterative(): Promise<string> {
    const server = await this.#listen(1);
    const client1 = await this.#enter(0, server);
    await this.#shows(server, "accept", await this.#connect(client1));
    await this.#answer(server, client1, await this.#ask(client1, "hello"));

    const client2 = await this.#enter(2, server);
    const connect = await this.#connect(client2, "connect");
    await this.#shows(server, "queue");
    const line = await this.#ask(client2, "hi", "hi\\n");
    await this.#stage.pause("action");
    await this.#leave(server, client1);
    await this.#shows(server, "accept"); // waiting
    await this.#shows(server, "accept", connect);
    const waited = await this.#answer(server, client2, line);
    await this.#leave(server, client2);
    await this.#shows(server, "accept");
    return this.#words.waited(waited);
  }

  /** The concurrent server: no client waits. */
  async #concurrent(): Promise<string> {
    const server = await this.#listen(2);
    const client1 = await this.#enter(0, server);
    await this.#shows(server, "accept", await this.#connect(client1));
    await this.#shows(server, "accept"); // waiting
    await this.#answer(server, client1, await this.#ask(client1, "hello"));

    const client2 = await this.#enter(2, server);
    await this.#shows(server, "accept", await this.#connect(client2));
    const waited = await this.#answer(server, client2, await this.#ask(client2, "hi"));
    await this.#leave(server, client1);
    await this.#shows(server, "accept");
    await this.#leave(server, client2);
    return this.#words.together(waited);
  }

  /** Ends all programs. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#actors.map((actor) => actor.kill()));
  }

  #start(lane: Lane, name: string, ...args: string[]): Actor {
    const actor = new Actor(lane, name, ...args);
    this.#actors.push(actor);
    return actor;
  }

  /** A server starts, and waits for a client. */
  async #listen(concurrency: number): Promise<Actor> {
    const server = this.#start(1, "server.ts", "0", `--concurrency=${concurrency}`);
    let row;
    do row = await this.#shows(server); while (!row.text.startsWith("accept"));
    return server;
  }

  /** A client starts. */
  async #enter(lane: Lane, server: Actor): Promise<Actor> {
    const port = await server.port();
    await this.#stage.pause("action");
    const client = this.#start(lane, "client.ts", "localhost", port);
    await this.#shows(client, "getaddrinfo");
    await this.#shows(client, "socket");
    return client;
  }

  async #connect(client: Actor, queued?: string): Promise<Cause> {
    return { row: await this.#shows(client, "connect", undefined, queued), label: "connect" };
  }

  /** A client sends a line. */
  async #ask(client: Actor, line: string, queued?: string): Promise<Cause> {
    await this.#stage.pause("action");
    await client.type(`${line}\n`);
    const row = await this.#shows(client, "rio_writen", undefined, queued);
    return { row, label: `${line}\\n` };
  }

  /** The line comes back. Returns how long that took, in words. */
  async #answer(server: Actor, client: Actor, line: Cause): Promise<string> {
    await this.#shows(server, "rio_readlineb", line);
    const row = await this.#shows(server, "rio_writen");
    const { time } = await this.#shows(client, "rio_readlineb", { ...line, row });
    const seconds = time - line.row.time;
    if (seconds < 0.001) return this.#words.short;
    return seconds < 1 ? `${(seconds * 1000).toFixed(0)} ms` : `${seconds.toFixed(1)} s`;
  }

  /** A client ends the connection. */
  async #leave(server: Actor, client: Actor): Promise<void> {
    await this.#stage.pause("action");
    await client.closeInput();
    const fin = await this.#shows(client, "shutdown");
    await this.#shows(server, "rio_readlineb", { row: fin, label: "FIN" });
    const row = await this.#shows(server, "shutdown");
    await this.#shows(client, "rio_readlineb", { row, label: "FIN" });
    await this.#shows(client, "close");
    await this.#shows(server, "close");
  }

  /** Shows the next event of a program; throws if its name isn't `name`. */
  async #shows(actor: Actor, name?: string, from?: Cause, queued?: string): Promise<Row> {
    const event = name === "queue" ? await actor.queue() : await actor.next(name);
    const { lane } = actor;
    await this.#stage.pause("event");
    this.#states = this.#states.with(lane, this.#state(lane, event)) as Row["states"];
    const row: Row = {
      // Keep time from running backwards when the pipes of two programs race.
      time: this.#time = Math.max(this.#time, (event.time - this.#begin) / 1000),
      lane,
      text: short(event, this.#stage.room[lane]),
      states: this.#states,
      from,
      queued,
    };
    this.#rows.push(row);
    await this.#stage.add(row);
    return row;
  }

  /** The state of a program after an event. */
  #state(lane: Lane, { name, result }: Traced): State {
    if (lane !== 1) return name === "close" ? "off" : name === "rio_writen" ? "waits" : "on";
    if (name === "accept" && result.startsWith("=")) this.#serving++;
    if (name === "close") this.#serving--;
    return this.#serving > 0 ? "serves" : "on";
  }
}

/** An event in at most `room` characters, without its arguments if they don't fit. */
function short({ name, args, result }: Traced, room: number): string {
  const connfd = args.find((arg) => arg.startsWith("connfd"));
  const others = args.filter((arg) => !/^(listenfd|clientfd|)$/.test(arg));
  const end = result.startsWith("=") ? ` ${result}` : `: ${result}`;
  const texts = [others.join(", "), connfd ?? ""]
    .map((args) => args === "" ? name + end : `${name}(${args})${end}`);
  return texts.find((text) => text.length <= room) ?? name + end;
}
