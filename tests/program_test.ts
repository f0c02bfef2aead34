/** The ends of the programs: signals, and what they have left to say. */
import { assertEquals } from "@std/assert";
import { openListenfd, openUnixListenfd } from "@netp/rio/server";
import { onSignal } from "../cli/signals.ts";
import { bytes, Output, ROOT } from "./helpers.ts";
import { Clock } from "./clock.ts";

Deno.test("signals within a tenth of a second are one; the next ends the program", async () => {
  using clock = new Clock();
  const { addSignalListener, exit } = Deno;
  const handlers: (() => void)[] = [];
  const told: (string | number)[] = [];
  Deno.addSignalListener = (_signal, handler) => void handlers.push(handler);
  Deno.exit = ((code) => told.push(code!)) as typeof Deno.exit;
  try {
    onSignal((signal) => told.push(signal));
    const [interrupt, terminate] = handlers;
    interrupt();
    await clock.pass(50);
    interrupt();
    terminate();
    assertEquals(told, ["SIGINT"]);
    await clock.pass(51);
    terminate();
    assertEquals(told, ["SIGINT", 143]);
  } finally {
    Object.assign(Deno, { addSignalListener, exit });
  }
});

Deno.test("SIGINT ends the client when what came back is written, however full the pipe is", async () => {
  using listenfd = openListenfd(0, { host: "127.0.0.1" });
  // More than a pipe and what reads ahead of it hold, less than the client holds besides.
  const [lines, length] = [45, 4000];
  const answer = bytes("x".repeat(length - 1) + "\n");
  const { port } = listenfd.addr;
  const args = ["run", "-q", "--allow-net", "client.ts", "127.0.0.1", `${port}`];
  const process = new Deno.Command(Deno.execPath(), {
    args: [...args, "--any-answer", "--trace"],
    cwd: ROOT,
    env: { NO_COLOR: "1" },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const stderr = new Output(process.stderr);
  const stdin = process.stdin.getWriter();
  await stdin.write(bytes("?\n".repeat(lines)));
  {
    using connfd = await listenfd.accept();
    const buf = new Uint8Array(2);
    for (let i = 0; i < lines; i++) {
      await connfd.read(buf);
      await connfd.write(answer);
      await stderr.until(new RegExp(`(= ${length}[^]*){${i + 1}}`));
    }
    process.kill("SIGINT");
    const stdout = new Output(process.stdout);
    assertEquals((await process.status).code, 130);
    await Promise.all([stdout.ended, stderr.ended]);
    assertEquals(stdout.text.length, lines * length);
  }
  await stdin.close().catch(() => {});
});

Deno.test("a Unix socket whose server doesn't answer for a moment is taken", async () => {
  const dir = await Deno.makeTempDir();
  const path = `${dir}/echo.sock`;
  const { connect } = Deno;
  const living = await openUnixListenfd(path);
  let failed: Error | undefined;
  try {
    // As connect(2) has it when the queue is full: EAGAIN.
    Object.assign(Deno, { connect: () => Promise.reject(new Deno.errors.WouldBlock("busy")) });
    await openUnixListenfd(path).then((listenfd) => listenfd.close(), (error) => failed = error);
  } finally {
    Deno.connect = connect;
    living.close();
    await Deno.remove(dir, { recursive: true });
  }
  assertEquals(failed?.message, `listen on ${path}: Address already in use`);
});
