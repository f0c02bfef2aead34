/** What can be given up. */
import { label } from "./errors.ts";
import { checkTime, inTime } from "./time.ts";

/** How to give an attempt to connect up. */
export interface ConnectOptions {
  /** Gives the attempt up: it rejects with the signal's reason. */
  signal?: AbortSignal;
  /** Milliseconds until it fails; what the kernel waits unless given, minutes. */
  connectTimeout?: number;
}

/** Tries what can be given up, and names it if it fails. */
export async function attempt<T>(
  what: string,
  { signal, connectTimeout = Infinity }: ConnectOptions,
  open: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  checkTime("connect: connectTimeout", connectTimeout);
  const late = new AbortController();
  const cancel = inTime(connectTimeout, () => {
    late.abort(new Deno.errors.TimedOut(`no answer within ${connectTimeout / 1000} s`));
  });
  try {
    return await open(signal ? AbortSignal.any([signal, late.signal]) : late.signal);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw label(what, error);
  } finally {
    cancel();
  }
}
