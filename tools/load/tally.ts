/** What the connections of a thread have counted. */
import type { FaultKind } from "./fault.ts";
import { type Counts, Histogram } from "./histogram.ts";

/** A tally's data, as posted to another thread. */
export type Taken = Omit<Tally, "histogram" | "take" | "add"> & { counts: Counts };

/** Counts since it was last taken. */
export class Tally {
  readonly histogram = new Histogram();
  /** Connections opened. */
  opened = 0;
  /** Connections that sent their first line, and those whose first line came back. */
  asked = 0;
  answered = 0;
  /** Lines that were due and couldn't be sent. */
  unsent = 0;
  /** Faults of each kind, where a fault doesn't end the load, and the lines in flight at them. */
  faults: Partial<Record<FaultKind, number>> = {};
  lost = 0;
  /** The most milliseconds from a fault until the connection was served again. */
  outage = 0;

  /** Returns all counts and resets them to 0. */
  take(): Taken {
    const { opened, asked, answered, unsent, faults, lost, outage } = this;
    this.opened =
      this.asked =
      this.answered =
      this.unsent =
      this.lost =
      this.outage =
        0;
    this.faults = {};
    const counts = this.histogram.take();
    return { opened, asked, answered, unsent, faults, lost, outage, counts };
  }

  /** Adds what was taken from another tally. */
  add({ opened, asked, answered, unsent, faults, lost, outage, counts }: Taken): void {
    this.opened += opened;
    this.asked += asked;
    this.answered += answered;
    this.unsent += unsent;
    for (const [kind, n] of Object.entries(faults) as [FaultKind, number][]) {
      this.faults[kind] = (this.faults[kind] ?? 0) + n;
    }
    this.lost += lost;
    this.outage = Math.max(this.outage, outage);
    this.histogram.add(counts);
  }
}
