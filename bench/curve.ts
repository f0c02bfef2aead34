/**
 * `deno task bench:server [SECONDS] [ROUNDS] [CLIENTS...]`: our server with 50 to 3000 clients,
 * beside a plain loop that a setting of the runtime makes fair.
 */
import { effort, printMissing } from "./run.ts";
import { type Load, measureServers } from "./servers.ts";

const CLIENTS = [50, 100, 130, 200, 500, 1000, 3000];

/** The loads of the curve. */
export function curve(clients: number[] = CLIENTS): Load[] {
  return clients.map((connections) => ({ connections, depth: 1, length: 64 }));
}

/** The servers of the curve. */
export const CURVE_SERVERS = ["ours, --quiet", "plain Deno, fair"];

if (import.meta.main) {
  const clients = Deno.args.slice(2).map(Number);
  const loads = curve(clients.length > 0 ? clients : undefined);
  const { missing } = await measureServers(loads, CURVE_SERVERS, effort(1, 3));
  printMissing(missing);
}
