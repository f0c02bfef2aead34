/** The lecture in a browser: what the page shows, and whom it refuses. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { has, Program, ROOT } from "./helpers.ts";

/** Debian's browser; playwright-core brings none. */
const CHROMIUM = "/usr/bin/chromium";
const PLAYWRIGHT = "npm:playwright-core@1.56.1"; // not a literal import: only this test fetches it
const FLAGS =
  "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync";

const config = JSON.parse(await Deno.readTextFile(`${ROOT}/deno.json`));

/** The page's server, as `deno task lecture:web` starts it. */
class Web implements AsyncDisposable {
  readonly program: Program;
  url = "";

  private constructor(program: Program) {
    this.program = program;
  }

  static async start(): Promise<Web> {
    const [, ...args] = config.tasks["lecture:web"].command.split(" ");
    const web = new Web(new Program(Deno.execPath(), [args[0], "--quiet", ...args.slice(1)]));
    [, web.url] = await web.program.stdout.until(/^(http:\/\/127\.0\.0\.1:\d+\/[-\w]+\/)\n/);
    return web;
  }

  get origin(): string {
    return new URL(this.url).origin;
  }

  /** Asks for something as the page does; returns the status. */
  async act(action: unknown, headers: Record<string, string> = { origin: this.origin }) {
    const body = typeof action === "string" ? action : JSON.stringify(action);
    const response = await fetch(`${this.url}do`, { method: "POST", body, headers });
    await response.body?.cancel();
    return response.status;
  }

  async [Symbol.asyncDispose]() {
    await this.program.stop("SIGINT");
  }
}

/** The events of a page's server. */
class Events implements AsyncDisposable {
  // deno-lint-ignore no-explicit-any -- as they come
  all: any[] = [];
  readonly #abort = new AbortController();
  #response!: Response;
  #wake = () => {};
  #ended: Promise<void> | undefined;

  static async of({ url }: Web): Promise<Events> {
    const events = new Events();
    events.#response = await fetch(`${url}events`, { signal: events.#abort.signal });
    assertEquals(events.#response.status, 200);
    events.#ended = events.#read().catch(() => {});
    return events;
  }

  async #read() {
    let text = "";
    for await (const chunk of this.#response.body!.pipeThrough(new TextDecoderStream())) {
      const parts = (text + chunk).split("\n\n");
      text = parts.pop()!;
      for (const part of parts) this.all.push(JSON.parse(part.slice("data: ".length)));
      this.#wake();
    }
  }

  /** The lines of the traces, each with who said it. */
  lines(): [who: string, line: string][] {
    const begin = this.all.findLastIndex(({ begin }) => begin);
    return this.all.slice(begin).filter(({ line }) => line !== undefined)
      .map(({ who, line }) => [who, line]);
  }

