/**
 * Standard error: the one place that writes to it. `console.error` throws when that fails
 * and waits when it is a full pipe; this does neither.
 */
import { sleep, within } from "../net/time.ts";

/** Bytes of lines that may wait for a reader; those beyond are counted, not kept. */
const KEPT = 65_536;
/** Milliseconds to the next try where somebody has made standard error non-blocking. */
const AGAIN = 20;

const encoder = new TextEncoder();
const waiting: Uint8Array[] = [];
let size = 0;
let lost = 0;
let writing: Promise<void> | undefined;

/** Writes a line to standard error: never throws, never waits. */
export function log(line: string): void {
  const bytes = encoder.encode(`${line}\n`);
  if (size + bytes.length > KEPT) {
    lost++;
    return;
  }
  size += bytes.length;
  waiting.push(bytes);
  writing ??= writeAll();
}

/** Resolves when all lines are written, or after so many milliseconds. */
export async function flushLog(ms: number): Promise<void> {
  if (writing !== undefined) await within(ms, writing);
}

async function writeAll(): Promise<void> {
  for (let bytes; (bytes = waiting.shift()) !== undefined;) {
    await write(bytes);
    size -= bytes.length;
    if (lost > 0 && size < KEPT / 2) {
      const n = lost;
      lost = 0;
      log(`(${n} lines were lost: nobody reads standard error)`);
    }
  }
  writing = undefined;
}

async function write(bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    try {
      done += await Deno.stderr.write(bytes.subarray(done));
    } catch (error) {
      // A full disk, a reader that has gone: there is nowhere to say it.
      if (!(error instanceof Deno.errors.WouldBlock)) return;
      await sleep(AGAIN);
    }
  }
}
