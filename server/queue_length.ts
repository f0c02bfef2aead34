/** The length of the kernel's queue. */
import { groupsOf } from "../net/address.ts";

/** The state of a listening socket in /proc/net/tcp. */
const TCP_LISTEN = "0A";

/**
 * How many clients wait in the queue of a listening socket, or why that is unknown.
 *
 * Linux shows it as rx_queue in /proc/net/tcp and tcp6: proc_net_tcp(5). Deno lets a program
 * read these files only with all permissions, so `cat` reads them.
 */
export async function queueLength(addr: Deno.Addr): Promise<number | string> {
  if (!("hostname" in addr) || Deno.build.os !== "linux") return "the kernel doesn't tell it";
  const { state } = await Deno.permissions.query({ name: "run", command: "cat" });
  if (state !== "granted") return "needs --allow-run=cat";
  const file = `/proc/net/${addr.hostname.includes(":") ? "tcp6" : "tcp"}`;
  try {
    const cat = new Deno.Command("cat", { args: [file], stderr: "null" });
    const { stdout, signal } = await cat.output();
    if (signal !== null) return await queueLength(addr); // Ctrl-C in a terminal ends cat, too
    return parse(new TextDecoder().decode(stdout), addr) ?? `${file} doesn't tell it`;
  } catch (error) {
    return `cat ${file}: ${(error as Error).message}`;
  }
}

/** Finds the socket in the table, and returns the length of its queue. */
function parse(table: string, { hostname, port }: Deno.NetAddr): number | undefined {
  const local = `${hex(hostname)}:${port.toString(16).padStart(4, "0")}`.toUpperCase();
  for (const row of table.split("\n")) {
    const [, address, , state, queues] = row.trim().split(/\s+/);
    if (address === local && state === TCP_LISTEN) return parseInt(queues.split(":")[1], 16);
  }
}

/** An address as the table shows it: 32-bit words in host byte order. */
function hex(hostname: string): string {
  const bytes = hostname.includes(":")
    ? groupsOf(hostname).flatMap((group) => [group >> 8, group & 255])
    : hostname.split(".").map(Number);
  return bytes.map((_, i) => bytes[i ^ 3].toString(16).padStart(2, "0")).join("");
}
