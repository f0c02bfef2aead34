/** The end of a listener's queue. */

/** Milliseconds between two looks at whether somebody has come. */
const LOOK = 10;
/** Looks in a row that see nobody: one alone could be that of a program that was held up. */
const LOOKS = 5;

/** What has come out of a listener's queue. */
export interface Accepting {
  /** Whether `accept` is waiting now. */
  waiting: boolean;
  /** The calls of it so far. */
  calls: number;
}

/**
 * Calls `act` when the kernel's queue is empty, as far as a program can see: nobody has come
 * for a twentieth of a second while `accept` was waiting, and nobody is shaking hands.
 * Closing a listener resets who is still in its queue. The function returned gives it up.
 */
export function whenEmpty(
  accepting: Accepting,
  listenfd: { readonly shaking?: number },
  act: () => void,
): () => void {
  let quiet = 0;
  let calls = -1;
  const timer = setInterval(() => {
    const nobody = accepting.waiting && accepting.calls === calls && !listenfd.shaking;
    quiet = nobody ? quiet + 1 : 0;
    calls = accepting.calls;
    if (quiet === LOOKS) act();
  }, LOOK);
  return () => clearInterval(timer);
}
