/**
 * `deno task bench:plot [RESULTS] [FOLDER] [PAGE]`: draws `bench/results.json` as SVG pictures in
 * `docs/img`, and fills in the tables of `docs/performance.md`. The pictures have no background
 * and mid-tone colours, so that they are legible in light and dark mode.
 */
import { compile, type TopLevelSpec } from "npm:vega-lite@^6";
import { parse, View } from "npm:vega@^6";
import type { Results } from "./bench.ts";
import { here, median, run } from "./run.ts";
import type { Load } from "./servers.ts";
import { fill, machine } from "./tables.ts";

const GREY = "#7a7a7a"; // as far from white as from GitHub's dark, 4.4 to 1
const GRID = "#7a7a7a40";
const COLOURS: Record<string, string> = {
  "ours, --quiet": "#e8590c",
  "ours": "#f59f00",
  "ours, --workers=2": "#d9480f",
  "plain Deno": "#94a3b8",
  "plain Deno, fair": "#64748b",
  "node:net in Deno": "#a3a300",
  "node:net in Node": "#2f9e44",
  "node:net in Bun": "#d6336c",
  "C, epoll": "#7950f2",
  "C, fork": "#b197fc",
  "Go": "#1098ad",
  "Python, asyncio": "#4c6ef5",
  "socat": "#a0703c",
  "ncat": "#c09060",
};
/** The peers drawn beside the curve: with more lines the picture is hard to read. */
const BESIDE_CURVE = ["C, epoll", "Go", "node:net in Node", "node:net in Bun", "Python, asyncio"];
const WAYS: Record<string, string> = {
  "ready, takeLines": "#e8590c",
  "ready, takeLine": "#f59f00",
  "for await": "#2f9e44",
  "await readline": "#94d82d",
  "await readlineb": "#1098ad",
  "await readnb": "#4dabf7",
  "C, rio_readlineb": "#7950f2",
  "Go, ReadSlice": "#b197fc",
  "TextLineStream": "#d6336c",
  "Node, readline for await": "#f783ac",
};
const QUANTILES = { p50: "p50", p99: "p99", p999: "p99.9", max: "max" } as const;

const [file = here("results.json"), folder = here("../docs/img"), page] = Deno.args;
const results: Results = JSON.parse(await Deno.readTextFile(file));
const under = machine(results);

await draw(
  "throughput.svg",
  "Echoes a second: 64 B, one line in flight on each",
  {
    data: {
      values: [
        ...results.curve,
        ...results.servers.filter((row) => isPlain(row) && BESIDE_CURVE.includes(row.peer)),
      ].map(({ peer, connections, linesPerSecond }) => ({
        peer,
        connections,
        rate: median(linesPerSecond) / 1000,
      })),
    },
    width: 560,
    height: 320,
    mark: { type: "line", point: true, strokeWidth: 2 },
    encoding: {
      x: {
        field: "connections",
        type: "quantitative",
        scale: { type: "log", nice: false, padding: 6 },
        axis: { values: [1, 50, 100, 200, 500, 1000, 3000], title: "connections" },
      },
      y: { field: "rate", type: "quantitative", title: "thousand lines/s" },
      color: colour("peer", COLOURS, [
        ...new Set(results.curve.map(({ peer }) => peer)),
        ...BESIDE_CURVE,
      ]),
    },
  },
);

