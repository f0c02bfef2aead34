/** A class: each submission is built and tried by a judge of its own, so that none disturbs the next. */
import { sleep } from "../../net/time.ts";
import { bytes } from "./bytes.ts";
import { LEVELS } from "./marks.ts";
import { command, Program } from "./process.ts";
import { lines, type Row, score } from "./report.ts";

/** Seconds for a build, and for a trial to end after its time is over. */
const BUILD = 120;
const LAST = 60;
/** Processes of a submission beyond which it is ended: a thousand clients may need one each. */
const PROCESSES = 2000;
/** Milliseconds between two looks at a submission. */
const LOOK = 200;
/** What a submission's processes may use: processes of the user, bytes of a file, of memory. */
const LIMITS = "prlimit --nproc=8192 --fsize=1000000000 --data=4000000000 --core=0";

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
}

/** What came of a submission. */
export interface Graded {
  name: string;
  /** The cases, none if it wasn't tried. */
  rows: Row[];
  /** Why it wasn't tried, or ended. */
  why?: string;
}

/** Builds and tries the submissions, in the order of their names. */
export async function* grade(
  { folder, build, start, total, flags }: Class,
): AsyncGenerator<Graded> {
  const names = Array.from(Deno.readDirSync(folder), ({ name }) => name)
    .filter((name) => !name.startsWith(".")).sort();
  const outs = await Deno.makeTempDir({ prefix: "judge" });
  try {
    for (const name of names) {
      const values = {
        file: quoted(Deno.realPathSync(`${folder}/${name}`)),
        out: quoted(`${outs}/${name}.out`),
      };
      if (build !== undefined) {
        const { program, why } = await bounded(limited(command(build, values)), BUILD);
        if (why !== undefined || !program.status?.success) {
          yield { name, rows: [], why: why ?? `the build ${program.said()}` };
          continue;
        }
      }
      const args = [
        `--start=${limited(command(start, values))}`,
        "--json",
        `--total=${total}`,
        ...flags,
      ];
      const judge = [
        Deno.execPath(),
        "run",
        "--quiet",
        "--allow-all",
        new URL("../judge.ts", import.meta.url).href,
        ...args,
      ].map(quoted).join(" ");
      const { program, why } = await bounded(judge, total + LAST);
      yield { name, ...read(program, why) };
    }
  } finally {
    await Deno.remove(outs, { recursive: true });
  }
}

let running: Program | undefined;

/** Ends the submission that is tried. */
export async function endGrade(): Promise<void> {
  await running?.kill();
}

/** Runs a program for so many seconds, and ends whatever is left of it. */
async function bounded(commandLine: string, seconds: number) {
  const program = running = new Program(commandLine);
  const end = performance.now() + seconds * 1000;
  let why: string | undefined;
  try {
    await program.closeInput();
    while (program.status === undefined && why === undefined) {
      if (performance.now() > end) why = `not over after ${seconds} s`;
      const processes = program.group?.running().length ?? 0;
      if (processes > PROCESSES) why = `it runs ${processes} processes`;
      await sleep(LOOK);
    }
  } finally {
    await program.kill();
  }
  return { program, why };
}

/** The report of a submission's judge. */
function read({ stdout, stderr }: Program, why?: string): Omit<Graded, "name"> {
  try {
    return { rows: JSON.parse(new TextDecoder().decode(bytes(stdout))).cases, why };
  } catch {
    return { rows: [], why: why ?? (stderr.trim().split("\n").at(-1) || "judge said nothing") };
  }
}

/** A command line with limits. */
function limited(commandLine: string): string {
  return `${LIMITS} sh -c ${quoted(commandLine)}`;
}

/** An argument as sh takes it. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** What to fix first. */
function first({ rows, why }: Graded): string {
  const failed = rows.find(({ verdict }) => verdict === "failed");
  return why ?? (failed === undefined ? "" : failed.name);
}

/** The points per level, and of all; empty if it wasn't tried. */
function points({ rows }: Graded): string[] {
  if (rows.length === 0) return [...LEVELS, ""].map(() => "0");
  const of = (some: Row[]) => {
    const all = score(some);
    return `${all.score}/${all.max}`;
  };
  return [...LEVELS.map((level) => of(rows.filter((row) => row.level === level))), of(rows)];
}

const COLUMNS = ["submission", ...LEVELS, "score", "fix this first"];

/** A table for people, a row at a time. */
export function table(graded?: Graded): string {
  const cells = graded === undefined ? COLUMNS : [graded.name, ...points(graded), first(graded)];
  return `${
    cells.map((cell, i) => i === 0 ? cell.padEnd(24) : cell.padEnd(11)).join(" ").trimEnd()
  }\n`;
}

/** The same as comma-separated values: RFC 4180. */
export function csv(graded?: Graded): string {
  const cells = graded === undefined ? COLUMNS : [graded.name, ...points(graded), first(graded)];
  return `${
    cells.map((cell) => /[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell).join(",")
  }\r\n`;
}

/** The page of a submission. */
export function page({ name, rows, why }: Graded): string {
  const report = lines((_code, text) => text, true);
  if (rows.length === 0) return `${name}\n\n${why}\n`;
  return [report.begin(name, rows.length), ...rows.map(report.tell), report.end(rows)].join("") +
    (why === undefined ? "" : `${why}\n`);
}
