/** Listening on a Unix socket. On Windows Deno has none: `Deno.listen` throws. */
import { label } from "../net/errors.ts";
import { sleep } from "../net/time.ts";

/** Attempts to lock a folder, and milliseconds between them. */
const LOCK_TRIES = 100;
const LOCK_PAUSE = 10;

/** A listening descriptor on a Unix socket. `close` removes the socket's file. */
export class UnixListenfd {
  readonly #listener: Deno.UnixListener;
  readonly #file: Deno.FileInfo;
  /** The address it listens on. */
  readonly addr: Deno.UnixAddr;

  /** Wraps a listener. {@linkcode openUnixListenfd} calls this. */
  constructor(listener: Deno.UnixListener, path: string, file: Deno.FileInfo) {
    this.#listener = listener;
    this.#file = file;
    this.addr = { transport: "unix", path };
  }

  /** Resolves to the next connection. */
  async accept(): Promise<Deno.UnixConn> {
    const conn = await this.#listener.accept();
    return Object.defineProperty(conn, "localAddr", { value: this.addr });
  }

  /** Closes the listener, and removes its file unless another server has replaced it. */
  close(): void {
    try {
      const { ino, dev } = Deno.lstatSync(this.addr.path);
      if (ino === this.#file.ino && dev === this.#file.dev) Deno.removeSync(this.addr.path);
    } catch {
      // Already removed.
    }
    this.#listener.close();
  }
}

/**
 * Opens a listening descriptor on a Unix socket: unix(7). It replaces the file of a dead server,
 * never that of a running one; if several servers start at once, one gets the path. The folder
 * must be readable and writable.
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
export async function openUnixListenfd(path: string): Promise<UnixListenfd> {
  const folder = path.includes("/") ? path.replace(/[^/]*$/, "") : "./";
  // Deno removes the bound path when the listener closes, even if another server owns that file
  // by then. So bind to a temporary name and rename it, which also replaces a dead socket at once.
  const name = `${folder}.${crypto.randomUUID().slice(0, 8)}`;
  const lock = await lockFolder(folder);
  let listener: Deno.UnixListener | undefined;
  try {
    listener = Deno.listen({ transport: "unix", path: name });
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
