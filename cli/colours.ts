/** ANSI colours. */

/** Paints a text in a colour, by its SGR code: ECMA-48, 8.3.117. */
export type Paint = (code: number, text: string) => string;

/** Paints for a stream, if that is a terminal and NO_COLOR isn't set. */
export function painter(stream: { isTerminal(): boolean }): Paint {
  if (!stream.isTerminal() || Deno.noColor) return (_code, text) => text;
  return (code, text) => text && `\x1b[${code}m${text}\x1b[0m`;
}
