/** Listening on a Unix socket. */
import { label } from "../net/errors.ts";
import { sleep } from "../net/time.ts";

/** Tries to lock a folder, and milliseconds between them. */
const LOCK_TRIES = 100;
const LOCK_PAUSE = 10;

/** A listening descriptor on a Unix socket, whose file goes when it is closed. */
export class UnixListenfd {
  readonly #listener: Deno.UnixListener;
  readonly #file: Deno.FileInfo;
  /** Where it listens. */
  readonly addr: Deno.UnixAddr;

  /** Wraps a listener; {@linkcode openUnixListenfd} does it. */
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

  /** Ends the listener, and removes its file if it is still its own. */
  close(): void {
    try {
      const { ino, dev } = Deno.lstatSync(this.addr.path);
      if (ino === this.#file.ino && dev === this.#file.dev) Deno.removeSync(this.addr.path);
    } catch {
      // It has gone already.
    }
    this.#listener.close();
  }
}

/**
 * Opens a listening descriptor on a Unix socket. The file of a server that has died is
 * replaced, that of a living one never: of servers that start at the same time one gets the
 * path. The folder must be readable and writable.
 *
 * @param path The path of the socket.
 * @returns The listening descriptor.
 * @throws {Deno.errors.AddrInUse} If a server lives there, or there is another kind of file.
 * @throws {Error} Of the class that `Deno.listen` throws, if the path can't be listened on;
 * its message names the path and the cause.
 *
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
  // When a listener is closed, Deno removes the file that it was bound to, whoever's it is by
  // then. Hence it is bound to another name first; so it also replaces a dead one at once.
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

/** Whether there is anything at a path but the socket of a server that has died. */
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

/** Locks a folder, flock(2), until it is closed; undefined where that can't be had. */
async function lockFolder(folder: string): Promise<Deno.FsFile | undefined> {
  let file: Deno.FsFile | undefined;
  try {
    file = await Deno.open(folder);
    for (let i = 0; i < LOCK_TRIES; i++) {
      if (await file.tryLock(true)) return file;
      await sleep(LOCK_PAUSE);
    }
  } catch {
    // No right to read it, or a file system without locks.
  }
  file?.close();
}
