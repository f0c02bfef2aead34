/**
 * Standard error: nothing else writes to it. `console.error` throws if a write fails, and blocks
 * on a full pipe; `log` does neither.
 */
import { plural } from "../net/text.ts";
import { sleep, within } from "../net/time.ts";

/** The most bytes of lines waiting to be written; lines beyond are counted, not kept. */
const KEPT = 65_536;
/** Milliseconds before the next try if standard error is non-blocking: EAGAIN. */
const AGAIN = 20;

const encoder = new TextEncoder();
/** Lines to write, and what else happens between them. */
const waiting: (Uint8Array | (() => Promise<void>))[] = [];
let size = 0;
let lost = 0;
/** Whether only a part of the last line was written. */
let torn = false;
let writing: Promise<void> | undefined;

/** Writes a line to standard error. Never throws, never blocks. */
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

/** Acts once all lines so far are written, and before those to come. */
export function afterLog(act: () => Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    waiting.push(() => act().then(resolve, reject));
    writing ??= writeAll();
  });
}

/** Resolves when all lines are written, or after `ms` milliseconds. */
export async function flushLog(ms: number): Promise<void> {
  if (writing !== undefined) await within(ms, writing);
}

async function writeAll(): Promise<void> {
  for (let next; (next = waiting.shift()) !== undefined;) {
    if (typeof next === "function") {
      await next();
      continue;
    }
    size -= next.length;
    if (size < KEPT / 2) await tellLost();
    if (!await write(next)) lost++;
  }
  writing = undefined;
}

async function tellLost(): Promise<void> {
  const n = lost;
  if (n === 0) return;
  const told = `(${plural(n, "line")} lost: standard error is full, or nobody reads it)\n`;
  if (await write(encoder.encode(torn ? `\n${told}` : told))) lost -= n;
}

/** Writes all of it; false if that fails: a full disk, or a reader that has closed. */
async function write(bytes: Uint8Array): Promise<boolean> {
  for (let done = 0; done < bytes.length;) {
    try {
      done += await Deno.stderr.write(bytes.subarray(done));
    } catch (error) {
      if (error instanceof Deno.errors.WouldBlock) {
        await sleep(AGAIN);
        continue;
      }
      torn ||= done > 0;
      return false;
    }
  }
  torn = false;
  return true;
}
