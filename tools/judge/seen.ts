/** What a failure means, as far as what was seen tells it, whatever the case. */

const RESET =
  "it closes with RST, and what is on its way is lost: it ends before EOF, as after one line, or " +
  "SO_LINGER is 0, or the connection is destroyed (destroy, abort), not ended";
const REFUSED = "nobody listens any more: listenfd is closed, or accept isn't in a loop";

/** What was seen, and what it means. A server that makes one such mistake makes it in many cases. */
const SEEN: [saw: RegExp, means: string][] = [
  [
    /ended.*(EINTR|Interrupted system call)/,
    "a signal, such as SIGCHLD, has interrupted a call: try again on EINTR, or set SA_RESTART",
  ],
  [
    /ended.*(EADDRINUSE|AddrInUse|[Aa]ddress already in use)/,
    "the port is taken: SO_REUSEADDR isn't set, and a connection in TIME_WAIT keeps it for a minute",
  ],
  [/ended.*(EMFILE|Too many open files)/, "descriptors are never closed, until none is left"],
  [
    /ended.*(ECONNRESET|[Cc]onnection reset|ConnectionReset)/,
    "an error of read ends the server: one connection's error is not the server's",
  ],
  [
    /ended.*(SIGPIPE|EPIPE|[Bb]roken ?pipe)/,
    "a write to a connection that is gone ends the server: SIGPIPE does, unless it is ignored, and " +
    "so does an error of write that is taken for the server's",
  ],
  [
    /ended.*(SIGSEGV|SIGABRT|SIGBUS|AddressSanitizer|stack smashing|buffer overflow)/,
    "memory is used that isn't the server's: gcc -g -fsanitize=address says where",
  ],
  [
    /has sent no FIN/,
    "at the end of its input a client has to close, or send FIN (shutdown): the server waits for it",
  ],
  [
    /ended.*(Unicode|UTF-?8)/i,
    "bytes are taken for characters: they are text only if a client has sent text",
  ],
  [
    /^it still runs .* after the end of its input/,
    "it waits on when nothing more can come: at the end of its input, or of the connection, it ends",
  ],
  [
    /^(?!.*ended).*(Connection reset|Broken pipe)/,
    RESET,
  ],
  [
    /^(?!.*ended).*(refused|REFUSED)/,
    REFUSED,
  ],
  [
    /^nothing came for .*: its end/,
    "connfd isn't closed, or not by every process that holds it: after fork the parent has it too",
  ],
  [
    /kept it in memory/,
    "what isn't read is all kept in memory: while nothing can be written, nothing is to be read",
  ],
  [
    /a NUL that nobody sent|^then came "\\0", /,
    "one byte too many is written: the NUL behind the string is no part of it",
  ],
  [
    /the NUL and what followed it are gone/,
    "the length of the line is that of strlen, not that of what was read",
  ],
  [/text that nobody sent, then/, "something is written before what came: an echo adds nothing"],
  [
    /a \\r that nobody sent|the \\r is gone/,
    "the end of a line is changed: an echo changes nothing",
  ],
  [
    /a newline that nobody sent|^then came "\\n", /,
    "a newline is added, as puts and println do: an echo adds nothing",
  ],
  [
    /^then came .*nobody had sent/,
    "more is written than was read: what read returns is the count, not sizeof buf",
  ],
  [
    /blanks are gone or changed/,
    "blanks are stripped or folded, as trim and the shell do: they belong to the line",
  ],
  [/letters in another case/, "letters are changed: an echo changes nothing"],
  [/the newline is gone/, "the newline is stripped, as chomp and trim do: it belongs to the line"],
];

/** What the server's end means, if nothing tells more. */
const ENDED = "the server ended: what it wrote to its standard error, or a debugger, may say where";

/** What a failure means by what was seen; undefined if only the case can tell. */
export function meaning(saw: string): string | undefined {
  return SEEN.find(([pattern]) => pattern.test(saw))?.[1];
}

/** What a server's end means. */
export function meaningOfEnd(saw: string): string {
  return meaning(saw) ?? ENDED;
}

/** What tells whether two failures are one mistake; undefined if nothing does. */
export function mistake(saw: string): string | undefined {
  return meaning(saw) ?? /^the server ended .*/s.exec(saw)?.[0].replace(/\d+/g, "N");
}

/**
 * Whether another client of the same server may see something else, so that no mistake is known
 * again by it: a close too early is FIN, RST or a refusal to them. RST is certain where all has come
 * back, because nothing is unread, unless the failure follows from another.
 */
export function byChance(saw: string, follows: boolean): boolean {
  const means = meaning(saw);
  return means === REFUSED || means === RESET && (follows || !saw.endsWith(": its end"));
}

/** Lines of a standard error that say nothing: what surrounds the message of a runtime. */
const NOISE =
  /^(\s|Node\.js v|node:|note:|Emitted |goroutine |main\.|exit status|created by |[{}]|$)/;
/** The most characters of a line to show. */
const SHOWN = 200;

/** The line of a standard error that says most, escaped and cut; empty if there is none. */
export function useful(stderr: string): string {
  // deno-lint-ignore no-control-regex
  const plain = stderr.replace(/\x1b\[[\d;]*m/g, ""); // without colours
  const lines = plain.split("\n").filter((line) => !NOISE.test(line));
  const wrong =
    /error|exception|panic|err\b|fail|denied|in use|refused|abort|fault|overflow|smash/i;
  const line = lines.findLast((line) => wrong.test(line)) ?? lines.at(-1) ??
    plain.trim().split("\n").at(-1)!;
  const shown = escaped(line.trim());
  return shown.length > SHOWN ? `${shown.slice(0, SHOWN)} ...` : shown;
}

/** A text without control characters, which move a terminal's cursor: \x1b for ESC. */
export function escaped(text: string): string {
  return text.replace(
    /\p{Cc}/gu,
    (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}
