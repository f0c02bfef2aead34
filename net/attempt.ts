/** Attempts with a timeout and an abort signal. */
import { label } from "./errors.ts";
import { checkTime, withDeadline } from "./time.ts";

/** How to abort an attempt to connect. */
export interface ConnectOptions {
  /** Aborts the attempt, which then rejects with the signal's reason. */
  signal?: AbortSignal;
  /** The most milliseconds to wait. Default: no limit but the kernel's, a few minutes. */
  connectTimeout?: number;
}

/**
 * Calls `open` with a signal that aborts on `signal` or after `connectTimeout`; returns what it
 * returns.
 * @throws {RangeError} If `connectTimeout` is not a number of at least 0.
 * @throws {Error} What `open` throws, with `what` in front of its message; or the signal's reason.
 */
export async function attempt<T>(
  what: string,
  { signal, connectTimeout = Infinity }: ConnectOptions,
  open: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  checkTime("connect: connectTimeout", connectTimeout);
  try {
    const late = `no answer within ${connectTimeout / 1000} s`;
    return await withDeadline(
      connectTimeout,
      late,
      (deadline) => open(signal ? AbortSignal.any([signal, deadline]) : deadline),
    );
  } catch (error) {
    if (signal?.aborted) throw error;
    throw label(what, error);
  }
}
