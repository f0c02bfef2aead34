/**
 * `deno task bench:server [SECONDS] [ROUNDS]`: our server beside the plain loop, which a setting
 * of Deno's makes fair, from 50 to 3000 clients.
 */
import { effort, printMissing } from "./run.ts";
import { type Load, measureServers } from "./servers.ts";

const CLIENTS = [50, 100, 130, 200, 500, 1000, 3000];

/** The loads of the curve. */
export const CURVE: Load[] = CLIENTS.map((connections) => ({ connections, depth: 1, length: 64 }));
/** The servers of the curve. */
export const CURVE_SERVERS = ["ours, --quiet", "plain Deno, fair"];

if (import.meta.main) {
  const { missing } = await measureServers(CURVE, CURVE_SERVERS, effort(1, 3));
  printMissing(missing);
}
