/** Benchmarks echo clients: each sends a 100 MB file to the fastest server, in C. */
import { compile, deno, has, startServer, temporary } from "./run.ts";
import { LIMIT, SERVERS } from "./servers.ts";

/** Bytes per line of the file. */
const LENGTH = 1000;

/** A client, with megabytes per second in each round. */
export interface ClientRow {
  peer: string;
  bytes: number;
  length: number;
  megabytesPerSecond: number[];
}

const lockstep = await compile("peers/lockstep_client.c");
const CLIENTS: Record<string, ((port: string) => string[]) | undefined> = {
  "ours": (port) => deno("../client.ts", "127.0.0.1", port),
  "ours, --lockstep": (port) => deno("../client.ts", "127.0.0.1", port, "--lockstep"),
  "C, lockstep": lockstep === undefined ? undefined : (port) => [lockstep, port],
  "ncat": has("ncat") ? (port) => ["ncat", "127.0.0.1", port] : undefined,
  "socat": has("socat") ? (port) => ["socat", "-t9", "-", `TCP:127.0.0.1:${port}`] : undefined,
};

/** Sends a file through each client, in turn, and compares what comes back. */
export async function measureClients(
  bytes: number,
  rounds: number,
): Promise<{ rows: ClientRow[]; missing: string[] }> {
  const [input, output] = [temporary("input"), temporary("output")];
  const line = Array.from({ length: LENGTH - 1 }, (_, i) => String.fromCharCode(97 + i % 26));
  await Deno.writeTextFile(input, `${line.join("")}\n`.repeat(bytes / LENGTH));
  const rates: Record<string, number[]> = {};
  const missing = Object.keys(CLIENTS).filter((name) => CLIENTS[name] === undefined);
  const { command } = SERVERS[LIMIT];
  if (command === undefined) return { rows: [], missing: ["all clients: the server needs gcc"] };
  await using server = await startServer(LIMIT, command);
  for (let round = 0; round < rounds; round++) {
    for (const [name, client] of Object.entries(CLIENTS)) {
      if (client === undefined) continue;
      const quoted = client(server.port).map((arg) => `'${arg}'`).join(" ");
      const start = performance.now();
      await sh(`${quoted} < '${input}' > '${output}'`);
      const seconds = (performance.now() - start) / 1000;
      await sh(`cmp '${input}' '${output}'`);
      (rates[name] ??= []).push(bytes / 1e6 / seconds);
    }
  }
  await Promise.all([Deno.remove(input), Deno.remove(output)]);
  const rows = Object.entries(rates).map(([peer, megabytesPerSecond]) => ({
    peer,
    bytes,
    length: LENGTH,
    megabytesPerSecond,
  }));
  return { rows, missing };
}

async function sh(script: string): Promise<void> {
  const { success } = await new Deno.Command("sh", { args: ["-c", script] }).output();
  if (!success) throw new Error(`${script} failed`);
}
