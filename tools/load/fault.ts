/** Faults, which end a load early or are counted, and their exit codes. */
import { isReset, reason } from "../../net/errors.ts";

/**
 * What went wrong with a connection:
 *
 * - `corrupt`: a byte came back that differs from the one sent.
 * - `truncated`: the peer closed before everything came back.
 * - `reset`: the peer reset it.
 * - `refused`: connect(2) was refused.
 * - `timeout`: nothing came for too long.
 * - `network`: any other error.
 */
export type FaultKind = "corrupt" | "truncated" | "reset" | "refused" | "timeout" | "network";

/** The exit code of each, the gravest first. */
export const EXIT_CODES: Record<FaultKind, number> = {
  corrupt: 3,
  truncated: 4,
  reset: 5,
  refused: 6,
  timeout: 7,
  network: 1,
};

/** Where a fault was found. All numbers start at 0. */
export interface Place {
  /** The number of the connection. */
  connection: number;
  /** The byte that should have come next, of all bytes sent on the connection. */
  byte: number;
  /** The line that holds it. */
  line: number;
}

/**
 * A fault that ended a load early.
 * @example
 * ```ts
 * import { load } from "@netp/rio/load";
 * import { assertEquals } from "@std/assert";
 *
 * const connect = () => Promise.reject(new Deno.errors.ConnectionRefused("Connection refused"));
 * const { fault } = await load(connect, { connections: 1 });
 * assertEquals(fault?.message, "refused: connection 0, byte 0 (line 0): Connection refused");
 * ```
 */
export class Fault extends Error {
  /** Its kind. */
  readonly kind: FaultKind;
  /** Where it was found. */
  readonly place: Place;
  /** What happened, in a few words. */
  readonly what: string;

  /** Makes a fault. Its message has the kind, the place and `what`. */
  constructor(kind: FaultKind, place: Place, what: string) {
    super(
      `${kind}: connection ${place.connection}, byte ${place.byte} (line ${place.line}): ${what}`,
    );
    this.kind = kind;
    this.place = place;
    this.what = what;
  }

  /** Turns an error into a fault. */
  static of(error: unknown, place: Place): Fault {
    return new Fault(kindOf(error), place, reason(error));
  }
}

function kindOf(error: unknown): FaultKind {
  if (error instanceof Deno.errors.TimedOut) return "timeout";
  if (error instanceof Deno.errors.UnexpectedEof) return "truncated"; // TLS without close_notify
  const { code } = error as { code?: string }; // node:net has errors of its own
  if (error instanceof Deno.errors.ConnectionRefused || code === "ECONNREFUSED") return "refused";
  return isReset(error) || code === "ECONNRESET" || code === "EPIPE" ? "reset" : "network";
}