  /** Resolves when a program has said so. */
  async until(who: string, pattern: RegExp): Promise<void> {
    while (!this.lines().some(([name, line]) => name === who && pattern.test(line))) {
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  async [Symbol.asyncDispose]() {
    this.#abort.abort();
    await this.#ended;
  }
}

const LINUX = Deno.build.os === "linux";

Deno.test({
  name: "lecture:web refuses another Host, another Origin, a wrong token, and what is no action",
  ignore: !LINUX,
  async fn() {
    await using web = await Web.start();
    const { origin, url } = web;
    const get = async (url: string, headers: Record<string, string> = {}) => {
      const response = await fetch(url, { headers });
      await response.body?.cancel();
      return response.status;
    };
    assertEquals(await get(url), 200);
    assertEquals(await get(`${url}web.js`), 200);
    assertEquals(await get(`${url}nothing`), 404);
    for (const path of ["/", "/web.js", "/events", "/do", "/00000000/", "/favicon.ico"]) {
      assertEquals(await get(origin + path), 403, path);
    }
    assertEquals(await get(url, { origin: "http://evil.example" }), 403);
    assertEquals(await get(url, { origin: "null" }), 403);

    const server = { do: "server" };
    assertEquals(await web.act(server, {}), 403); // no Origin
    assertEquals(await web.act(server, { origin: "http://localhost:1" }), 403);
    for (const host of ["evil.example", `localhost:${new URL(url).port}`]) {
      const conn = await Deno.connect({ hostname: "127.0.0.1", port: Number(new URL(url).port) });
      await conn.write(
        new TextEncoder().encode(
          `GET ${new URL(url).pathname} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`,
        ),
      );
      assertMatch(await new Response(conn.readable).text(), /^HTTP\/1\.1 403 /);
    }

    const conn = await Deno.connect({ hostname: "127.0.0.1", port: Number(new URL(url).port) });
    const { host } = new URL(url);
    await conn.write(
      new TextEncoder().encode(
        `GET http://[bad/ HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`,
      ),
    );
    assertMatch(await new Response(conn.readable).text(), /^HTTP\/1\.1 40[03] /);

    assertEquals(await web.act("{"), 400);
    for (
      const action of [
        null,
        [],
        { do: "rm" },
        { do: "server", concurrency: 1e9 },
        { do: "server", backlog: "1; rm" },
        { do: "type", client: 99, line: "x" },
        { do: "type", client: 1, line: 5 },
        { do: "type", client: 1, line: "x".repeat(5000) },
        { do: "client" }, // no server runs
      ]
    ) assertEquals(await web.act(action), 409, JSON.stringify(action));
  },
});

Deno.test({
  name: "lecture:web bounds clients, lines and pages, and ends its processes with it",
  ignore: !LINUX || !has("pgrep"),
  async fn() {
    const web = await Web.start();
    try {
      await using events = await Events.of(web);
      assertEquals(await web.act({ do: "server", concurrency: 2 }), 204);
      const asked = await Promise.all(
        Array.from({ length: 1000 }, () => web.act({ do: "client" })),
      );
      assert(asked.filter((status) => status === 204).length <= 8);
      while (await web.act({ do: "client" }) === 204);
      for (let n = 1; n <= 8; n++) await events.until(`client ${n}`, /connect\(/);
      const line = (line: string) => web.act({ do: "type", client: 1, line });
      assertEquals(await line("x".repeat(200)), 204);
      assertEquals(await line("x".repeat(201)), 409);
      assertEquals(await line("a\nb"), 409);

      const pages = await Promise.all(
        Array.from({ length: 20 }, () => fetch(`${web.url}events`)),
      );
      assertEquals(pages.filter(({ status }) => status === 200).length, 7);
      for (const page of pages) await page.body?.cancel();

      const { pid } = web.program.process;
      const children = async () => {
        const { stdout } = await new Deno.Command("pgrep", { args: ["-P", `${pid}`] }).output();
        return new TextDecoder().decode(stdout).trim().split("\n");
      };
      const pids = await children();
      assertEquals(pids.length, 9);
      assertEquals(await web.program.stop("SIGTERM"), 143);
      for (const pid of pids) {
        const { success } = await new Deno.Command("kill", { args: ["-0", pid], stderr: "null" })
          .output();
        assert(!success, `${pid} still runs`);
      }
    } finally {
      await web.program[Symbol.asyncDispose]();
    }
  },
});

Deno.test({
  name: "lecture:web stops and resets clients; the server's trace has ECONNRESET, and it goes on",
  ignore: !LINUX,
  async fn() {
    await using web = await Web.start();
    await using events = await Events.of(web);
    assertEquals(await web.act({ do: "server" }), 204);
    assertEquals(await web.act({ do: "client" }), 204);
    await events.until("client 1", /connect.* = 0/);
    await events.until("server", /accept.* = connfd 1/);
    assertEquals(await web.act({ do: "client" }), 204);
    await events.until("client 2", /connect.* = 0/);
    assertEquals(await web.act({ do: "reset", client: 2 }), 409); // nobody serves it yet
    assertEquals(await web.act({ do: "stop", client: 1 }), 204);
    assertEquals(await web.act({ do: "type", client: 2, line: "hi" }), 204);
    assertEquals(await web.act({ do: "reset", client: 1 }), 204);
    await events.until("server", /= -1 +ECONNRESET/);
    await events.until("client 2", /rio_readlineb.* = 3 +"hi\\n"/);
    assertEquals(await web.act({ do: "end" }), 204);
    assertEquals(await web.act({ do: "eof", client: 2 }), 204);
    await events.until("server", /close\(listenfd\)/);
  },
});

Deno.test({
  name: `the page shows what the traces say, and who waits in the queue (needs ${CHROMIUM})`,
  ignore: !LINUX || !has(CHROMIUM),
  sanitizeOps: false, // of playwright
  sanitizeResources: false,
  async fn() {
    const { chromium } = await import(PLAYWRIGHT);
    await using web = await Web.start();
    await using events = await Events.of(web);
    // A fresh folder for its profile is playwright's own.
    const browser = await chromium.launch({
      executablePath: CHROMIUM,
      args: FLAGS.split(" "),
      timeout: 60_000,
    });
    try {
      const page = await browser.newPage({ viewport: { width: 1400, height: 900 } });
      page.setDefaultTimeout(60_000);
      const errors: unknown[] = [];
      page.on("pageerror", (error: unknown) => errors.push(error));
      page.on("request", (request: { url(): string }) => {
        const url = request.url();
        if (!url.startsWith(web.url) && !/^(data|blob):/.test(url)) errors.push(url);
      });
      await page.goto(web.url);
      const text = (selector: string) => page.textContent(selector);
      const waiting = page.locator('#queue li[data-client="client 2"]');
      const row = (who: string, hasText: string | RegExp) =>
        page.locator(`#figure [data-who="${who}"] text`, { hasText }).first().waitFor();

      // By keyboard: the iterative server, event by event.
      assert(/Play/.test(await text("#caption")));
      for (;;) {
        await page.keyboard.press("ArrowRight");
        if (await page.locator('#figure [data-who="client 2"]').count() >= 4) break; // rio_writen
      }
      await waiting.waitFor();
      assertMatch(await waiting.textContent(), /^client 2 · since \d+\.\d s$/);
      assertEquals(await text("#descriptors"), "listenfd, connfd 1");
      assertEquals(await page.locator('#figure [data-queued="client 2"]').count(), 1);
      if (Deno.env.has("SCREENSHOTS")) {
        await page.screenshot({ path: `${Deno.env.get("SCREENSHOTS")}/step.png` });
      }

      // And the rest at full speed; the second scene begins by itself.
      await page.fill("#pace", "0");
      await page.keyboard.press("p");
      // In the first scene connfd 1 is closed before connfd 2 is there.
      const both = ["= connfd 2", "close(connfd 1)", "close(connfd 2)"];
      const server = (text: string) => `[data-who="server"]:has-text("${text}")`;
      await page.locator(`#figure ${both.map(server).join(" ~ ")}`).first().waitFor();
      assertEquals(await waiting.count(), 0);

      // By hand: one is served, one waits, as the traces say.
      await page.selectOption("#concurrency", "1");
      await page.click("#start");
      await page.locator('#figure [data-who="client 1"]').first().waitFor({ state: "detached" });
      await row("server", "accept: waiting");
      await page.click("#add");
      await row("server", "accept = connfd 1");
      await page.click("#add");
      await row("client 2", /connect.* = 0/);
      await waiting.waitFor();
      await page.locator('[data-client="client 2"] input').fill('<b>"hi" & 안녕');
      await page.locator('[data-client="client 2"] input').press("Enter");
      await row("client 2", "rio_writen");
      await row("server", "queue: 1 waits");
      assertEquals(await waiting.count(), 1);
      if (Deno.env.has("SCREENSHOTS")) {
        await page.screenshot({ path: `${Deno.env.get("SCREENSHOTS")}/waits.png` });
      }
      await page.click('[data-client="client 1"] button[name=eof]');
      await row("client 2", "rio_readlineb");
      assertEquals(await waiting.count(), 0);
      assertEquals(await text("#descriptors"), "listenfd, connfd 2");
      assertEquals(await page.locator("#figure b").count(), 0);

      // Each line of a trace is there once, in its column and in its order, and nothing else.
      for (const who of ["server", "client 1", "client 2"]) {
        const said = events.lines().filter(([name]) => name === who).map(([, line]) => line);
        const rows = page.locator(`#figure [data-who="${who}"] title`);
        const shown: string[] = await rows.allTextContents();
        assertEquals(shown, said.slice(0, shown.length));
        assert(shown.length >= 5);
      }

      await page.selectOption("#lang", "ko");
      assertEquals(await text("#start"), "시작");
      await page.emulateMedia({ colorScheme: "dark" });
      const download = page.waitForEvent("download");
      await page.click("#save");
      const saved = await Deno.readTextFile(await (await download).path());
      assertMatch(
        saved,
        /^<svg xmlns="http:\/\/www.w3.org\/2000\/svg"[^]*클라이언트 2[^]*<\/svg>$/,
      );
      assert(!/<b>|href|@import/.test(saved));
      if (Deno.env.has("SCREENSHOTS")) {
        await page.screenshot({ path: `${Deno.env.get("SCREENSHOTS")}/dark.png` });
      }
      assertEquals(errors, []);
    } finally {
      await browser.close();
    }
  },
});
