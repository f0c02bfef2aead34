/** Text for people. */

/** A count with its noun, such as "1 line" or "2 lines". */
export function plural(n: number, thing: string): string {
  return `${n} ${thing}${n === 1 ? "" : "s"}`;
}

/** A text of others, such as a path, on one line: `?` for what a terminal obeys. */
export function printable(text: string): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, "?");
}

const ESCAPES: Record<string, string> = { "\n": "n", "\r": "r", "\t": "t", '"': '"', "\\": "\\" };

/** Bytes as a C string literal, with UTF-8 decoded; `...` follows if they were `cut`. */
export function quote(bytes: Uint8Array, cut: boolean): string {
  let text;
  try {
    const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    text = decoder.decode(bytes, { stream: cut }) // drops a character that was cut
      .replace(/(?! )[\p{C}\p{Z}"\\]/gu, (c) => escape(c, (code) => `u{${code}}`));
  } catch {
    text = String.fromCharCode(...bytes)
      .replace(/[^ -~]|["\\]/g, (c) => escape(c, (code) => `x${code}`));
  }
  return `"${text}"${cut ? "..." : ""}`;
}

function escape(c: string, other: (code: string) => string): string {
  const code = c.codePointAt(0)!;
  const hex = code.toString(16).padStart(2, "0");
  return `\\${ESCAPES[c] ?? (code < 0x80 ? `x${hex}` : other(hex))}`;
}
