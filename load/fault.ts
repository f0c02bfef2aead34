/** What ends a load early, and the exit code of each. */
import { isReset, reason } from "../net/errors.ts";

/**
 * What can go wrong with a connection: another byte came back than was sent, it was closed too
 * early, reset, or refused, nothing came for too long, or anything else.
 */
export type FaultKind = "corrupt" | "truncated" | "reset" | "refused" | "timeout" | "network";

/** The exit codes of the program. */
export const FAULTS: Record<FaultKind, number> = {
  network: 1,
  corrupt: 3,
  truncated: 4,
  reset: 5,
  refused: 6,
  timeout: 7,
};

/** Where a fault was found. Everything is counted from 0. */
export interface Place {
  /** The connection. */
  connection: number;
  /** The byte that should have come back, of all that the connection sent. */
  byte: number;
  /** The line it is in. */
  line: number;
}

/**
 * What ended a load early.
 *
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
  /** What it is. */
  readonly kind: FaultKind;
  /** Where it was found. */
  readonly place: Place;
  /** What happened there, in a few words. */
  readonly what: string;

  /** A fault at a place; its message names both. */
  constructor(kind: FaultKind, place: Place, what: string) {
    super(
      `${kind}: connection ${place.connection}, byte ${place.byte} (line ${place.line}): ${what}`,
    );
    this.kind = kind;
    this.place = place;
    this.what = what;
  }

  /** The fault that a thrown error is. */
  static of(error: unknown, place: Place): Fault {
    return new Fault(kindOf(error), place, reason(error));
  }
}

function kindOf(error: unknown): FaultKind {
  if (error instanceof Deno.errors.ConnectionRefused) return "refused";
  if (error instanceof Deno.errors.TimedOut) return "timeout";
  if (error instanceof Deno.errors.UnexpectedEof) return "truncated"; // TLS without its close
  return isReset(error) ? "reset" : "network";
}
