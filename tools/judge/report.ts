/** Reports: lines for people, or a format that a program reads. */
import type { Paint } from "../../cli/colours.ts";
import { type Level, LEVELS } from "./marks.ts";
import type { Case } from "./case.ts";
import type { Result } from "./run.ts";

/** What a report says of a case. */
export interface Row extends Result, Pick<Case<unknown>, "did" | "means" | "read"> {
  means: string;
  level: Level;
  points: number;
}

/** A format of reports: each function returns text to print. */
export interface Report {
  begin(target: string, total: number): string;
  tell(row: Row): string;
  end(rows: Row[]): string;
}

/** The points that a case brings. A mistake costs once. */
export function earned({ verdict, same, points }: Row): number {
  return verdict === "passed" || same ? points : 0;
}

/** The points of all, of those that could be earned: what is skipped doesn't count. */
export function score(rows: Row[]): { score: number; max: number } {
  // Points of tenths are summed without what binary fractions add.
  const sum = (points: (row: Row) => number) =>
    Number(rows.reduce((all, row) => all + points(row), 0).toFixed(6));
  return {
    score: sum(earned),
    max: sum(({ verdict, points }) => verdict === "skipped" ? 0 : points),
  };
}

/** The number of cases per verdict; `follow` counts failures that follow from another. */
function counts(rows: Row[]) {
  const all = { passed: 0, failed: 0, follow: 0, skipped: 0, "not tried": 0 };
  for (const { verdict, follows } of rows) {
    all[verdict === "failed" && follows !== undefined ? "follow" : verdict]++;
  }
  return all;
}

/** Whether nothing has failed. */
export function passed(rows: Row[]): boolean {
  return rows.every(({ verdict }) => verdict === "passed" || verdict === "skipped");
}

/** Lines for people, coloured on a terminal; at the end the findings again, if `summary`. */
export function lines(paint: Paint, summary: boolean): Report {
  const marks = {
    passed: paint(32, "ok  "),
    failed: paint(31, "FAIL"),
    skipped: paint(33, "skip"),
    "not tried": paint(31, "-   "),
  };
  let first: string | undefined;
  return {
    begin: (target) => `${target}\n\n`,
    tell({ name, verdict, saw, means, follows, did, read }) {
      const mark = `${marks[verdict]}  ${name}`;
      if (verdict === "not tried") return `${mark}\n`;
      if (verdict !== "failed") return `${mark}${saw ? paint(2, ` (${saw})`) : ""}\n`;
      if (follows !== undefined) return `${mark}${paint(2, ` (follows from: ${follows})`)}\n`;
      const head = first === undefined ? `${paint(1, "fix this first:")}\n` : "";
      first ??= name;
      return `${head}${mark}\n` + [
        ["judge", did],
        ["saw", saw],
        ["means", means],
        ["read", read],
      ].map(([what, text]) => `      ${paint(2, `${what}:`.padEnd(7))} ${text}\n`).join("");
    },
    end(rows) {
      const { follow, ...all } = counts(rows);
      const numbers = Object.entries(all).filter(([, n]) => n > 0)
        .map(([verdict, n]) => `${n} ${verdict}`);
      if (follow > 0) numbers.push(`${follow} follow from these`);
      const found = rows.flatMap(({ verdict, saw }) =>
        summary && verdict === "passed" && saw || []
      );
      const what = found.length > 0 ? `${[...new Set(found)].join("; ")}\n` : "";
      const gone = rows.find(({ verdict }) => verdict === "not tried")?.saw;
      const why = gone === undefined ? "" : `: ${gone}`;
      const fix = first === undefined ? "" : `fix this first: ${first}\n`;
      const { score: points, max } = score(rows);
      return `\n${numbers.join(", ")}${why}\n${what}${fix}score: ${points} of ${max}\n`;
    },
  };
}

/** TAP 13, which every reader takes: https://testanything.org/tap-version-13-specification.html */
export function tap(): Report {
  let n = 0;
  return {
    begin: (target, total) => `TAP version 13\n1..${total}\n# ${line(target)}\n`,
    tell({ name, verdict, saw, means, follows, did, read, ms }) {
      const ok = verdict === "passed" || verdict === "skipped" ? "ok" : "not ok";
      const skip = verdict === "skipped" ? ` # SKIP ${escaped(line(saw ?? ""))}` : "";
      const finding = verdict === "passed" && saw ? `# ${line(saw)}\n` : "";
      const test = `${ok} ${++n} - ${escaped(name)}${skip}\n${finding}`;
      if (ok === "ok") return test;
      const fields = { saw, follows, did, means, read, duration_ms: ms };
      const yaml = Object.entries(fields).filter(([, value]) => value !== undefined)
        .map(([key, value]) => `  ${key}: ${JSON.stringify(value)}\n`);
      return `${test}  ---\n${yaml.join("")}  ...\n`;
    },
    end: () => "",
  };
}