await draw("latency.svg", "Round trips, ms: p50, p99, p99.9 and the longest (64 B, depth 1)", {
  data: {
    values: results.servers.filter(isPlain).filter(({ connections }) =>
      connections === 50 || connections === 1000
    ).flatMap((row) =>
      Object.entries(QUANTILES).map(([name, quantile]) => ({
        peer: row.peer,
        connections: `${row.connections} connections`,
        quantile,
        ms: row[name as keyof typeof QUANTILES] / 1000,
      }))
    ),
  },
  facet: { column: { field: "connections", type: "nominal", title: null, sort: "descending" } },
  spec: {
    width: 290,
    height: { step: 20 },
    encoding: {
      y: { field: "peer", type: "nominal", title: null, sort: Object.keys(COLOURS) },
      x: {
        field: "ms",
        type: "quantitative",
        scale: { type: "log" },
        axis: { values: [0.01, 0.1, 1, 10, 100, 1000], format: "~r", title: "ms" },
      },
    },
    layer: [
      {
        mark: { type: "line", strokeWidth: 1, color: GREY },
        encoding: { detail: { field: "peer" } },
      },
      {
        mark: { type: "point", opacity: 1, strokeWidth: 2 },
        encoding: {
          // The wider, the rarer: so none hides another.
          size: {
            field: "quantile",
            type: "ordinal",
            scale: { domain: Object.values(QUANTILES), range: [15, 45, 90, 150] },
            title: null,
          },
          color: colour("quantile", {
            "p50": "#2f9e44",
            "p99": "#f59f00",
            "p99.9": "#e8590c",
            "max": "#d6336c",
          }),
        },
      },
    ],
  },
});

await draw("rio.svg", "Reading lines by length: RIO, and others dashed", {
  data: {
    values: results.rio.filter(({ peer }) => peer in WAYS).map((row) => ({
      peer: row.peer,
      length: row.length,
      rate: median(row.linesPerSecond) / 1e6,
      kind: Object.keys(WAYS).indexOf(row.peer) < 6 ? "RIO" : "others",
    })),
  },
  width: 560,
  height: 320,
  mark: { type: "line", point: true, strokeWidth: 2 },
  encoding: {
    x: {
      field: "length",
      type: "quantitative",
      scale: { type: "log", nice: false, padding: 6 },
      axis: { values: [16, 64, 1000, 8000], title: "bytes of a line" },
    },
    y: {
      field: "rate",
      type: "quantitative",
      scale: { type: "log", nice: false, padding: 6 },
      axis: { values: [0.1, 0.3, 1, 3, 10, 30], title: "million lines/s" },
    },
    color: colour("peer", WAYS),
    strokeDash: {
      field: "kind",
      scale: { domain: ["RIO", "others"], range: [[1, 0], [5, 4]] },
      legend: null,
    },
  },
});

const path = page ?? here("../docs/performance.md");
await Deno.writeTextFile(path, fill(await Deno.readTextFile(path), results));
await run([Deno.execPath(), "fmt", "--quiet", path]);

function isPlain({ depth, length }: Load): boolean {
  return depth === 1 && length === 64;
}

function colour(field: string, colours: Record<string, string>, domain = Object.keys(colours)) {
  const range = domain.map((name) => colours[name]);
  return { field, type: "nominal" as const, title: null, scale: { domain, range } };
}

/** Draws a picture, with the machine and the versions below it. */
async function draw(name: string, heading: string, picture: object): Promise<void> {
  const spec = {
    title: { text: under, orient: "bottom", fontSize: 11, fontWeight: "normal", offset: 12 },
    background: null,
    vconcat: [{ title: { text: heading, anchor: "start", fontSize: 14 }, ...picture }],
    config: {
      font: "system-ui, sans-serif",
      view: { stroke: null },
      title: { color: GREY },
      axis: {
        labelColor: GREY,
        titleColor: GREY,
        gridColor: GRID,
        domainColor: GREY,
        tickColor: GREY,
        labelFontSize: 12,
        titleFontSize: 12,
      },
      header: { labelColor: GREY, labelFontSize: 12 },
      legend: { labelColor: GREY, labelFontSize: 12, labelLimit: 0 },
    },
  } as unknown as TopLevelSpec;
  const svg = await new View(parse(compile(spec).spec), { renderer: "none" }).toSVG();
  await Deno.writeTextFile(`${folder}/${name}`, svg + "\n");
}
