/** The measurements of a load, as text and as JSON. */
import { show } from "../../client/target.ts";
import type { Plan } from "./command_line.ts";
import type { LoadResult, Second } from "./drive.ts";
import { plural } from "../../net/text.ts";
import type { Histogram } from "./histogram.ts";
import type { Tally } from "./tally.ts";

const QUANTILES = { p50: 0.5, p90: 0.9, p99: 0.99, "p99.9": 0.999 };
/** Width of the longest bar in characters; bars are drawn in eighths. */
const WIDTH = 50;
const EIGHTHS = " ▏▎▍▌▋▊▉";
/** The bounds of the drawn bars, within each power of ten. */
const STEPS = [1, 1.5, 2, 3, 5, 7];

/** The report, with a drawing of the histogram. */
export function summary(result: LoadResult, { shape }: Plan): string {
  const { length, rate: due, onFault } = shape;
  const { lines, time, histogram, unsent, opened, busy } = result;
  if (time === 0) return "";
  const { lines: rate, megabytes } = speed(lines, time, length);
  const text = [
    `${en(lines)} lines in ${(time / 1000).toFixed(1)} s: ${en(rate)} lines/s, ` +
    `${megabytes.toFixed(1)} MB/s each way, ${plural(opened, "connection")}` +
    (due === undefined ? `, this client ${(busy * 100).toFixed(0)} % busy` : ""),
  ];
  if (unsent > 0) {
    text.push(
      `${plural(unsent, "line")} were due and not sent: the peer owed too many or was away, ` +
        "or this client was late",
    );
  }
  if (onFault === "count") text.push(counted(result));
  if (histogram.count > 0) {
    const times = Object.entries(roundTrips(histogram)).map(([name, ms]) => `${name} ${ms}`);
    text.push(`round trip, ms: ${times.join(", ")}`, "", ...drawn(histogram));
  }
  return text.join("\n") + "\n";
}

/** The faults that were counted. */
function counted({ faults, lost, outage }: LoadResult): string {
  const kinds = Object.entries(faults).map(([kind, n]) => `${en(n)} ${kind}`);
  if (kinds.length === 0) return "no faults";
  return `faults: ${kinds.join(", ")}; ${plural(lost, "line")} lost; ` +
    `a connection was out of service for ${round(outage / 1000)} s at most`;
}

/** A second as a line of JSON. */
export function jsonSecond({ end, time, tally }: Second, { shape }: Plan): string {
  const { length, onFault } = shape;
  const { faults, lost } = tally;
  return json({
    seconds: round(end / 1000),
    ...measured(tally, time, length),
    ...onFault === "count" ? { faults, lost } : {},
  });
}

/** The summary as a line of JSON. */
export function jsonSummary(result: LoadResult, plan: Plan, code: number): string {
  const { time, unsent, opened, busy, fault, faults, lost } = result;
  const { connections, depth, length, rate, churn, timeout, onFault } = plan.shape;
  return json({
    summary: {
      target: show(plan.endpoint.target),
      connections,
      depth,
      length,
      rate,
      churn: churn === Infinity ? undefined : churn,
      workers: plan.workers,
      timeout: timeout / 1000,
      seconds: round(time / 1000),
      ...measured(result, time, length),
      unsent,
      ...onFault === "count" ? { faults, lost, outageSeconds: round(result.outage / 1000) } : {},
      opened,
      busy: rate === undefined ? round(busy) : undefined,
      fault: fault === undefined ? null : { kind: fault.kind, ...fault.place, what: fault.what },
      exitCode: code,
    },
  });
}

function measured({ lines, histogram }: LoadResult | Tally, time: number, length: number) {
  const rates = speed(lines, time, length);
  return {
    lines,
    linesPerSecond: rates.lines,
    megabytesPerSecond: round(rates.megabytes),
    milliseconds: roundTrips(histogram),
  };
}

function json(value: unknown): string {
  return JSON.stringify(value) + "\n";
}

function speed(lines: number, time: number, length: number) {
  const rate = time > 0 ? lines / time * 1000 : 0;
  return { lines: Math.round(rate), megabytes: rate * length / 1e6 };
}

/** Quantiles of the round trips, in milliseconds; null if there were none. */
function roundTrips(histogram: Histogram): Record<string, number | null> {
  const known = (ms: number) => histogram.count > 0 ? round(ms) : null;
  const times = Object.entries(QUANTILES).map(([name, q]) => [name, known(histogram.quantile(q))]);
  return { ...Object.fromEntries(times), max: known(histogram.max) };
}

/** Rounds to four digits, one more than the histogram resolves. */
function round(value: number): number {
  return Number(value.toPrecision(4));
}

function en(n: number): string {
  return n.toLocaleString("en");
}

/** One bar per step from the fastest to the slowest round trip. */
function drawn(histogram: Histogram): string[] {
  const rows: { from: number; to: number; share: number }[] = [];
  for (let i = 0, from = 0; from < histogram.max; i++) {
    const to = STEPS[i % STEPS.length] * 10 ** (Math.floor(i / STEPS.length) - 3);
    const share = histogram.between(from, to) / histogram.count;
    if (share > 0 || rows.length > 0) rows.push({ from, to, share });
    from = to;
  }
  const most = Math.max(...rows.map(({ share }) => share));
  const label = (ms: number) => String(round(ms));
  const width = Math.max(...rows.map(({ to }) => label(to).length));
  return rows.map(({ from, to, share }) => {
    const range = `${label(from).padStart(width)} to ${label(to).padStart(width)} ms`;
    return `${range} ${`${(share * 100).toFixed(1)} %`.padStart(7)} ${bar(share / most)}`.trimEnd();
  });
}

function bar(share: number): string {
  const eighths = Math.ceil(share * WIDTH * 8);
  return "█".repeat(Math.floor(eighths / 8)) + EIGHTHS[eighths % 8];
}
