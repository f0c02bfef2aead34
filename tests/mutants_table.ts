/**
 * The mutants of `deno task mutants`: what is broken, and the test that must notice. A row stands
 * for a promise of the pages or of a doc comment, not for a line of code.
 */

/** One place where the code is broken. */
export interface Mutant {
  file: string;
  /** What is wrong with it. */
  name: string;
  /** The code, which occurs once, and what takes its place. */
  from: string;
  to: string;
  /** The file in tests/ that must fail, and a part of its tests' names. */
  test: string;
  filter?: string;
}

/** A text with a mutant's change. Throws unless that applies in one place. */
export function apply({ file, name, from, to }: Mutant, text: string): string {
  const parts = text.split(from);
  if (parts.length === 2) return parts.join(to);
  throw new Error(`${file}: ${name}: its text occurs ${parts.length - 1} times, not once`);
}

/** The mutants of a file: each its name, the code and its replacement, the test and the filter. */
function of(file: string, ...rows: [string, string, string, string, string?][]): Mutant[] {
  return rows.map(([name, from, to, test, filter]) => ({
    file,
    name,
    from,
    to,
    test: `${test}_test.ts`,
    filter,
  }));
}

export const MUTANTS: Mutant[] = [
  ...of(
    "rio.ts",
    [
      "a grown buffer is made anew for each large read",
      "this.end < this.#min ? this.#min",
      "true ? this.#min",
      "rio",
      "has grown stays",
    ],
    [
      "an abort between two reads of one call is lost",
      "          signal?.throwIfAborted();\n          const n",
      "          const n",
      "rio",
    ],
    [
      "two reads at once pass",
      "if (this.#wake) throw",
      "if (this.#wake && this.buffered < 0) throw",
      "rio",
    ],
    [
      "bytes are taken a step after they have landed",
      "          resolve(take(n));",
      "          resolve(Promise.resolve().then(() => take(n)));",
      "rio",
    ],
    [
      "a second read begins while one that was given up is under way",
      "    if (this.#reading) return;\n",
      "",
      "rio",
    ],
    [
      "what a read threw that was given up is lost",
      "    this.#failure = failure;\n",
      "    if (this.#wake) this.#failure = failure;\n",
      "rio",
    ],
    [
      "reads of 0 bytes go on for ever",
      "checkRead(count, room.length, this.#empty)",
      "checkRead(count, room.length, 0)",
      "rio",
    ],
    [
      "an EOF is told for ever",
      "    if (n === 0) this.#buffer.ended = false; // EOF is reported once\n",
      "",
      "rio",
    ],
    [
      "what one call adds to the buffer stays",
      "left < this.max ? Math.min(size, this.max) : Math.max(2 * left, length)",
      "Math.max(2 * left, size)",
      "rio",
    ],
    [
      "a transferred line takes the buffer along",
      "new Uint8Array(this.#copy, at, n)",
      "new Uint8Array(this.bytes.buffer, this.pos - n, n)",
      "rio",
    ],
    ["a piece cuts a delimiter in two", "limit - this.#begun(limit)", "limit", "rio_property"],
    [
      "line ends that another buffer's turn has overwritten are lost",
      "    if (this.#next < this.#count) this.#scanned = this.pos;\n",
      "",
      "rio_property",
    ],
    [
      "only the last byte of a delimiter counts",
      "this.#count = size === 1 ? count : 0;",
      "this.#count = count;",
      "rio_property",
    ],
    [
      "the delimiter of a line that is skipped comes in two reads",
      "Math.max(left - this.size + 1, 0)",
      "left",
      "rio",
    ],
    [
      "bytes go to a usrbuf that was transferred",
      "to.length < n + nul",
      "to.length < 0",
      "rio",
      "usrbuf that is transferred",
    ],
  ),
  ...of(
    "server.ts",
    [
      "bytes are counted before they are written",
      "    const written = await",
      "    stats.bytesOut += n;\n    const written = await",
      "serve",
      "echo counts",
    ],
    [
      "what a write doesn't take is lost",
      "if (written !== n)",
      "if (false)",
      "server",
      "three bytes at a time",
    ],
    [
      "lines go back before they are told",
      "if (printed !== undefined) await printed;",
      "",
      "server",
      "echo reports a line before",
    ],
  ),
  ...of(
    "server/program.ts",
    [
      "output that was lost is exit code 0",
      "exit(cut === 0 && printed ? 0 : 1)",
      "exit(cut === 0 ? 0 : 1)",
      "faults",
      "a full disk behind",
    ],
    [
      "connections that were cut are exit code 0",
      "exit(cut === 0 && printed ? 0 : 1)",
      "exit(printed ? 0 : 1)",
      "signals",
      "the grace ends",
    ],
  ),
  ...of(
    "server/connections.ts",
    [
      "no pause when accept fails",
      "    await Promise.race([sleep(ACCEPT_PAUSE), this.#change.promise]);\n",
      "",
      "serve",
      "told once in a row",
    ],
    [
      "idle a tick early",
      "if (quiet >= this.#idleTimeout)",
      "if (quiet >= this.#idleTimeout * 0.8)",
      "serve",
      "no tick before",
    ],
    [
      "one connection too many",
      "this.#active.size >= this.#concurrency &&",
      "this.#active.size > this.#concurrency &&",
      "serve",
      "before there is a slot",
    ],
  ),
  ...of(
    "server/connfd.ts",
    [
      "small writes wait for an acknowledgement",
      "p.length >= SMALL_WRITE",
      "p.length <= SMALL_WRITE",
      "serve",
      "a small write sets TCP_NODELAY",
    ],
    [
      "who sends without pause keeps the thread",
      "this.#left < 0 &&",
      "false &&",
      "turns",
      "who has had his share",
    ],
    [
      "many who send in bulk take no turns",
      "this.#turns.bulk <= CHUNK",
      "true",
      "turns",
      "who sends in bulk",
    ],
  ),
  ...of(
    "net/turns.ts",
    [
      "a full poll ends a round",
      "completed > 0 && completed < FEW",
      "completed > 0",
      "turns",
      "while polls are full",
    ],
  ),
  ...of(
    "server/drain.ts",
    [
      "after the signal clients are taken for ever",
      "if (this.#signal?.aborted) this.#countLate();",
      "",
      "serve",
      "behind a whole backlog",
    ],
    [
      "who comes without end takes all of the grace",
      "inTime(this.#grace / 2, () => this.#listenfd.stop(true)),",
      "",
      "serve",
      "half of the grace",
    ],
  ),
  ...of(
    "server/report.ts",
    [
      "a client fills the log",
      "told === LINES_OF_ONE || this.#lines === LINES",
      "this.#lines === LINES",
      "stdout",
      "ten faults a second",
    ],
    [
      "ends are told without --log",
      "if (!this.#options.log) return;",
      "",
      "log",
      "without --log",
    ],
  ),
  ...of(
    "server/accept_queue.ts",
    [
      "the port stays open as long as clients come",
      "if (this.#hurried) await this.#acceptAll();",
      "",
      "serve",
      "behind a whole backlog",
    ],
    [
      "who waits in the queue is reset",
      "this.#waiting && this.#calls === calls ? quiet + 1 : 0",
      "quiet + 1",
      "serve",
      "while somebody comes",
    ],
  ),
  ...of(
    "server/tls.ts",
    [
      "half a certificate is used",
      "if (begun !== whole) throw",
      "if (false) throw",
      "tls",
      "told at the start",
    ],
    [
      "handshakes aren't waited for",
      "if (ended && this.#handshakes > 0 && !this.#closed) {",
      "if (false) {",
      "tls",
      "after stop who shakes hands",
    ],
    [
      "handshakes have no time-out",
      "inTime(HANDSHAKE_TIMEOUT,",
      "inTime(Infinity,",
      "tls",
      "a handshake has ten seconds",
    ],
    [
      "close_notify is cut off",
      "if (!error) await written().catch(() => {});",
      "",
      "tls",
      "close_notify reaches",
    ],
    [
      "what nobody reads is kept",
      "    this.#wanted = false;\n    const chunk",
      "    const chunk",
      "tls",
      "in bounded memory",
    ],
  ),
  ...of(
    "server/unix.ts",
    [
      "another kind of file is replaced",
      ".isSocket) return true;",
      ".isSocket) return false;",
      "unix",
      "a stale file is replaced",
    ],
  ),
  ...of(
    "cli/threads.ts",
    [
      "a thread that fails ends nothing",
      "    for (const call of this.#calls.values()) call.reject(error);\n",
      "",
      "workers",
      "a thread that fails",
    ],
  ),
  ...of(
    "server/gate.ts",
    [
      "one connection of an address too many",
      "if (n >= this.#max) return undefined;",
      "if (n > this.#max) return undefined;",
      "gate",
      "go by the clients",
    ],
    [
      "anybody may send a header",
      'if (proxies !== "unix" && !includes(proxies, ends.remoteAddr)) {',
      "if (false) {",
      "gate",
      "only the addresses of",
    ],
    [
      "a header has for ever",
      "withDeadline(HEADER_TIMEOUT, late,",
      "withDeadline(Infinity, late,",
      "gate",
      "three seconds",
    ],
  ),
  ...of(
    "server/proxy.ts",
    ["a header of any length", "if (HEAD + length > MAX_HEADER) {", "if (false) {", "proxy"],
  ),
  ...of(
    "client.ts",
    [
      "lockstep doesn't await pieces",
      "if (buf[n - 1] !== NEWLINE && n < MAXLINE - 1) break;",
      "if (buf[n - 1] !== NEWLINE) continue;",
      "client",
      "each piece of a long line",
    ],
  ),
  ...of(
    "client/program.ts",
    [
      "SIGINT loses what came back",
      "exit(signalCode(signal), stdout)",
      "exit(signalCode(signal))",
      "signals",
      "however full",
    ],
  ),
  ...of(
    "client/exchange.ts",
    [
      "a server that ends early is done",
      "if (!sentAll || (received",
      "if ((received",
      "client",
      "also while input is awaited",
    ],
  ),
  ...of(
    "client/comparison.ts",
    [
      "a byte too many is an echo",
      "    if (bytes.length > owed) this.#differ(this.same);\n",
      "",
      "client",
      "for no echo of",
    ],
  ),
  ...of(
    "cli/signals.ts",
    [
      "the second signal is ignored",
      "Deno.exit(signalCode(signal));",
      "",
      "signals",
      "signals within",
    ],
  ),
  ...of(
    "cli/stdout.ts",
    [
      "a terminal isn't by the line",
      "    if (this.byLine) return this.flush(giver);\n",
      "",
      "stdout",
      "at once on a terminal",
    ],
    [
      "a full pipe is an error",
      "if (!(error instanceof Deno.errors.WouldBlock)) throw error;",
      "throw error;",
      "programs",
      "written once",
    ],
  ),
  ...of(
    "cli/diagnostics.ts",
    [
      "a fault of standard error is thrown",
      "torn ||= done > 0;",
      "throw error;",
      "faults",
      "when standard error fails",
    ],
  ),
  ...of(
    "net/time.ts",
    [
      "a long time is over at once",
      "const delay = Math.min(left, MAX_DELAY);",
      "const delay = left;",
      "signals",
      "times: for ever",
    ],
  ),
  ...of(
    "tools/load/connection.ts",
    [
      "what nobody sent isn't seen",
      "if (n < came.length) throw",
      "if (false) throw",
      "load",
      "comes twice",
    ],
    [
      "a late line is timed from when it was sent",
      "schedule?.due(this.number, this.#issued) ?? now",
      "now",
      "load",
      "a pause of the server counts",
    ],
    [
      "lines that were due and not sent have no time",
      "Math.min(step, due - line)",
      "0",
      "load",
      "could not be sent",
    ],
  ),
];