/** Escapes \ and #, as TAP requires. */
function escaped(text: string): string {
  return text.replace(/[\\#]/g, "\\$&");
}

function line(text: string): string {
  return text.replace(/\s+/g, " ");
}

/** A report of one text, at the end. */
function atEnd(write: (target: string, rows: Row[]) => string): Report {
  let target = "";
  return {
    begin(what) {
      target = what;
      return "";
    },
    tell: () => "",
    end: (rows) => `${write(target, rows)}\n`,
  };
}

/** One JSON object. */
export function json(): Report {
  return atEnd((target, rows) => {
    const cases = rows.map(({ means, ...row }) => ({
      ...row,
      // What a failure means is told of failures.
      ...row.verdict === "failed" ? { means } : {},
    }));
    return JSON.stringify({ target, ...counts(rows), ...score(rows), cases }, null, 2);
  });
}

/** What a student reads of a case, as plain text. */
function story({ verdict, saw, follows, did, means, read }: Row): string {
  if (verdict !== "failed") return saw ?? "";
  if (follows !== undefined) return `saw: ${saw}\nfollows from: ${follows}`;
  return `judge: ${did}\nsaw: ${saw}\nmeans: ${means}\nread: ${read}`;
}

/** Gradescope's results.json: https://gradescope-autograders.readthedocs.io/en/latest/specs/ */
export function gradescope(): Report {
  return atEnd((_, rows) => {
    const tests = rows.filter(({ verdict }) => verdict !== "skipped").map((row) => ({
      name: row.name,
      score: earned(row),
      max_score: row.points,
      status: row.verdict === "passed" ? "passed" : "failed",
      output: story(row),
      visibility: "visible",
    }));
    return JSON.stringify({ tests }, null, 2);
  });
}

/** Autolab's last line, with a problem for each level: https://docs.autolabproject.com/lab/ */
export function autolab(): Report {
  const people = lines((_code, text) => text, true);
  return {
    ...people,
    end(rows) {
      const levels = LEVELS.filter((level) => rows.some((row) => row.level === level));
      const scores = Object.fromEntries(
        levels.map((level) => [level, score(rows.filter((row) => row.level === level)).score]),
      );
      return `${people.end(rows)}${JSON.stringify({ scores })}\n`;
    },
  };
}

/** JUnit XML, as Jenkins' junit-10.xsd has it: https://github.com/jenkinsci/xunit-plugin */
export function junit(): Report {
  return atEnd((target, rows) => {
    const is = (...verdicts: Row["verdict"][]) =>
      rows.filter(({ verdict }) => verdicts.includes(verdict)).length;
    const seconds = (ms: number) => (ms / 1000).toFixed(3);
    const time = seconds(rows.reduce((sum, { ms }) => sum + ms, 0));
    const failures = is("failed", "not tried");
    const totals = `tests="${rows.length}" failures="${failures}" errors="0" time="${time}"`;
    const cases = rows.map((row) => {
      const head = `    <testcase name="${xml(row.name)}" classname="judge.${row.level}" ` +
        `time="${seconds(row.ms)}"`;
      const saw = xml(row.saw ?? "");
      if (row.verdict === "passed") return `${head}/>`;
      const inner = row.verdict === "skipped"
        ? `<skipped message="${saw}"/>`
        : `<failure message="${saw}">${xml(story(row))}</failure>`;
      return `${head}>${inner}</testcase>`;
    });
    return [
      `<?xml version="1.0" encoding="UTF-8"?>`,
      `<testsuites name="judge" ${totals}>`,
      `  <testsuite name="${xml(target)}" ${totals} skipped="${is("skipped")}">`,
      ...cases,
      `  </testsuite>`,
      `</testsuites>`,
    ].join("\n");
  });
}

/** Text as XML 1.0 has it, which has no control characters. */
function xml(text: string): string {
  const named: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
  // deno-lint-ignore no-control-regex
  return text.replace(/[&<>"]/g, (c) => named[c]).replace(/[\x00-\x08\x0b\x0c\x0e-\x1f]/g, "?");
}

/** The formats, by their flags. */
export const FORMATS: Record<string, () => Report> = { tap, json, gradescope, autolab, junit };
