/** What the connections of a thread have counted. */
import type { FaultKind } from "./fault.ts";
import { type Counts, Histogram } from "./histogram.ts";

/** A tally's data, as posted to another thread. */
export type Taken = Omit<Tally, "histogram" | "take" | "add"> & { counts: Counts };

const NOTHING = {
  lines: 0,
  opened: 0,
  asked: 0,
  answered: 0,
  unsent: 0,
  lost: 0,
  outage: 0,
};

/** Counts since it was last taken. */
export class Tally {
  /** Lines that came back. */
  lines = 0;
  /** Their round trips, and the ages of lines that were lost, and of those owed or due at the end. */
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
    const { histogram, ...counters } = this;
    Object.assign(this, NOTHING, { faults: {} });
    return { ...counters, counts: histogram.take() };
  }

  /** Adds what was taken from another tally. */
  add({ lines, opened, asked, answered, unsent, faults, lost, outage, counts }: Taken): void {
    this.lines += lines;
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
