import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  type CommandLine,
  parseFlags,
  toInteger,
  toMilliseconds,
  UsageError,
} from "../cli/flags.ts";
import { flushLog, log } from "../cli/diagnostics.ts";
import { VERSION } from "../cli/program.ts";
import { Stdout } from "../cli/stdout.ts";
import { reason } from "../net/errors.ts";
import { plural } from "../net/text.ts";
import { bytes, ROOT, text } from "./helpers.ts";

const COMMAND_LINE: CommandLine = {
  name: "program",
  about: "",
  positionals: [["host", ""], ["port", ""]],
  flags: [["host=ADDR", ""], ["grace=SEC", ""], ["quiet", ""]],
  notes: "",
};
const parse = (line: string) => parseFlags(line.split(" ").filter(Boolean), COMMAND_LINE);

const GOOD: [line: string, positionals: string[], flags: unknown][] = [
  ["", [], {}],
  ["15213", ["15213"], {}],
  ["localhost 7", ["localhost", "7"], {}],
  ["0x10 1e3", ["0x10", "1e3"], {}],
  ["--host=::1 7", ["7"], { host: "::1" }],
  ["--host ::1 7", ["7"], { host: "::1" }],
  ["7 --quiet", ["7"], { quiet: true }],
  ["--quiet 7", ["7"], { quiet: true }],
  ["--host=a=b", [], { host: "a=b" }],
  ["--host=007 --grace=1.50", [], { host: "007", grace: "1.50" }],
  ["--host=a --host=b", [], { host: "b" }],
  ["-h", [], { help: true }],
  ["--help --version", [], { help: true, version: true }],
  ["1 2 3 --help", ["1", "2", "3"], { help: true }],
  ["-- --version", ["--version"], {}],
  ["--quiet false", ["false"], { quiet: true }],
  ["7 --version", ["7"], { version: true }],
  ["--quiet -- --host 7", ["--host", "7"], { quiet: true }],
];
const BAD: [line: string, message: string][] = [
  ["1 2 3", "one argument too many: 3"],
  ["--nosuch", "no such flag: --nosuch"],
  ["--nosuch=1", "no such flag: --nosuch=1"],
  ["--quite", "no such flag: --quite (did you mean --quiet?)"],
  ["--grac=5", "no such flag: --grac=5 (did you mean --grace?)"],
  ["--verbose", "no such flag: --verbose"],
  ["--qiuet", "no such flag: --qiuet (did you mean --quiet?)"],
  ["--hsot=a", "no such flag: --hsot=a (did you mean --host?)"],
  ["--most", "no such flag: --most (did you mean --host?)"],
  ["--mast", "no such flag: --mast"],
  ["--tls", "no such flag: --tls"],
  ["--port=7", "no such flag: --port=7 (the port is given without a flag)"],
  ["7 -x", "no such flag: -x"],
  ["-1", "no such flag: -1"],
  ["--Host=a", "no such flag: --Host=a (did you mean --host?)"],
  ["-grace=5", "no such flag: -grace=5 (did you mean --grace?)"],
  ["--host", "--host needs a value"],
  ["--host --quiet", "--host needs a value"],
  ["--host=", "--host needs a value"],
  ["--host -", "--host needs a value"],
  ["--host -7", "--host needs a value"],
  ["--no-host", "no such flag: --no-host"],
  ["--no-host=127.0.0.1", "no such flag: --no-host=127.0.0.1"],
  ["--no-quiet", "no such flag: --no-quiet"],
  ["--quiet=false", "--quiet takes no value: --quiet=false"],
  ["--help=me", "--help takes no value: --help=me"],
  ["-h=false", "no such flag: -h=false"],
  ["-hq", "no such flag: -hq"],
  ["--_=5", "no such flag: --_=5"],
  ["--constructor", "no such flag: --constructor"],
  ["--constructor=1", "no such flag: --constructor=1"],
  ["--__proto__=1", "no such flag: --__proto__=1"],
];

for (const [line, positionals, flags] of GOOD) {
  Deno.test(`parseFlags takes "${line}"`, () => {
    const parsed = parse(line);
    const set = Object.fromEntries([...parsed.set].map((name) => [name, true]));
    assertEquals(parsed.positionals, positionals);
    assertEquals({ ...parsed.values, ...set }, flags);
  });
}
for (const [line, message] of BAD) {
  Deno.test(`parseFlags rejects "${line}"`, () => {
    const error = assertThrows(() => parse(line), UsageError);
    assertEquals(error.message, message);
  });
}

Deno.test("toInteger takes decimal integers in a range", () => {
  assertEquals(toInteger("port", "0", 0, 65535), 0);
  assertEquals(toInteger("port", "65535", 0, 65535), 65535);
  const bad = [
    "",
    "65536",
    "-1",
    "1.5",
    "1e3",
    "0x10",
    " 1",
    "abc",
    "9".repeat(99),
  ];
  for (const text of bad) {
    assertThrows(
      () => toInteger("port", text, 0, 65535),
      UsageError,
      `port must be an integer from 0 to 65535, not ${text}`,
    );
  }
});

