/** A class: each submission is built and tried by a judge of its own, so that none disturbs the next. */
import { reason } from "../../net/errors.ts";
import { sleep } from "../../net/time.ts";
import { bytes } from "./bytes.ts";
import { LEVELS } from "./marks.ts";
import { share } from "./proc.ts";
import { command, Program } from "./process.ts";
import { lines, type Row, score } from "./report.ts";
import { escaped } from "./seen.ts";

/** Seconds for a build, and for a trial to end after its time is over. */
const BUILD = 120;
const LAST = 60;
/** Processes and bytes of memory beyond which all is ended: a thousand clients may need one each. */
const PROCESSES = 2000;
const MEMORY = 4 * 2 ** 30;
/** Milliseconds between two looks at a submission. */
const LOOK = 200;
/** What the kernel bounds: processes of the user, bytes of a file. An AddressSanitizer needs its data. */
const LIMITS = "prlimit --nproc=8192 --fsize=1000000000 --core=0";
/** judge's exit code when it couldn't try. */
const CANT = 3;
/** The most characters of a build's messages on a page. */
const MESSAGES = 4096;

/** What is tried, and how. */
export interface Class {
  /** A folder with a file or a folder for each submission. */
  folder: string;
  /** Builds {file} as {out}. */
  build?: string;
  /** Starts the server: {out}, {file} and {port}. */
  start: string;
  /** Seconds for a trial. */
  total: number;
  /** Flags for each judge. */
  flags: string[];
  /** Aborts when no more is to be tried. */
  over: AbortSignal;
}

/** What came of a submission. */
export interface Graded {
  name: string;
  /** The cases, none if it wasn't tried. */
  rows: Row[];
  /** Why it wasn't tried, or ended. */
  why?: string;
  /** What its build wrote to standard error, if that failed. */
  messages?: string;
}

/** The submissions in a folder, in the order of their names. */
export function submissions(folder: string): string[] {
  return Array.from(Deno.readDirSync(folder), ({ name }) => name)
    .filter((name) => !name.startsWith(".")).sort();
}

/** Builds and tries submissions, one after the other: what is measured of one is none of another's. */
export async function* grade(
  names: string[],
  { folder, build, start, total, flags, over }: Class,
): AsyncGenerator<Graded> {
  const judge = [Deno.execPath(), "run", "--quiet", "--allow-all"];
  judge.push(new URL("../judge.ts", import.meta.url).href, "--json", `--total=${total}`, ...flags);
  const outs = await Deno.makeTempDir({ prefix: "judge" });
  const bounded = (args: string[], seconds: number) => runBounded(args, seconds, over);
  try {
    for (const name of names) {
      let file: string;
      try {
        file = Deno.realPathSync(`${folder}/${name}`);
      } catch (error) {
        yield { name, rows: [], why: reason(error) }; // such as a link to nowhere
        continue;
      }
      const values = { file: quoted(file), out: quoted(`${outs}/${name}.out`) };
      if (build !== undefined) {
        const { program, why } = await bounded(["sh", "-c", command(build, values)], BUILD);
        if (over.aborted) return;
        if (why !== undefined || !program.status?.success) {
          const messages = decoded(program.stderr).slice(0, MESSAGES);
          yield { name, rows: [], why: why ?? `the build ${program.said()}`, messages };
          continue;
        }
      }
      const trial = [...judge, `--start=${command(start, values)}`];
      const bounds = await bounded(trial, total + LAST);
      if (over.aborted) return;
      yield { name, ...read(bounds) };
    }
  } finally {
    await Deno.remove(outs, { recursive: true });
  }
}

interface Bounded {
  program: Program;
  /** Why it was ended. */
  why?: string;
}

/** Runs a program for so many seconds, unless it's over before, and ends whatever is left of it. */
async function runBounded(args: string[], seconds: number, over: AbortSignal): Promise<Bounded> {
  const program = new Program(`${LIMITS} ${args.map(quoted).join(" ")}`);
  const end = performance.now() + seconds * 1000;
  let why: string | undefined;
  try {
    await program.closeInput();
    while (program.status === undefined && why === undefined && !over.aborted) {
      const processes = program.group!.running();
      if (performance.now() > end) why = `not over after ${seconds} s`;
      else if (processes.length > PROCESSES) why = `it runs ${processes.length} processes`;
      else {
        const memory = processes.reduce((sum, { pid }) => sum + share(pid), 0);
        if (memory > MEMORY) why = `it takes ${Math.round(memory / 2 ** 20)} MiB of memory`;
      }
      await sleep(LOOK);
    }
  } finally {
    await program.kill();
  }
  return { program, why };
}

/** The report of a submission's judge. */
function read({ program, why }: Bounded): Omit<Graded, "name"> {
  try {
    const { cases: rows } = JSON.parse(decoded(program.stdout));
    return {
      rows,
      why: why ?? (program.status?.code === CANT ? `judge ${program.said()}` : undefined),
    };
  } catch {
    return { rows: [], why: why ?? `judge ${program.said()}` };
  }
}

/** The text of an output. */
function decoded(output: string): string {
  return new TextDecoder().decode(bytes(output));
}

/** An argument as sh takes it. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

const COLUMNS = ["submission", ...LEVELS, "score", "fix this first"];

/** The cells of a row: the points per level, and of all; 0 if it wasn't tried. */
function cells({ name, rows, why }: Graded): string[] {
  const points = (some: Row[]) => {
    const { score: earned, max } = score(some);
    return rows.length === 0 ? "0" : `${earned}/${max}`;
  };
  const levels = LEVELS.map((level) => points(rows.filter((row) => row.level === level)));
  const failed = rows.find(({ verdict }) => verdict === "failed")?.name;
  const missing = rows.find(({ verdict }) => verdict === "not tried")?.saw;
  return [name, ...levels, points(rows), why ?? failed ?? missing ?? ""];
}

/** A table for people, a row at a time; the first row is its head. */
export function table(names: string[]): (graded?: Graded) => string {
  const width = Math.max(...names.map((name) => escaped(name).length), COLUMNS[0].length);
  return (graded) =>
    (graded === undefined ? COLUMNS : cells(graded))
      .map((cell, i) => escaped(cell).padEnd(i === 0 ? width : 10)).join("  ").trimEnd() + "\n";
}

/** The same as comma-separated values: RFC 4180. */
export function csv(graded?: Graded): string {
  return (graded === undefined ? COLUMNS : cells(graded))
    .map((cell) => /[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell)
    .join(",") + "\r\n";
}

/** The page of a submission. */
export function page({ name, rows, why, messages }: Graded): string {
  if (rows.length === 0) return `${name}\n\n${why}\n${messages ? `\n${messages}` : ""}`;
  const report = lines((_code, text) => text, true);
  return [report.begin(name, rows.length), ...rows.map(report.tell), report.end(rows)].join("") +
    (why === undefined ? "" : `${why}\n`);
}
