/** SIGINT and SIGTERM. */

/** The signals that end a program, and its exit codes: 128 plus the signal's number. */
const CODES = { SIGINT: 130, SIGTERM: 143 };
/** A signal that ends a program. */
export type EndSignal = keyof typeof CODES;

/** Milliseconds within which signals count as one: under `npx` a Ctrl-C arrives three times. */
const SAME_SIGNAL = 100;

/** The exit code of a program that a signal ended. */
export function signalCode(signal: EndSignal): number {
  return CODES[signal];
}

/** Calls `first` on the first SIGINT or SIGTERM; the second one exits at once. */
export function onSignal(first: (signal: EndSignal) => void): void {
  // On Windows nobody sends SIGTERM: a program that ends another one uses TerminateProcess.
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
