/** A trace on standard error, one aligned line per event. */
import type { Tell } from "../net/traced_conn.ts";
import type { Writer } from "../rio.ts";
import { painter } from "./colours.ts";
import { afterLog, log } from "./diagnostics.ts";
import type { Stdout } from "./stdout.ts";

/** Widths of the columns, in characters. */
const SIDE = 6;
const CALL = 34;
const RESULT = 10;

/**
 * Returns a function that prints events: seconds since the program started, the side, the call,
 * its result, details, and where Deno differs from the lecture. Coloured on a terminal.
 */
export function traceTo(side: "server" | "client"): Tell {
  const paint = painter(Deno.stderr);
  return ({ call, result, detail = "", note = "" }) => {
    const time = (performance.now() / 1000).toFixed(3).padStart(8);
    const colour = result.startsWith("= -1") ? RED : result.startsWith("=") ? GREEN : YELLOW;
    const rest = [detail, note && paint(DIM, `(${note})`)].filter((text) => text !== "").join("  ");
    const padded = rest === "" ? result : result.padEnd(RESULT);
    log(
      [
        time,
        paint(side === "server" ? BLUE : MAGENTA, side.padEnd(SIDE)),
        call.padEnd(CALL),
        paint(colour, padded),
        rest,
      ].join("  ").trimEnd(),
    );
  };
}

/**
 * Standard output in one order with the trace: what is printed is written after what was told
 * before, and before what is told after. So each waits for the other's reader.
 */
export function inOrder(stdout: Pick<Stdout, "print">): Pick<Stdout, "print"> & Writer {
  const print: Stdout["print"] = (p, times, giver) =>
    afterLog(async () => await stdout.print(p, times, giver));
  return {
    print,
    async write(p) {
      const bytes = p.subarray(0, 65_536);
      await print(bytes);
      return bytes.length;
    },
  };
}

const DIM = 2;
const RED = 31;
const GREEN = 32;
const YELLOW = 33;
const BLUE = 34;
const MAGENTA = 35;
