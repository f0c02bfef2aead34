/** How many clients wait in the kernel's queue. */

/** The state of a listening socket in /proc/net/tcp. */
const TCP_LISTEN = "0A";

/**
 * How many clients wait in the kernel's queue of a listening socket, or why that can't be told.
 *
 * Linux tells it in /proc/net/tcp and tcp6, proc_net_tcp(5), as what waits to be received. Deno
 * lets a program read these only if it may do everything, so `cat` reads them.
 */
export async function queueLength(addr: Deno.Addr): Promise<number | string> {
  if (!("hostname" in addr) || Deno.build.os !== "linux") return "the kernel doesn't tell it";
  const { state } = await Deno.permissions.query({ name: "run", command: "cat" });
  if (state !== "granted") return "needs --allow-run=cat";
  const file = `/proc/net/${addr.hostname.includes(":") ? "tcp6" : "tcp"}`;
  try {
    const { stdout } = await new Deno.Command("cat", { args: [file], stderr: "null" }).output();
    return parse(new TextDecoder().decode(stdout), addr) ?? `${file} doesn't tell it`;
  } catch (error) {
    return `cat ${file}: ${(error as Error).message}`;
  }
}

/** The length of the queue, as the table has it. */
function parse(table: string, { hostname, port }: Deno.NetAddr): number | undefined {
  const local = `${hex(hostname)}:${port.toString(16).padStart(4, "0")}`.toUpperCase();
  for (const row of table.split("\n")) {
    const [, address, , state, queues] = row.trim().split(/\s+/);
    if (address === local && state === TCP_LISTEN) return parseInt(queues.split(":")[1], 16);
  }
}

/** An address as the table has it: words of four bytes, each in the order of the machine. */
function hex(hostname: string): string {
  let bytes = hostname.split(".").map(Number);
  if (hostname.includes(":")) {
    const [head, tail = []] = hostname.split("::")
      .map((part) => part.split(":").filter((group) => group !== ""));
    const zeros = Array(8 - head.length - tail.length).fill("0");
    bytes = [...head, ...zeros, ...tail].map((group) => parseInt(group, 16))
      .flatMap((group) => [group >> 8, group & 255]);
  }
  return bytes.map((_, i) => bytes[i ^ 3].toString(16).padStart(2, "0")).join("");
}
