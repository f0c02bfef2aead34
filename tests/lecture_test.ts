/** docs/lecture.md and its Korean twin: what they show is what happens. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { sleep, within } from "../net/time.ts";
import { queueLength } from "../server/queue_length.ts";
import {
  bytes,
  freePort,
  has,
  type Output,
  Program,
  ROOT,
  runProgram,
  startServer,
} from "./helpers.ts";

const page = await Deno.readTextFile(`${ROOT}/docs/lecture.md`);

/** What is fenced in a page, by its language. */
function fenced(page: string, language: string): string[] {
  return [...page.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, "gm"))]
    .map(([, code]) => code);
}

/** What differs from run to run: times, ports, and whether localhost is 127.0.0.1 or ::1. */
function masked(line: string): string {
  return line.replace(/^ +\d+\.\d{3} {2}/, "TIME  ")
    .replace(/in \d+\.\d s/, "in TIME s")
    .replaceAll("[::1]", "127.0.0.1")
    .replace(/^(TIME {2}client {2}socket\(AF_INET)6/, "$1")
    .replaceAll(/(:|, |")\d{4,5}\b/g, "$1PORT")
    .replace(/^usage: (\S+) .*/, "usage: $1")
    .replaceAll(/ +/g, " ");
}

/** Whether a line is told on standard error, and not printed on standard output. */
function isTold(line: string): boolean {
  return /^( +\d+\.\d{3} {2}|listening on |(server|client): |usage: )/.test(line);
}

/** Milliseconds that a line may take to come. */
const PATIENCE = 20_000;

/** One of the reader's terminals. */
class Terminal {
  #program: Program | undefined;
  #shown = { stdout: 0, stderr: 0 };

  /** Does what stands in a block: commands, lines that are typed, and lines that come. */
  async play(block: string, ports: (text: string) => string): Promise<void> {
    for (const line of block.split("\n")) {
      if (line.startsWith("$ ")) await this.#start(ports(line.slice(2)));
      else if (line.endsWith("⏎")) await this.#program!.write(line.replace("⏎", "\n"));
      else if (line === "^D") await this.#program!.closeInput();
      else if (line === "^C") await this.#interrupt();
      else await this.#expect(ports(line));
    }
  }

  async #start(command: string): Promise<void> {
    await this.end();
    // A terminal of its own, in which Ctrl-C is for all of the command.
    const script = `deno() { '${Deno.execPath()}' "$@"; }; ${command}`;
    this.#program = new Program("setsid", ["sh", "-c", script]);
    this.#shown = { stdout: 0, stderr: 0 };
    const [, port] = /echoserveri\.ts (\d+)/.exec(command) ?? [];
    if (port !== undefined) await listening(Number(port));
  }

  async #interrupt(): Promise<void> {
    const { pid } = this.#program!.process;
    await new Deno.Command("kill", { args: ["-INT", "--", `-${pid}`] }).output();
  }

  async #expect(line: string): Promise<void> {
    const stream = isTold(line) ? "stderr" : "stdout";
    const output = this.#program![stream];
    const n = ++this.#shown[stream];
    const own = "(?:(?:Task|Download) .*\n)*";
    const come = output.until(new RegExp(`^(?:${own}(?!Task |Download ).*\n){${n}}`));
    await within(PATIENCE, come.catch(() => {}));
    assertEquals(masked(lines(output)[n - 1] ?? "(nothing)"), masked(line));
  }

  /** Waits for the end of the command, and holds that it has said no more than was shown. */
  async end(): Promise<void> {
    if (this.#program === undefined) return;
    await this.#program.code();
    for (const stream of ["stdout", "stderr"] as const) {
      assertEquals(lines(this.#program[stream]).slice(this.#shown[stream]), []);
    }
    this.#program = undefined;
  }

  async kill(): Promise<void> {
    if (this.#program === undefined) return;
    const { pid } = this.#program.process;
    await new Deno.Command("kill", { args: ["-KILL", "--", `-${pid}`], stderr: "null" }).output();
    await this.#program.code();
  }
}

/** The lines that a program has written, without those of Deno itself. */
function lines(output: Output): string[] {
  const decoded = new TextDecoder().decode(bytes(output.text));
  return decoded.split("\n").slice(0, -1).filter((line) => !/^(Task|Download) /.test(line));
}

/** Resolves when a program that doesn't say so listens on a port. */
async function listening(port: number): Promise<void> {
  const addr = { transport: "tcp", hostname: "::", port } as const;
  while (typeof await queueLength(addr) !== "number") await sleep(20);
}

/** Ports that are free now, for those that a page names. */
function freePorts(): (text: string) => string {
  const [first, second] = [freePort(), freePort()];
  return (text) => text.replaceAll("15213", `${first}`).replaceAll("15214", `${second}`);
}

Deno.test({
  name: "each screen of the lecture is what its commands print (needs setsid)",
  ignore: !has("setsid") || Deno.build.os !== "linux",
  async fn() {
    const ports = freePorts();
    const terminals = new Map<string, Terminal>();
    try {
      for (const screen of fenced(page, "console")) {
        const [, name, block] = /^# (terminal \d)\n([^]*)\n$/.exec(screen)!;
        if (!terminals.has(name)) terminals.set(name, new Terminal());
        await terminals.get(name)!.play(block, ports);
      }
      for (const terminal of terminals.values()) await terminal.end();
    } finally {
      for (const terminal of terminals.values()) await terminal.kill();
    }
  },
});

Deno.test("the Korean page shows the same programs and the same screens", async () => {
  const korean = await Deno.readTextFile(`${ROOT}/docs/lecture.ko.md`);
  for (const language of ["ts ignore", "console", "sh"]) {
    assert(fenced(page, language).length > 0);
    assertEquals(fenced(korean, language), fenced(page, language));
  }
  assertEquals(fenced(korean, "text").length, fenced(page, "text").length);
  for (const mark of ["\n## ", "\n<details>", "\n</details>"]) {
    assertEquals(korean.split(mark).length, page.split(mark).length);
  }
});

Deno.test("each section of the lecture has a screen and an exercise, whose answer is folded", () => {
  for (const section of page.split("\n## ").slice(1)) {
    assertMatch(section, /\n```console\n/);
    assertMatch(section, /\n\*\*Exercise\.\*\* [^]*\n<details>[^]*```console[^]*<\/details>/);
  }
});

Deno.test("the two mains are whole on the page, of 25 lines at most, and speak with our programs", async () => {
  const [server, client] = await Promise.all(
    ["echoserveri", "echoclient"].map((name) => Deno.readTextFile(`${ROOT}/docs/${name}.ts`)),
  );
  assertEquals(fenced(page, "ts ignore"), [server, client]);
  for (const program of [server, client]) assert(program.split("\n").length <= 26);

  const run = (path: string, ...args: string[]) =>
    new Program(Deno.execPath(), ["run", "--quiet", "--allow-net", path, ...args]);
  const port = `${freePort()}`;
  await using served = run("docs/echoserveri.ts", port);
  await listening(Number(port));
  const lines = "hello\n\n" + "a".repeat(9999) + "\n";
  for (const path of ["docs/echoclient.ts", "client.ts"]) {
    const ended = await runProgram(run(path, "localhost", port), lines);
    assertEquals(ended, { code: 0, stdout: lines, stderr: "" });
  }
  const printed = "Connected to (HOST, PORT)\n" +
    [6, 1, 8191, 1809].map((n) => `server received ${n} bytes\n`).join("");
  await served.stdout.until(/(1809 bytes\n[^]*){2}/);
  assertEquals(served.stdout.text.replaceAll(/\(.*\)/g, "(HOST, PORT)"), printed + printed);

  await using ours = await startServer();
  const ended = await runProgram(run("docs/echoclient.ts", "localhost", `${ours.port}`), lines);
  assertEquals(ended, { code: 0, stdout: lines, stderr: "" });
  for (const path of ["docs/echoclient.ts", "docs/echoserveri.ts"]) {
    const { stderr } = await runProgram(run(path));
    assertMatch(stderr, /^usage: /);
  }
});

Deno.test({
  name: "the scene: the second client waits, and then it doesn't, in 80 columns and in a picture",
  ignore: Deno.build.os !== "linux",
  async fn() {
    const picture = await Deno.makeTempFile();
    try {
      const { code, stdout, stderr } = await runProgram(
        new Program(Deno.execPath(), [
          ...["run", "--quiet", "--allow-run", "--allow-write"],
          ...["tools/lecture.ts", "--fast", `--svg=${picture}`],
        ]),
      );
      assertEquals({ code, stderr }, { code: 0, stderr: "" });
      const shown = new TextDecoder().decode(bytes(stdout));
      for (const line of shown.split("\n")) assert(line.length <= 80, line);
      assert(!shown.includes("\x1b"));
      const waited =
        /^Client 2 waited (?:less than 1 ms|[1-9]\d* ms|[1-9]\d*\.\d s) for its echo: /gm;
      assertEquals(shown.match(waited)?.length, 2, shown);
      const [, iterative, concurrent] = shown.split(/^The .* server: --concurrency=\d$/m);
      // The second client's line lies in the kernel until the first one has left.
      const order = (...calls: string[]) =>
        new RegExp(calls.map((call) => RegExp.escape(call)).join("[^]*"));
      const first = "close(connfd 1) = 0";
      const second = [
        "accept = connfd 2",
        "rio_readlineb(connfd 2) = 3",
        "rio_writen(connfd 2, 3)",
      ];
      assertMatch(
        iterative,
        order("kernel ◀── connect", "queue: 1 waits", "kernel ◀── hi\\n", first, ...second),
      );
      assertMatch(concurrent, order(...second, first));
      assert(!concurrent.includes("kernel"));

      const svg = await Deno.readTextFile(picture);
      const kept = await Deno.readTextFile(`${ROOT}/docs/lecture.svg`);
      for (const drawn of [svg, kept]) {
        assertMatch(drawn, /^<svg xmlns="http:\/\/www.w3.org\/2000\/svg"[^]*<\/svg>\n$/);
        assertMatch(drawn, /@media \(prefers-color-scheme: dark\)/);
        assert(!/href|url\((?!#)|@import/.test(drawn));
      }
      // The one in docs/ is of such a run: the same events in the same order.
      const events = (drawn: string) =>
        [...drawn.matchAll(/<text class="(?:|end)" [^>]*>([^<]*)</g)]
          .map(([, event]) => event.replace(/:\d{4,5}\b/, ":PORT"));
      assertEquals(events(svg), events(kept));
      assertEquals(events(svg).length > 60, true);
    } finally {
      await Deno.remove(picture);
    }
  },
});

Deno.test("a picture that can't be written fails before the scene", async () => {
  const { code, stdout, stderr } = await runProgram(
    new Program(Deno.execPath(), [
      ...["run", "--quiet", "--allow-run", "--allow-write"],
      ...["tools/lecture.ts", "--fast", "--svg=/nonexistent/scene.svg"],
    ]),
  );
  assertEquals({ code, stdout }, { code: 1, stdout: "" });
  assertMatch(stderr, /^lecture: .*\/nonexistent\/scene\.svg.*\n$/);
});
