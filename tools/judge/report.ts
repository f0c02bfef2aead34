/** Reports: lines for people, TAP 14, or JSON. */
import type { Result } from "./run.ts";
import type { Case } from "./case.ts";

/** What a report says of a case, besides its result. */
type Told = Pick<Case<unknown>, "name" | "did" | "means" | "read">;

/** A format of reports: each function returns text to print. */
export interface Report {
  begin(target: string, total: number): string;
  tell(result: Result, told: Told): string;
  end(results: Result[]): string;
}

/** The number of cases per verdict. */
export function counts(results: Result[]): Record<Result["verdict"], number> {
  const all = { passed: 0, failed: 0, skipped: 0, "not tried": 0 };
  for (const { verdict } of results) all[verdict]++;
  return all;
}

/** Lines for people, coloured on a terminal; at the end the findings again, if `summary`. */
export function lines(coloured: boolean, summary: boolean): Report {
  const paint = (code: number, text: string) => coloured ? `\x1b[${code}m${text}\x1b[0m` : text;
  const marks = {
    passed: paint(32, "ok  "),
    failed: paint(31, "FAIL"),
    skipped: paint(33, "skip"),
    "not tried": paint(31, "-   "),
  };
  return {
    begin: (target) => `${target}\n\n`,
    tell({ name, verdict, saw, means }, told) {
      const mark = `${marks[verdict]}  ${name}`;
      if (verdict === "not tried") return `${mark}\n`;
      if (verdict !== "failed") return `${mark}${saw ? paint(2, ` (${saw})`) : ""}\n`;
      return `${mark}\n` + [
        ["judge", told.did],
        ["saw", saw],
        ["means", means ?? told.means],
        ["read", told.read],
      ].map(([what, text]) => `      ${paint(2, `${what}:`.padEnd(7))} ${text}\n`).join("");
    },
    end(results) {
      const all = Object.entries(counts(results)).filter(([, n]) => n > 0);
      const found = results.flatMap(({ verdict, saw }) =>
        summary && verdict === "passed" && saw || []
      );
      const what = found.length > 0 ? `${[...new Set(found)].join("; ")}\n` : "";
      const gone = results.find(({ verdict }) => verdict === "not tried")?.saw;
      const why = gone === undefined ? "" : `: ${gone}`;
      return `\n${all.map(([verdict, n]) => `${n} ${verdict}`).join(", ")}${why}\n${what}`;
    },
  };
}

/** TAP 14: https://testanything.org/tap-version-14-specification.html */
export function tap(): Report {
  let n = 0;
  return {
    begin: (target, total) => `TAP version 14\n1..${total}\n# ${target}\n`,
    tell({ name, verdict, saw, means, ms }, told) {
      const ok = verdict === "passed" || verdict === "skipped" ? "ok" : "not ok";
      const skip = verdict === "skipped" ? ` # SKIP ${escaped(saw ?? "")}` : "";
      const finding = verdict === "passed" && saw ? `# ${saw}\n` : "";
      const line = `${ok} ${++n} - ${escaped(name)}${skip}\n${finding}`;
      if (ok === "ok") return line;
      const { did, read } = told;
      const fields = { saw, did, means: means ?? told.means, read, duration_ms: ms };
      const yaml = Object.entries(fields).map(([key, value]) =>
        `  ${key}: ${JSON.stringify(value)}\n`
      );
      return `${line}  ---\n${yaml.join("")}  ...\n`;
    },
    end: () => "",
  };
}

/** Escapes \ and #, as TAP requires. */
function escaped(text: string): string {
  return text.replace(/[\\#]/g, "\\$&");
}

/** One JSON object, at the end. */
export function json(): Report {
  let target: string;
  const cases: (Result & Told)[] = [];
  return {
    begin(what) {
      target = what;
      return "";
    },
    tell(result, { did, means, read }) {
      cases.push({ did, means, read, ...result });
      return "";
    },
    end: (results) => `${JSON.stringify({ target, ...counts(results), cases }, null, 2)}\n`,
  };
}