Deno.test("toMilliseconds takes seconds, decimals allowed", () => {
  assertEquals(toMilliseconds("--grace", "0", 0), 0);
  assertEquals(toMilliseconds("--grace", "1.25", 0), 1250);
  for (const text of ["", "-1", "1e3", ".5", "5s", "1000001", "NaN"]) {
    assertThrows(
      () => toMilliseconds("--grace", text, 0),
      UsageError,
      `--grace must be seconds from 0 to 1000000, not ${text}`,
    );
  }
  assertThrows(() => toMilliseconds("--timeout", "0", 0.001), UsageError);
});

Deno.test("reason is one line, without Rust's number", () => {
  const error = new Error("listen on [::]:1: Permission denied (os error 13)");
  assertEquals(reason(error), "listen on [::]:1: Permission denied");
  assertEquals(reason("a\nb"), "a b");
});

Deno.test("count knows one from many", () => {
  assertEquals(
    [0, 1, 2].map((n) => plural(n, "line")),
    ["0 lines", "1 line", "2 lines"],
  );
});

Deno.test("Stdout prints as often as it is told, whatever room there is", async () => {
  let printed = "";
  const stdout = new Stdout({
    write(p) {
      assert(p.length <= 65536);
      const n = Math.min(p.length, 50_000); // a short count now and then
      printed += text(p.subarray(0, n));
      return Promise.resolve(n);
    },
  });
  let expected = "";
  const prints: [string, number?][] = [
    ["once\n"],
    ...[1, 2, 3, 4, 5, 16, 17, 2000, 3000].map((n): [string, number] => [
      `${n} times\n`,
      n,
    ]),
    ["x".repeat(65_535) + "\n", 3],
    ["a line that comes more often than a block holds it\n", 5000],
    ["last\n", 1],
  ];
  for (const [line, times] of prints) {
    expected += line.repeat(times ?? 1);
    await stdout.print(bytes(line), times);
  }
  await stdout.flush();
  assertEquals(printed.length, expected.length);
  assert(printed === expected);
});

/** The modules of the package: those at the root, and in the folders that it includes. */
async function sources(include: string[], folder = ""): Promise<string[]> {
  const files = [];
  for await (const { name, isDirectory } of Deno.readDir(`${ROOT}/${folder}`)) {
    const path = folder + name;
    if (name.endsWith(".ts")) files.push(path);
    else if (isDirectory && (folder !== "" || include.includes(name))) {
      files.push(...await sources(include, `${path}/`));
    }
  }
  return files;
}

Deno.test("the version and the packages are the same everywhere", async () => {
  const read = (name: string) => Deno.readTextFile(new URL(`../${name}`, import.meta.url));
  const config = JSON.parse(await read("deno.json"));
  const importMap = JSON.parse(await read("tests/npm/import_map.json"));
  assertEquals(config.version, VERSION);

  const packages = Object.values<string>(config.imports);
  const inline = new Set<string>();
  const modules = await sources(config.publish.include);
  for (const file of Object.values<string>(config.exports)) {
    assertEquals(modules.includes(file.slice(2)), true, file);
  }
  for (const file of modules) {
    const specifiers = (await read(file)).matchAll(/"((jsr|npm):[^"]+)"/g);
    for (const [, specifier] of specifiers) inline.add(specifier);
  }
  for (const specifier of inline) {
    const known = packages.some((p) => specifier.startsWith(`${p}/`));
    assertEquals(known, true, `${specifier} is not in deno.json`);
    assertEquals(specifier in importMap.imports, true, specifier);
  }
  for (const [name, specifier] of Object.entries<string>(config.imports)) {
    const stood = name in importMap.imports ||
      Object.keys(importMap.imports).some((key) => key.startsWith(`${specifier}/`));
    assertEquals(stood, true, `nothing stands in for ${name}`);
  }
});

Deno.test("lines that a full disk didn't take are told when there is room; one cut off ends there", async () => {
  const { write } = Deno.stderr;
  let [written, room] = ["", 30];
  Deno.stderr.write = (p) => {
    const n = Math.min(room - written.length, p.length);
    if (n === 0) return Promise.reject(new Error("No space left on device"));
    written += text(p.subarray(0, n));
    return Promise.resolve(n);
  };
  try {
    for (const line of ["a", "b", "c"]) log(line.repeat(20));
    await flushLog(10_000);
    room = 1000;
    log("d");
    await flushLog(10_000);
  } finally {
    Deno.stderr.write = write;
  }
  const lost = "(2 lines lost: standard error is full, or nobody reads it)";
  assertEquals(written.split("\n"), ["a".repeat(20), "b".repeat(9), lost, "d", ""]);
});
