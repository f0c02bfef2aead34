/** Time limits, in milliseconds from 0 to `Infinity`, which means no limit. */

/** The longest delay of setTimeout, which treats a longer one as 1 ms. */
const MAX_DELAY = 2 ** 31 - 1;

/** Throws a RangeError unless `ms` is a number of at least 0. `what` names the option. */
export function checkTime(what: string, ms: number): void {
  if (typeof ms === "number" && ms >= 0) return;
  throw new RangeError(
    `Cannot ${what} must be milliseconds, 0 or more, current value is ${ms}`,
  );
}

/** Calls `act` after `ms` milliseconds. Returns a function that cancels it. */
export function inTime(ms: number, act: () => void): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const wait = (left: number) => {
    if (left === Infinity) return;
    const delay = Math.min(left, MAX_DELAY);
    timer = setTimeout(() => left > delay ? wait(left - delay) : act(), delay);
  };
  wait(ms);
  return () => clearTimeout(timer);
}

/** Settles like `promise`, or resolves to undefined after `ms` milliseconds. */
export async function within<T>(ms: number, promise: Promise<T>): Promise<T | undefined> {
  const late = Promise.withResolvers<undefined>();
  const cancel = inTime(ms, () => late.resolve(undefined));
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    cancel();
  }
}

/** Calls `act` with a signal that aborts after `ms` milliseconds: TimedOut, with `message`. */
export async function withDeadline<T>(
  ms: number,
  message: string,
  act: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const late = new AbortController();
  const cancel = inTime(ms, () => late.abort(new Deno.errors.TimedOut(message)));
  try {
    return await act(late.signal);
  } finally {
    cancel();
  }
}

/** Resolves after `ms` milliseconds. */
export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => inTime(ms, resolve));
}
