/** The lecture's figure in a terminal of 80 columns, printed row by row. */
import type { Paint } from "../../cli/colours.ts";
import { type Act, arrow, type Lane, type Row, type State } from "./figure.ts";
import type { Words } from "./words.ts";

/** Widths of the time and of each column, its line included, in characters. */
const TIME = 5;
const WIDTHS = [23, 30, 22];
/** The most characters of an event in each column. */
export const ROOM: readonly number[] = [20, 28, 20];

const LINES: Record<State, string> = { off: " ", on: "│", waits: "┊", serves: "┃" };

/** ANSI colour codes. */
const BOLD = 1;
const DIM = 2;
const YELLOW = 33;
const COLUMNS = [35, 34, 36];

/** The figure as lines of text. */
export class TextFigure {
  readonly #paint: Paint;
  readonly #words: Words;
  #states: Row["states"] = ["off", "off", "off"];

  constructor(paint: Paint, words: Words) {
    this.#paint = paint;
    this.#words = words;
  }

  /** The head of an act. */
  begin({ title }: Act): string {
    this.#states = ["off", "off", "off"];
    const names = this.#words.lanes.map((name, i) => this.#paint(COLUMNS[i], pad(name, WIDTHS[i])));
    return `${this.#paint(BOLD, title)}\n\n${" ".repeat(TIME)}${names.join("").trimEnd()}\n`;
  }

  /** An event, with the arrows to it and from it. */
  add(row: Row): string {
    const { time, lane, text, states, queued } = row;
    const to = arrow(row);
    let lines = to === undefined ? "" : this.#arrow(to.from, lane, to.label);
    this.#states = states.map((state, i) =>
      state === "off" ? this.#states[i] : state
    ) as Row["states"];
    const colour = this.#colour(lane);
    lines += this.#line(`${time.toFixed(1).padStart(TIME - 1)} `, lane, ` ${text}`, colour);
    this.#states = states;
    if (queued !== undefined) lines += this.#arrow(lane, "kernel", queued);
    return lines;
  }

  /** The end of an act. */
  end({ moral }: Act): string {
    return `\n${moral}\n\n`;
  }

  /** Draws an arrow between two lines, in the column of the left one. */
  #arrow(from: Lane | "kernel", to: Lane | "kernel", label: string): string {
    const cell = from === 0 || to === 0 ? 0 : 1;
    const width = WIDTHS[cell] - 1;
    let text = `── ${label} `;
    if (from === "kernel") text = `◀${text}── kernel`;
    else if (to === "kernel") text = `kernel ◀${text}──`.padStart(width);
    else text = from < to ? `${text.padEnd(width - 1, "─")}▶` : `◀${text}`.padEnd(width, "─");
    return this.#line(" ".repeat(TIME), cell, text, DIM);
  }

  #line(time: string, lane: Lane, text: string, colour: number): string {
    const cells = WIDTHS.map((width, i) =>
      this.#paint(this.#colour(i), LINES[this.#states[i]]) +
      (i === lane ? this.#paint(colour, text.padEnd(width - 1)) : " ".repeat(width - 1))
    );
    return `${this.#paint(DIM, time)}${cells.join("")}`.trimEnd() + "\n";
  }

  #colour(lane: number): number {
    return this.#states[lane] === "waits" ? YELLOW : COLUMNS[lane];
  }
}

/** Pads a text to a width; a Hangul syllable is two columns wide. */
function pad(text: string, width: number): string {
  return text.padEnd(width - (text.match(/\p{Script=Hangul}/gu)?.length ?? 0));
}
