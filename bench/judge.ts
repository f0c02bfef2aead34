/** The table of docs/judge.md: how other echo servers do in judge's cases. */
import { compile, has } from "./run.ts";

const DOC = new URL("../docs/judge.md", import.meta.url).pathname;
const ROOT = new URL("..", import.meta.url).pathname;
const PYTHON = `import socketserver, sys
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile: self.wfile.write(line)
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
Server(("", int(sys.argv[1])), Handler).serve_forever()`;
const NODE = `require("net").createServer((c) => c.pipe(c)).listen(process.argv[1])`;
const OURS = `${Deno.execPath()} run --allow-net --allow-read=${ROOT} ${ROOT}server.ts {port}`;

/** The servers: a name, the program needed, and a function that returns the command line. */
const SERVERS: [name: string, needs: string, start: () => string | Promise<string>][] = [
  ...["i", "p", "s", "t", "t_pre"].map((kind): typeof SERVERS[number] => [
    `C: \`echoserver${kind}\``,
    "gcc",
    async () => `${await compile(`../tests/c/echoserver${kind}.c`, "../tests/c/csapp.c")} {port}`,
  ]),
  ["`socat`", "socat", () => "socat TCP-LISTEN:{port},fork,reuseaddr EXEC:cat"],
  ["`ncat`", "ncat", () => "ncat --listen --keep-open -p {port} --exec /bin/cat"],
  ["Python: socketserver", "python3", () => `python3 -c '${PYTHON}' {port}`],
  ["Node: `c.pipe(c)`", "node", () => `node -e '${NODE}' {port}`],
  ["Go: `io.Copy`", "go", async () => `${await compile("peers/echo.go")} {port}`],
  ["ours", "deno", () => OURS],
  ["ours, `--concurrency=4`", "deno", () => `${OURS} --concurrency=4`],
  ["ours, `--concurrency=100`", "deno", () => `${OURS} --concurrency=100`],
  ["ours, `--workers=2`", "deno", () => `${OURS} --workers=2`],
];
const MARKS: Record<string, string> = {
  passed: "✓",
  failed: "✗",
  skipped: "–",
  "not tried": "✗",
};

/** The output of `--json`. */
interface Verdicts {
  cases: { name: string; verdict: string; saw?: string }[];
}

async function judge(start: string): Promise<Verdicts> {
  const args = ["run", "--allow-all", `${ROOT}tools/judge.ts`, "--json", `--start=${start}`];
  const { stdout } = await new Deno.Command(Deno.execPath(), { args, cwd: ROOT }).output();
  return JSON.parse(new TextDecoder().decode(stdout));
}

const columns: { name: string; verdicts: Verdicts }[] = [];
const missing: string[] = [];
for (const [name, needs, start] of SERVERS) {
  if (needs !== "deno" && !has(needs)) {
    missing.push(`${name} (no ${needs} here)`);
    continue;
  }
  const verdicts = await judge(await start());
  columns.push({ name, verdicts });
  const failed = verdicts.cases.filter(({ verdict }) => verdict === "failed");
  console.log(`${name}: ${failed.map(({ name, saw }) => `\n  ${name}: ${saw}`).join("") || "ok"}`);
}

const row = (cells: string[]) => `| ${cells.join(" | ")} |\n`;
const table = [
  row(["", ...columns.map((_, i) => `${i + 1}`)]),
  row(["---", ...columns.map(() => "---")]),
  ...columns[0].verdicts.cases.map(({ name }, i) =>
    row([name, ...columns.map(({ verdicts }) => MARKS[verdicts.cases[i].verdict])])
  ),
  "\n",
  ...columns.map(({ name, verdicts }, i) => {
    const found = verdicts.cases.filter(({ verdict, saw }) => verdict === "passed" && saw);
    return `${i + 1}. ${name}: ${found.map(({ saw }) => saw).join("; ")}\n`;
  }),
  missing.length > 0 ? `\nNot tried: ${missing.join(", ")}.\n` : "",
].join("");
const doc = await Deno.readTextFile(DOC);
await Deno.writeTextFile(
  DOC,
  doc.replace(
    /<!-- table -->[^]*<!-- \/table -->/,
    () => `<!-- table -->\n\n${table}\n<!-- /table -->`,
  ),
);
await new Deno.Command(Deno.execPath(), { args: ["fmt", "--quiet", DOC] }).output();
