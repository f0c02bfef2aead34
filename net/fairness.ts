/** Whether Deno serves many busy connections of a thread fairly. */

/** Connections among which nobody can starve. */
export const FEW = 100;
/** How many sockets tokio takes from the kernel at a time; at 100, Deno is fair by itself. */
export const SETTING = "DENO_TOKIO_MAX_IO_EVENTS_PER_TICK";

/** Whether this program may read and write the setting. */
export function mayConfigure(): boolean {
  return Deno.permissions.querySync({ name: "env", variable: SETTING }).state === "granted";
}

/** Whether the setting is known to make Deno fair. */
export function isFair(): boolean {
  const events = mayConfigure() ? Number(Deno.env.get(SETTING)) : 0;
  return events > 0 && events <= 100;
}
