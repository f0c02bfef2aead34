/** Whether Deno itself serves many busy connections of a thread fairly. */

/** With fewer connections than this, none starves: tokio completes 128 operations in a poll. */
export const FEW = 120;
/** The most sockets tokio takes from the kernel at a time. With 100 or fewer, Deno is fair. */
export const SETTING = "DENO_TOKIO_MAX_IO_EVENTS_PER_TICK";

/** Whether the program has permission to read and write the setting. */
export function mayConfigure(): boolean {
  return Deno.permissions.querySync({ name: "env", variable: SETTING }).state === "granted";
}

/** Whether the setting is readable and makes Deno fair. */
export function isFair(): boolean {
  const events = mayConfigure() ? Number(Deno.env.get(SETTING)) : 0;
  return events > 0 && events <= 100;
}
