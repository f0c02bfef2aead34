/**
 * The lecture's scene, played by a real server and two real clients in three columns, with time
 * running down. It plays twice: with the iterative server, then with a concurrent one.
 *
 * @module
 */
import { painter } from "../cli/colours.ts";
import { type CommandLine, type Flags, UsageError } from "../cli/flags.ts";
import { exit, run } from "../cli/program.ts";
import { onSignal, signalCode } from "../cli/signals.ts";
import type { Stdout } from "../cli/stdout.ts";
import { Scene, type Stage } from "./lecture/scene.ts";
import { svg } from "./lecture/svg.ts";
import { ROOM, TextFigure } from "./lecture/text.ts";
import { WORDS } from "./lecture/words.ts";
import { sleep } from "../net/time.ts";
import { Rio, rioWriten } from "../rio.ts";

/** Milliseconds to pause before an action and before each event, so that viewers can follow. */
const PAUSES = { action: 1500, event: 400 };

/** Moves the cursor up a line. */
const UP = "\x1b[A";

const COMMAND_LINE: CommandLine = {
  name: "lecture",
  about: `Plays the lecture's scene with real processes: a server and two clients. First the
server is iterative, and the second client waits; then it is concurrent.`,
  positionals: [],
  flags: [
    ["fast", "don't pause"],
    ["step", "show the next event when you press Enter"],
    ["lang=LANG", "captions in en (English, the default) or ko (Korean)"],
    ["svg=FILE", "also draw the iterative server as an SVG picture"],
  ],
  notes: "Exit codes: 0 done, 1 the scene went wrong, 2 usage.",
};

async function main({ set, values }: Flags, stdout: Stdout): Promise<number> {
  const encoder = new TextEncoder();
  const print = async (text: string) => {
    await stdout.print(encoder.encode(text));
  };
  const { lang = "en" } = values;
  if (lang !== "en" && lang !== "ko") throw new UsageError(`--lang must be en or ko, not ${lang}`);
  const words = WORDS[lang];
  const terminal = Deno.stdout.isTerminal();
  const figure = new TextFigure(painter(Deno.stdout), words);
  const stdin = new Rio(Deno.stdin);
  let step = set.has("step");
  const stage: Stage = {
    begin: (act) => print(figure.begin(act)),
    add: (row) => print(figure.add(row)),
    end: (act) => print(figure.end(act)),
    pause: async (before) => {
      if (!step && !set.has("fast")) await sleep(PAUSES[before]);
      if (!step || before === "action") return;
      step = await stdin.readline() !== null; // at EOF the rest goes on by itself
      if (step && terminal && Deno.stdin.isTerminal()) await print(UP); // over the echoed newline
    },
    room: ROOM,
  };
  // Opened first, so that a name that can't be written fails before the scene.
  using picture = values.svg === undefined
    ? undefined
    : await Deno.open(values.svg, { write: true, create: true, truncate: true });
  let scene: Scene | undefined;
  onSignal(async (signal) => {
    await scene?.[Symbol.asyncDispose]();
    await exit(signalCode(signal), stdout);
  });
  const acts = [];
  for (const concurrency of [1, 2] as const) {
    await using current = scene = new Scene(stage, words);
    acts.push(await current.play(concurrency));
  }
  if (picture !== undefined) await rioWriten(picture, encoder.encode(svg(acts[0], words)));
  return 0;
}

if (import.meta.main) await run(COMMAND_LINE, main);
