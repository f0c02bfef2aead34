/** SIGINT and SIGTERM. */

/** The signals that end a program, and its exit code: 128 and the signal's number. */
const CODES = { SIGINT: 130, SIGTERM: 143 };
/** A signal that ends a program. */
export type EndSignal = keyof typeof CODES;

/** Milliseconds within which signals are one: a Ctrl-C under `npx` comes three times. */
const SAME_SIGNAL = 100;

/** The exit code of a program that a signal has ended. */
export function signalCode(signal: EndSignal): number {
  return CODES[signal];
}

/** Calls `first` for the first SIGINT or SIGTERM; the second ends the program at once. */
export function onSignal(first: (signal: EndSignal) => void): void {
  const signals: EndSignal[] = Deno.build.os === "windows" ? ["SIGINT"] : ["SIGINT", "SIGTERM"];
  let since: number | undefined;
  for (const signal of signals) {
    Deno.addSignalListener(signal, () => {
      if (since === undefined) {
        since = performance.now();
        first(signal);
      } else if (performance.now() - since > SAME_SIGNAL) {
        Deno.exit(signalCode(signal));
      }
    });
  }
}
