/** When a listener's queue is empty. */

/** Milliseconds between two checks for a new connection. */
const LOOK = 10;
/** Checks in a row that must see none: a single one may come late if the program was held up. */
const LOOKS = 5;

/** The state of an accept loop. */
export interface Accepting {
  /** Whether an `accept` is pending. */
  waiting: boolean;
  /** How many times `accept` has been called. */
  calls: number;
}

/**
 * Calls `act` when the kernel's queue is empty, as far as a program can see: for 50 ms, `accept`
 * has been pending and no TLS handshake is under way. Closing a listener resets the connections
 * still in its queue, so wait for this first. Returns a function that cancels it.
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
