/** Listening on a Unix socket. On Windows Deno has none: `Deno.listen` throws. */
import { label } from "../net/errors.ts";
import { sleep } from "../net/time.ts";
import { AcceptQueue } from "./accept_queue.ts";

/** Attempts to lock a folder, and milliseconds between them. */
const LOCK_TRIES = 100;
const LOCK_PAUSE = 10;

/** The longest path in bytes: unix(7) has 108 for it, BSD 104, each with a NUL. */
const MAX_PATH = Deno.build.os === "linux" ? 107 : 103;

/** Options of {@linkcode openUnixListenfd}. */
export interface UnixListenOptions {
  /**
   * The file's mode, such as 0o666: who may write to it may connect. Default: what the umask leaves
   * of 0o777.
   */
  mode?: number;
}

/** A listening descriptor on a Unix socket. `close` removes the socket's file. */
export class UnixListenfd {
  readonly #listener: Deno.UnixListener;
  readonly #queue: AcceptQueue<Deno.UnixConn>;
  readonly #file: Deno.FileInfo;
  #closed = false;
  /** The address it listens on. */
  readonly addr: Deno.UnixAddr;

  /** Wraps a listener. {@linkcode openUnixListenfd} calls this. */
  constructor(listener: Deno.UnixListener, path: string, file: Deno.FileInfo) {
    this.#listener = listener;
    this.#queue = new AcceptQueue({ accept: () => listener.accept(), close: () => this.close() });
    this.#file = file;
    this.addr = { transport: "unix", path };
  }

  /** Resolves to the next connection. */
  async accept(): Promise<Deno.UnixConn> {
    const conn = await this.#queue.accept();
    return Object.defineProperty(conn, "localAddr", { value: this.addr });
  }

  /**
   * Closes the listener once nobody has come for 50 ms; if `hurried`, it removes the file before,
   * so that nobody else comes. Resolves when the listener is closed.
   */
  stop(hurried: boolean): Promise<void> {
    if (hurried && !this.#closed) this.#remove();
    return this.#queue.stop(false);
  }

  /**
   * Closes the listener, and removes its file unless another server has replaced it; does nothing if
   * it is already closed.
   */
  close(): void {
    if (this.#closed) return; // the next server's file may have the same inode by now
    this.#closed = true;
    this.#remove();
    this.#listener.close();
    this.#queue.close();
  }

  #remove(): void {
    try {
      const { ino, dev } = Deno.lstatSync(this.addr.path);
      if (ino === this.#file.ino && dev === this.#file.dev) Deno.removeSync(this.addr.path);
    } catch {
      // Already removed.
    }
  }
}

/**
 * Opens a listening descriptor on a Unix socket: unix(7). It replaces the file of a dead server,
 * never that of a running one; if several servers start at once, one gets the path. The folder
 * must be readable and writable.
 * @throws {RangeError} If the path is longer than 107 bytes on Linux, 103 elsewhere.
 * @throws {Deno.errors.AddrInUse} If a server listens on the path, or it is another kind of file.
 * @throws {Error} If `Deno.listen` fails: the error it throws, with the path and the cause in
 * its message.
 * @example
 * ```ts
 * import { openUnixListenfd } from "@netp/rio/server";
 *
 * const path = `${await Deno.makeTempDir()}/echo.sock`;
 * const listenfd = await openUnixListenfd(path);
 * listenfd.close();
 * ```
 */
export async function openUnixListenfd(
  path: string,
  options: UnixListenOptions = {},
): Promise<UnixListenfd> {
  const bytes = new TextEncoder().encode(path).length;
  if (bytes > MAX_PATH) { // the kernel's call would cut it, without an error
    throw new RangeError(
      `Cannot listen on ${path}: ${bytes} bytes, at most ${MAX_PATH} are allowed`,
    );
  }
  const folder = path.includes("/") ? path.replace(/[^/]*$/, "") : "./";
  // Deno removes the bound path when the listener closes, even if another server owns that file
  // by then. So bind to a temporary name and rename it, which also replaces a dead socket at once.
  // ss(8) goes on showing the temporary name, so that begins with the other if there is room.
  const long = bytes + 10 > MAX_PATH;
  const stem = `${folder}.${long ? "" : `${path.slice(path.lastIndexOf("/") + 1)}.`}`;
  const room = MAX_PATH - new TextEncoder().encode(stem).length;
  const name = stem + crypto.randomUUID().slice(0, Math.min(8, Math.max(1, room)));
  const lock = await lockFolder(folder);
  let listener: Deno.UnixListener | undefined;
  try {
    if (lock !== undefined && !long) await removeLeft(folder, stem);
    listener = Deno.listen({ transport: "unix", path: name });
    if (options.mode !== undefined) await Deno.chmod(name, options.mode);
    const file = await Deno.lstat(name);
    if (await isTaken(path)) throw new Deno.errors.AddrInUse("Address already in use");
    await Deno.rename(name, path);
    return new UnixListenfd(listener, path, file);
  } catch (error) {
    listener?.close();
    throw label(`listen on ${path}`, error);
  } finally {
    lock?.close();
  }
}

/** Removes what servers have left that were killed before they had renamed it. */
async function removeLeft(folder: string, stem: string): Promise<void> {
  for await (const { name } of Deno.readDir(folder)) {
    const path = folder + name;
    const ours = path.startsWith(stem) && /^[0-9a-f]{8}$/.test(path.slice(stem.length));
    if (ours && !await isTaken(path)) await Deno.remove(path).catch(() => {}); // or another user's
  }
}

/** Whether a path is taken, by anything but the socket of a dead server. */
async function isTaken(path: string): Promise<boolean> {
  try {
    if (!(await Deno.lstat(path)).isSocket) return true;
    (await Deno.connect({ transport: "unix", path })).close();
    return true;
  } catch (error) {
    return !(error instanceof Deno.errors.NotFound ||
      error instanceof Deno.errors.ConnectionRefused);
  }
}

/** Locks a folder until the file is closed: flock(2). Undefined if it can't be locked. */
async function lockFolder(folder: string): Promise<Deno.FsFile | undefined> {
  let file: Deno.FsFile | undefined;
  try {
    file = await Deno.open(folder);
    for (let i = 0; i < LOCK_TRIES; i++) {
      if (await file.tryLock(true)) return file;
      await sleep(LOCK_PAUSE);
    }
  } catch {
    // Not readable, or a file system without locks.
  }
  file?.close();
}
