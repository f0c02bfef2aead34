import { chomp, Rio, rioWriten } from "@netp/rio";

/** Answers commands, a line each, until EOF or `quit`. */
export async function answer(connfd: Deno.TcpConn): Promise<void> {
  using _ = connfd;
  const rio = new Rio(connfd, { maxline: 80, tooLong: "throw" });
  const say = (line: string) => rioWriten(connfd, new TextEncoder().encode(`${line}\n`));
  try {
    for await (const line of rio) {
      const [, command, rest = ""] = /^(\S*) ?(.*)$/s.exec(new TextDecoder().decode(chomp(line)))!;
      if (command === "quit") return;
      if (command === "echo") await say(rest);
      else if (command === "add" && /^-?\d+ -?\d+$/.test(rest)) {
        const [a, b] = rest.split(" ").map(BigInt);
        await say(`${a + b}`);
      } else await say("error: no such command");
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.InvalidData)) throw error;
    await say("error: line too long");
  }
}
