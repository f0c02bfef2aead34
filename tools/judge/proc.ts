/** What Linux's /proc shows: the processes of a program, and what they hold. See proc(5). */

/** The state of a socket that listens. Those are first in /proc/net/tcp, which may be very long. */
const LISTEN = "0A";
const HEAD = 128 * 1024;
/** Virtual memory, in kB, that only a sanitizer reserves: it keeps what is freed. */
const SANITIZER = 10 * 2 ** 30;

/** A process, from /proc/PID/stat. */
export interface Stat {
  pid: number;
  parent: number;
  session: number;
  state: string;
  /** CPU time in clock ticks, with that of children waited for. */
  ticks: number;
  /** When it started, which tells it from a later process with the same id. */
  since: number;
}

/** See prctl(2) and waitpid(2). */
const PR_SET_CHILD_SUBREAPER = 36;
const WNOHANG = 1;
const LIBC = {
  prctl: { parameters: ["i32", "u64", "u64", "u64", "u64"], result: "i32" },
  waitpid: { parameters: ["i32", "pointer", "i32"], result: "i32" },
} as const;
let libc: Deno.DynamicLibrary<typeof LIBC> | undefined;

/**
 * From now on, whoever loses its parent becomes a child of this process, and belongs to the one
 * program that it runs at a time.
 */
export function adoptOrphans(): void {
  libc ??= Deno.dlopen("libc.so.6", LIBC);
  libc.symbols.prctl(PR_SET_CHILD_SUBREAPER, 1n, 0n, 0n, 0n);
}

/**
 * The processes of a program: those of its session, their children, and orphans that this process
 * has adopted. Where it adopts none, a daemon in a session of its own is found only by its port.
 */
export class Group {
  readonly #leader: number;
  readonly #since: number;
  /** When each process seen started if it belongs to the group, else 0. */
  #seen = new Map<number, number>();

  constructor(leader: number) {
    this.#leader = leader;
    this.#since = statOf(leader)?.since ?? 0;
  }

