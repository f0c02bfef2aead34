/** Bounds in time: milliseconds, 0 or more, `Infinity` for ever. */

/** What a timer can count: setTimeout takes more for 1. */
const MAX_DELAY = 2 ** 31 - 1;

/** Throws a RangeError unless `ms` is a number of milliseconds, 0 or more. */
export function checkTime(what: string, ms: number): void {
  if (typeof ms === "number" && ms >= 0) return;
  throw new RangeError(
    `Cannot ${what} must be milliseconds, 0 or more, current value is ${ms}`,
  );
}

/** Calls `act` in so many milliseconds, unless the function returned is called before. */
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

/** Resolves with the promise, or with undefined when the time is up. */
export async function within<T>(ms: number, promise: Promise<T>): Promise<T | undefined> {
  const late = Promise.withResolvers<undefined>();
  const cancel = inTime(ms, () => late.resolve(undefined));
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    cancel();
  }
}

/** Resolves in so many milliseconds. */
export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => inTime(ms, resolve));
}
