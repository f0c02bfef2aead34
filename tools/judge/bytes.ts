/** Bytes to send, and descriptions of what came back instead. */

/** Encodes a text as Latin-1; returns bytes as they are. */
export function bytes(data: string | Uint8Array): Uint8Array {
  if (typeof data !== "string") return data;
  const all = new Uint8Array(data.length);
  for (let i = 0; i < data.length; i++) all[i] = data.charCodeAt(i);
  return all;
}

/** Decodes bytes as Latin-1: a character each. */
export function text(bytes: Uint8Array): string {
  let all = "";
  for (const byte of bytes) all += String.fromCharCode(byte);
  return all;
}

/** The lines `this is line N`, from `first` to `last`. */
export function lines(first: number, last: number): string {
  let all = "";
  for (let n = first; n <= last; n++) all += `this is line ${n}\n`;
  return all;
}

/**
 * A line of `length` bytes, newline included, without repetition. Change of case, format strings and
 * stripped blanks show in it: it has letters, `%`, double blanks, and blanks at its end.
 */
export function longLine(length: number): string {
  let line = "";
  for (let n = 0; line.length < length; n++) line += `${n} Aa  %d%s `;
  return `${line.slice(0, length - 3)}  \n`;
}

/** The first forty bytes as a C string literal. */
export function show(data: Uint8Array): string {
  const named: Record<number, string> = { 0: "\\0", 9: "\\t", 10: "\\n", 13: "\\r", 34: '\\"' };
  const text = Array.from(data.subarray(0, 40), (byte) =>
    named[byte] ??
      (byte >= 32 && byte < 127
        ? String.fromCharCode(byte)
        : `\\x${byte.toString(16).padStart(2, "0")}`)).join("");
  return `"${text}"${data.length > 40 ? " ..." : ""}`;
}

/** Where `came` first differs from `expected`: its length, if it is a prefix. */
export function firstDifference(expected: Uint8Array, came: Uint8Array): number {
  let at = 0;
  while (at < came.length && came[at] === expected[at]) at++;
  return at;
}

/** Describes how `came` differs from `expected`; undefined if it is a prefix of it. */
export function difference(expected: Uint8Array, came: Uint8Array): string | undefined {
  const at = firstDifference(expected, came);
  if (at === came.length) return undefined;
  const from = Math.max(0, at - 8);
  return `${show(came.subarray(from, from + 40))} came back, not ${
    show(expected.subarray(from, from + 40))
  } (byte ${at})${hint(expected, came, at)}`;
}

/** The most bytes that a server may have put before a line, to be seen. */
const PREFIX = 40;

/** A guess at what causes a difference. */
export function hint(expected: Uint8Array, came: Uint8Array, at: number): string {
  const [want, got] = [expected[at], came[at]];
  for (let more = 1; more <= PREFIX && at + more < came.length; more++) {
    const rest = came.subarray(at + more, expected.length + more);
    if (!rest.every((byte, i) => byte === expected[at + i])) continue;
    const added = came.subarray(at, at + more);
    if (added.every((byte) => byte === 10)) return ": a newline that nobody sent";
    if (added.every((byte) => byte === 0)) return ": a NUL that nobody sent";
    if (at === 0) return `: ${show(added)}, text that nobody sent, then the line`;
  }
  if (got === 0) return ": a NUL that nobody sent";
  if (want === 0 && came[at + 1] !== expected[at + 1]) {
    return ": the NUL and what followed it are gone";
  }
  if (want === 13) return ": the \\r is gone";
  if (got === 13) return ": a \\r that nobody sent";
  const [wanted, rest] = [expected, came].map((all) => text(all.subarray(at)));
  const squeezed = (text: string) =>
    text.replace(/^[ \t]+|[ \t]+(?=\n|$)/g, "").replace(/[ \t]+/g, " ");
  if (/^[ \t]/.test(wanted) && squeezed(wanted).startsWith(squeezed(rest))) {
    return ": blanks are gone or changed";
  }
  if (wanted.toLowerCase().startsWith(rest.toLowerCase())) return ": letters in another case";
  if (want === 10) return ": the newline is gone";
  if (want === undefined && got === 10) return ": a newline that nobody sent";
  return "";
}
