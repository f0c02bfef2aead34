/** Makes the tables of docs/performance.md from `results.json`. */
import type { Results } from "./bench.ts";
import { median, table } from "./run.ts";
import type { Load, ServerRow } from "./servers.ts";

/** The columns of the table of servers. */
const LOADS = [
  [1, 1, 64],
  [50, 1, 64],
  [1000, 1, 64],
  [3000, 1, 64],
  [50, 16, 64],
  [1, 128, 64],
  [50, 1, 8000],
  [50, 16, 8000],
];

/** Puts each table between `<!-- NAME -->` and `<!-- /NAME -->` of a page. */
export function fill(page: string, results: Results): string {
  return Object.entries(TABLES).reduce((text, [name, make]) => {
    const part = new RegExp(`(<!-- ${name} -->)[^]*(<!-- /${name} -->)`);
    return text.replace(part, (_, from, to) => `${from}\n\n${make(results)}\n\n${to}`);
  }, page);
}

/** The machine and the versions of everything measured, in two lines. */
export function machine(results: Results): [string, string] {
  const { machine: { cpu, cores, os }, versions, date, rounds, curve } = results;
  const names = ["deno", "node", "bun", "go", "gcc", "python3"];
  return [
    `${cpu}, ${cores} cores, ${os}; ${date}; loopback, medians of ${rounds} rounds ` +
    `(the curve: ${curve[0].linesPerSecond.length})`,
    names.filter((name) => versions[name]).map((name) => `${name} ${versions[name]}`).join(", "),
  ];
}

export const TABLES: Record<string, (results: Results) => string> = {
  machine: (results) => `${machine(results).join("; ")}.`,

  servers({ servers }) {
    const head = LOADS.map(([connections, depth, length]) =>
      `${connections} × ${depth}${length === 64 ? "" : `, ${length} B`}`
    );
    return table(
      ["thousand lines/s", ...head],
      names(servers).map((peer) => [
        peer,
        ...LOADS.map(([connections, depth, length]) => {
          const row = find(servers, peer, { connections, depth, length });
          return row === undefined ? "" : thousands(rate(row));
        }),
      ]),
    );
  },

  bursts({ servers }) {
    const rows = ["C, epoll", "plain Deno, fair", "ours, --quiet", "ours"].flatMap((peer) => {
      const of = (depth: number) => find(servers, peer, { connections: 50, depth, length: 64 });
      const [one, many] = [of(1), of(16)];
      if (one === undefined || many === undefined) return [];
      const [burst, sixteen] = [1e6 / rate(one), 16e6 / rate(many)];
      return [[peer, burst.toFixed(1), sixteen.toFixed(1), (sixteen / 16).toFixed(2)]];
    });
    return table(["µs of a burst, 50 connections", "1 line", "16 lines", "each of them"], rows);
  },

  curve({ curve }) {
    const clients = [...new Set(curve.map(({ connections }) => connections))];
    return table(
      ["thousand lines/s, and p50 / p99.9 / max in ms", ...names(curve)],
      clients.map((connections) => [
        `${connections} connections`,
        ...names(curve).map((peer) => {
          const row = find(curve, peer, { connections, depth: 1, length: 64 })!;
          const ms = [row.p50, row.p999, row.max].map((us) => (us / 1000).toFixed(1));
          return `${thousands(rate(row))}, ${ms.join(" / ")}`;
        }),
      ]),
    );
  },

  clients({ clients }) {
    const row = clients.map(({ megabytesPerSecond }) => median(megabytesPerSecond).toFixed(0));
    return table(["100 MB", ...clients.map(({ peer }) => peer)], [["MB/s", ...row]]);
  },

  load({ load }) {
    return table(
      ["µs of processor a line", "lines/s", "µs a line", "p50, ms", "p99.9, ms"],
      load.map(({ client, connections, depth, length, linesPerSecond, cpuPerLine, p50, p999 }) => [
        `${client}, ${connections} × ${depth}${length === 64 ? "" : `, ${length} B`}`,
        median(linesPerSecond).toLocaleString("en"),
        (median(cpuPerLine) / 1000).toFixed(1),
        ...[p50, p999].map((us) => `${Number((us / 1000).toPrecision(2))}`),
      ]),
    );
  },

  rio({ rio }) {
    const lengths = [...new Set(rio.map(({ length }) => length))];
    return table(
      ["million lines/s", ...lengths.map((length) => `${length} B`)],
      names(rio).map((peer) => [
        peer,
        ...lengths.map((length) => {
          const row = rio.find((row) => row.peer === peer && row.length === length);
          const millions = row === undefined ? NaN : rate(row) / 1e6;
          if (millions >= 100) return millions.toFixed(0);
          return row === undefined ? "" : millions.toPrecision(2);
        }),
      ]),
    );
  },
};

function names(rows: { peer: string }[]): string[] {
  return [...new Set(rows.map(({ peer }) => peer))];
}

function find(rows: ServerRow[], peer: string, load: Load): ServerRow | undefined {
  return rows.find((row) =>
    row.peer === peer && row.connections === load.connections && row.depth === load.depth &&
    row.length === load.length
  );
}

function rate({ linesPerSecond }: { linesPerSecond: number[] }): number {
  return median(linesPerSecond);
}

function thousands(rate: number): string {
  return (rate / 1000).toFixed(rate < 10_000 ? 1 : 0);
}
