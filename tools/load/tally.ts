/** What the connections of a thread have counted. */
import type { FaultKind } from "./fault.ts";
import { type Counts, Histogram } from "./histogram.ts";

/** A tally's data, as posted to another thread. */
export type Taken = Omit<Tally, "histogram" | "take" | "add"> & { counts: Counts };

/** Counts since it was last taken. */
export class Tally {
  /** Lines that came back. */
  lines = 0;
  /** When the last of them did, in milliseconds since 1970. */
  lastLine = 0;
  /** Their round trips, and the ages of lines that were lost, and of those owed or due at the end. */
  readonly histogram = new Histogram();
  /** Connections opened. */
  opened = 0;
  /** Connections that sent their first line, and those whose first line came back. */
  asked = 0;
  answered = 0;
  /** Lines that were due and not sent. */
  unsent = 0;
  /** Faults of each kind, where a fault doesn't end the load, and the lines in flight at them. */
  faults: Partial<Record<FaultKind, number>> = {};
  lost = 0;
  /** The most milliseconds from a fault until the connection was served again. */
  outage = 0;

  /** Returns all counts and resets them to 0. */
  take(): Taken {
    const { histogram, ...counters } = this;
    Object.assign(this, new Tally(), { histogram });
    return { ...counters, counts: histogram.take() };
  }

  /** Adds what was taken from another tally. */
  add({ faults, outage, lastLine, counts, ...sums }: Taken): void {
    for (const [name, n] of Object.entries(sums)) this[name as keyof typeof sums] += n;
    for (const [kind, n] of Object.entries(faults) as [FaultKind, number][]) {
      this.faults[kind] = (this.faults[kind] ?? 0) + n;
    }
    this.outage = Math.max(this.outage, outage);
    this.lastLine = Math.max(this.lastLine, lastLine);
    this.histogram.add(counts);
  }
}