  /** Its processes, oldest first. Who can't become one isn't read again. */
  all(): Stat[] {
    const mine: Stat[] = [];
    let strangers: Stat[] = [];
    const seen = new Map<number, number>();
    for (const pid of pids()) {
      const since = this.#seen.get(pid);
      if (since === 0) seen.set(pid, 0);
      const stat = since === 0 ? undefined : parseStat(pid, read(`/proc/${pid}/stat`));
      if (stat === undefined) continue;
      const adopted = libc !== undefined && stat.parent === Deno.pid;
      const known = since === stat.since || stat.session === this.#leader || adopted;
      if (adopted && stat.state === "Z" && pid !== this.#leader) {
        libc!.symbols.waitpid(pid, null, WNOHANG);
      } else if (known) mine.push(stat);
      else strangers.push(stat);
    }
    // A child is in the group of its parent, whatever it has changed.
    const family = new Set(mine.map(({ pid }) => pid));
    for (let before = Infinity; strangers.length < before;) {
      before = strangers.length;
      strangers = strangers.filter((stat) => {
        if (!family.has(stat.parent)) return true;
        family.add(stat.pid);
        mine.push(stat);
      });
    }
    for (const { pid, since } of strangers) {
      if (libc === undefined || since < this.#since) seen.set(pid, 0);
    }
    for (const { pid, since } of mine) seen.set(pid, since);
    this.#seen = seen;
    return mine.sort((a, b) => a.since - b.since || a.pid - b.pid);
  }

  /** Takes in a process that was found in another way. */
  adopt(pid: number): void {
    const stat = statOf(pid);
    if (stat !== undefined) this.#seen.set(pid, stat.since);
  }

  /** Those that haven't ended. */
  running(): Stat[] {
    return this.all().filter(({ state }) => state !== "Z" && state !== "X");
  }
}

/** Throws Deno.errors.NotCapable unless /proc may be read. */
export function checkProc(): void {
  Deno.readTextFileSync("/proc/self/stat");
}

/** A process; undefined if it has ended and was waited for. */
export function statOf(pid: number): Stat | undefined {
  return parseStat(pid, read(`/proc/${pid}/stat`));
}

/** How many descriptors a process has open. */
export function descriptors(pid: number): number {
  return names(`/proc/${pid}/fd`).length;
}

/** The limit on a process's descriptors. */
export function descriptorLimit(pid: number): number {
  return Number(/^Max open files +(\d+)/m.exec(read(`/proc/${pid}/limits`))?.[1] ?? Infinity);
}

/** The memory of a process, in bytes: of what it shares with others, its part. */
export function share(pid: number): number {
  return 1024 * Number(/^Pss:\s+(\d+) kB$/m.exec(read(`/proc/${pid}/smaps_rollup`))?.[1] ?? 0);
}

/** The private memory of a process, in bytes: exact where the kernel can tell it. */
export function memory(pid: number): number {
  const exact = /^Anonymous:\s+(\d+) kB$/m.exec(read(`/proc/${pid}/smaps_rollup`));
  const rough = exact ?? /^RssAnon:\s+(\d+) kB$/m.exec(read(`/proc/${pid}/status`));
  return Number(rough?.[1] ?? 0) * 1024;
}

/** Why memory that a process keeps doesn't show a leak; undefined if it does. */
export function keepsMemory(pid: number): string | undefined {
  const size = Number(/^VmSize:\s+(\d+) kB$/m.exec(read(`/proc/${pid}/status`))?.[1] ?? 0);
  if (size > SANITIZER) return "a sanitizer keeps what is freed";
  // Executable memory that comes from no file holds code compiled while the program runs, the heap
  // of Go begins at an address of its own, and Ruby is known by its name.
  const maps = read(`/proc/${pid}/maps`);
  const collects = /^\S+ r[w-]xp \S+ \S+ 0 *(\[anon.*)?$|^c000000000-|\/(lib)?ruby[^/]*$/m
    .test(maps);
  return collects ? "a garbage collector frees when it likes" : undefined;
}

/** The listening TCP sockets: their ports, by inode. */
export function listeners(): Map<string, number> {
  const all = new Map<string, number>();
  for (const table of ["tcp", "tcp6"]) {
    for (const line of head(`/proc/net/${table}`).split("\n").slice(1)) {
      const [, local, , state, , , , , , inode] = line.trim().split(/\s+/);
      if (state !== LISTEN) break;
      all.set(`socket:[${inode}]`, parseInt(local.slice(local.lastIndexOf(":") + 1), 16));
    }
  }
  return all;
}

/** The bytes of a connection that are in the kernel, on their way to `port` and from it. */
export function queued(port: number, client: number): { to: number; from: number } {
  const [server, other] = [port, client].map((n) => n.toString(16).toUpperCase().padStart(4, "0"));
  const rows = ["tcp", "tcp6"].map((table) => read(`/proc/net/${table}`)).join("");
  const [[out, unread], [sent, back]] = [[server, other], [other, server]].map(([local, remote]) =>
    new RegExp(`:${local} \\w+:${remote} \\w\\w (\\w+):(\\w+)`).exec(rows)?.slice(1)
      .map((queue) => parseInt(queue, 16)) ?? [0, 0]
  );
  return { to: sent + unread, from: out + back };
}

/** Whether the kernel has room for more connections in TIME_WAIT: it drops those beyond a bound. */
export function keepsTimeWait(): boolean {
  const n = /^TCP:.* tw (\d+)/m.exec(read("/proc/net/sockstat"))?.[1];
  return Number(n ?? 0) < 0.9 * Number(read("/proc/sys/net/ipv4/tcp_max_tw_buckets") || Infinity);
}

/** All processes that may be looked into. */
export function pids(): number[] {
  return names("/proc").filter((name) => /^\d+$/.test(name)).map(Number);
}

/** What the descriptors of a process refer to. */
export function links(pid: number): string[] {
  return names(`/proc/${pid}/fd`).map((name) => {
    try {
      return Deno.readLinkSync(`/proc/${pid}/fd/${name}`);
    } catch {
      return ""; // closed in the meantime
    }
  });
}

/** The lowest port that the system gives to clients. */
export function firstClientPort(): number {
  return Number(read("/proc/sys/net/ipv4/ip_local_port_range").split(/\s/)[0]) || 32_768;
}

/** Parses /proc/PID/stat. The second field, the name, may contain anything. */
function parseStat(pid: number, text: string): Stat | undefined {
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  if (fields.length < 20) return undefined;
  const [parent, session, since] = [fields[1], fields[3], fields[19]].map(Number);
  const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
  return { pid, parent, session, state: fields[0], ticks, since };
}

/** The entries of a folder; none if the process has ended, or isn't ours to look into. */
function names(folder: string): string[] {
  try {
    return Array.from(Deno.readDirSync(folder), ({ name }) => name);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    return [];
  }
}

/** A file's text; empty if the process has ended, or isn't ours to look into. */
function read(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    return "";
  }
}

/** The first bytes of a file. */
function head(path: string): string {
  const buf = new Uint8Array(HEAD);
  let size = 0;
  try {
    using file = Deno.openSync(path);
    for (let n; (n = file.readSync(buf.subarray(size))) !== null && n > 0;) size += n;
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
  }
  return new TextDecoder().decode(buf.subarray(0, size));
}
