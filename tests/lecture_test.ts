/** docs/lecture.md and its Korean twin: what they show is what happens. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { bytes, freePort, has, Program, ROOT, runProgram, startServer } from "./helpers.ts";
import { fenced, listening, playPage } from "./terminal.ts";

const page = await Deno.readTextFile(`${ROOT}/docs/lecture.md`);

Deno.test({
  name: "each screen of the lecture is what its commands print (needs setsid)",
  ignore: !has("setsid") || Deno.build.os !== "linux",
  fn: () => playPage(page),
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
  for (const section of page.split("\n## ").slice(1, -1)) {
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
      const [kept, korean] = await Promise.all(
        ["lecture", "lecture.ko"].map((name) => Deno.readTextFile(`${ROOT}/docs/${name}.svg`)),
      );
      for (const drawn of [svg, kept, korean]) {
        assertMatch(drawn, /^<svg xmlns="http:\/\/www.w3.org\/2000\/svg"[^]*<\/svg>\n$/);
        assertMatch(drawn, /@media \(prefers-color-scheme: dark\)/);
        assert(!/href|url\((?!#)|@import/.test(drawn));
      }
      // Those in docs/ are of such a run: the same events in the same order.
      const events = (drawn: string) =>
        [...drawn.matchAll(/<text class="(?:|end)" [^>]*>([^<]*)</g)]
          .map(([, event]) => event.replace(/:\d{4,5}\b/, ":PORT"));
      assertEquals(events(svg), events(kept));
      assertEquals(events(svg), events(korean));
      assertEquals(events(svg).length > 30, true);
      assertMatch(korean, /커널의 대기열/);
    } finally {
      await Deno.remove(picture);
    }
  },
});

Deno.test({
  name: "lecture --step shows an event a line of input, and the rest at its end; Korean captions",
  ignore: Deno.build.os !== "linux",
  async fn() {
    await using lecture = new Program(Deno.execPath(), [
      ...["run", "--quiet", "--allow-run", "tools/lecture.ts", "--step", "--fast", "--lang=ko"],
    ]);
    const shown = () => new TextDecoder().decode(bytes(lecture.stdout.text));
    for (const call of ["getaddrinfo", "socket", "setsockopt"]) {
      await lecture.write("\n");
      await lecture.stdout.until(new RegExp(`${call}.* = .*\n`));
      assert(shown().trimEnd().split("\n").at(-1)!.includes(call), shown());
    }
    assertEquals([await lecture.code(), lecture.stderr.text], [0, ""]);
    assertMatch(shown(), /^반복 서버[^]*\n동시성 서버[^]*accept = connfd 2/);
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
