/** The lecture's figure as a picture. */
import { type Act, arrow, type Lane, type Row } from "./figure.ts";
import type { Words } from "./words.ts";

/** The height of a row, and of the head and foot of the picture, in pixels. */
const ROW = 17;
const HEAD = 58;
const FOOT = 74;
const WIDTH = 840;
/** The x of the clients' lines, and of the edges of the server's column. */
const CLIENT = [170, , 630] as const;
const SERVER = [290, 510] as const;
/** The width of the kernel's queue, at the server's right edge. */
const QUEUE = 14;

/** The width of a character of a label. */
const GLYPH = 7;

const STYLE = `
  text { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: #1f2328 }
  .paper { fill: #fff }
  .title { font-weight: bold; font-size: 14px }
  .head { font-weight: bold }
  .time { fill: #6e7781; font-size: 10px }
  .key { font-size: 11px }
  .label { fill: #59636e; font-size: 11px; text-anchor: middle }
  .end { text-anchor: end }
  .middle { text-anchor: middle }
  .server { fill: #f0f6fc; stroke: #8c959f }
  .serves { fill: #ddf4ff; stroke: none }
  .line { stroke: #8c959f; stroke-width: 2 }
  .waits { stroke: #d4a72c; stroke-width: 4; stroke-dasharray: 2 4 }
  .queue { fill: #d4a72c }
  .arrow { stroke: #59636e; marker-end: url(#tip) }
  .tip { fill: #59636e }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .paper { fill: #0d1117 }
    .time { fill: #7d8590 }
    .label { fill: #9198a1 }
    .server { fill: #151b23; stroke: #656c76 }
    .serves { fill: #0c2d6b }
    .line { stroke: #656c76 }
    .waits { stroke: #d29922 }
    .queue { fill: #d29922 }
    .arrow { stroke: #9198a1 }
    .tip { fill: #9198a1 }
  }
`;

/** Draws an act, legible in light and dark mode, with a legend. */
export function svg({ title, moral, rows }: Act, words: Words): string {
  const height = HEAD + rows.length * ROW + FOOT;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img">
<title>${words.picture}</title>
<desc>${escape(`${title}. ${moral}`)}</desc>
<style>${STYLE}</style>
<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path class="tip" d="M0 0L8 4L0 8z"/></marker></defs>
<rect class="paper" width="${WIDTH}" height="${height}"/>
${draw({ title, moral, rows }, words)}${legend(height - 18, words)}</svg>
`;
}

/** What the lines and colours stand for. */
function legend(y: number, { legend }: Words): string {
  const samples = [
    (x: number) => line("line", x, y, x + 24, y),
    (x: number) => line("waits", x, y, x + 24, y),
    (x: number) => `<rect class="serves" x="${x}" y="${y - 6}" width="24" height="12"/>`,
    (x: number) => `<rect class="queue" x="${x}" y="${y - 6}" width="24" height="12"/>`,
    (x: number) => line("arrow", x, y, x + 24, y),
  ];
  return samples.map((sample, i) => {
    const x = 16 + i * 164;
    return `${sample(x)}${text(x + 30, y + 4, legend[i], "key")}\n`;
  }).join("");
}

function draw({ title, moral, rows }: Act, words: Words): string {
  const y = (row: Row) => HEAD + rows.indexOf(row) * ROW + ROW / 2;
  const bottom = HEAD + rows.length * ROW;
  const parts = [text(16, 24, title, "title"), text(WIDTH / 2, bottom + 24, moral, "head middle")];
  for (const [lane, name] of words.lanes.entries()) {
    const x = CLIENT[lane] ?? (SERVER[0] + SERVER[1]) / 2;
    parts.push(text(x, 48, name, "head middle"));
  }

  // The states of the columns, beneath everything else.
  const [left, right] = SERVER;
  const box = (kind: string, x: number, from: number, width: number, to: number) =>
    `<rect class="${kind}" x="${x}" y="${from}" width="${width}" height="${to - from}"/>`;
  parts.push(box("server", left, HEAD, right - left, bottom));
  for (const [i, row] of rows.entries()) {
    const from = y(row);
    const to = i + 1 < rows.length ? from + ROW : bottom;
    if (row.states[1] === "serves") {
      parts.push(box("serves", left + 1, from - ROW / 2, right - left - 2, to - ROW / 2));
    }
    for (const lane of [0, 2] as const) {
      const state = row.states[lane];
      if (state !== "off") {
        parts.push(
          line(state === "waits" ? "waits" : "line", CLIENT[lane], from, CLIENT[lane], to),
        );
      }
    }
  }
  const waiting = rows.filter(({ queued }) => queued !== undefined);
  const taken = rows.filter(({ from }) => from?.row.queued !== undefined);
  if (waiting.length > 0) {
    const from = y(waiting[0]) + ROW / 2;
    const to = y(taken.at(-1)!) + ROW / 2;
    const middle = (y(waiting.at(-1)!) + ROW + to) / 2; // below the arrows
    const name = text(0, 0, words.legend[3], "middle");
    parts.push(
      box("queue", right, from, QUEUE, to),
      `<g transform="translate(${right + QUEUE + 14} ${middle}) rotate(90)">${name}</g>`,
    );
  }

  for (const row of rows) {
    const { lane, from } = row;
    const to = arrow(row);
    if (to !== undefined && from !== undefined && to.from !== "kernel") {
      parts.push(shaft(edge(to.from, lane), y(from.row), edge(lane, to.from), y(row), to.label));
    } else if (to !== undefined) {
      parts.push(line("arrow", right + QUEUE / 2, y(row), right - 6, y(row)));
    }
    if (row.queued !== undefined) {
      parts.push(shaft(CLIENT[2], y(row), right + QUEUE, y(row) + ROW, row.queued));
    }
    const [x, kind] = lane === 0
      ? [CLIENT[0] - 10, "end"]
      : lane === 1
      ? [left + 10, ""]
      : [CLIENT[2] + 10, ""];
    parts.push(text(x, y(row) + 4, row.text, kind));
    parts.push(text(WIDTH - 8, y(row) + 4, `${row.time.toFixed(1)} s`, "time end"));
  }
  return parts.join("\n") + "\n";
}

/** The x at which an arrow from another column meets a column. */
function edge(lane: Lane, other: Lane): number {
  return CLIENT[lane] ?? SERVER[other === 0 ? 0 : 1];
}

function line(kind: string, x1: number, y1: number, x2: number, y2: number): string {
  return `<line class="${kind}" x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}"/>`;
}

/** An arrow with its label above it, clear of the shaft along the label's width. */
function shaft(x1: number, y1: number, x2: number, y2: number, label: string): string {
  const rise = Math.abs((y2 - y1) / (x2 - x1)) * label.length * GLYPH / 2;
  return line("arrow", x1, y1, x2, y2) +
    text((x1 + x2) / 2, (y1 + y2) / 2 - rise - 4, label, "label");
}

function text(x: number, y: number, content: string, kind: string): string {
  return `<text class="${kind}" x="${x}" y="${y}">${escape(content)}</text>`;
}

function escape(content: string): string {
  return content.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
