/** One connection of a load: sends lines, and compares every byte that comes back. */
import { reason } from "../../net/errors.ts";
import { Fault, type FaultKind, type Place } from "./fault.ts";
import type { Histogram } from "./histogram.ts";
import { Lines } from "./lines.ts";
import type { Schedule } from "./schedule.ts";

/** What a load needs of a connection: `Deno.Conn` has it. */
export type LoadConn = Pick<Deno.Conn<Deno.Addr>, "read" | "write" | "closeWrite"> & Disposable;

/** Options shared by all connections of a thread. */
export interface ConnectionOptions {
  connect: () => Promise<LoadConn>;
  depth: number;
  length: number;
  /** Lines after which a connection is replaced by a new one. */
  churn: number;
  /** Milliseconds to wait for the next byte that the server owes. */
  timeout: number;
  /** Whether a line of a connection may have been sent. */
  maybeSent: (connection: number, line: number) => boolean;
  /** When lines are due; undefined: as soon as fewer than `depth` are in flight. */
  schedule: Schedule | undefined;
  /** Where round trips are recorded. */
  histogram: Histogram;
}

/** The most bytes per read. */
const BLOCK = 65_536;
/** Milliseconds to wait for the peer's FIN once everything has come back. */
const LINGER = 1000;

/** One connection, or with churn a series of them, one at a time. */
export class Connection {
  /** Its number among those of all threads, from 0. */
  readonly number: number;
  /** Connections opened so far. */
  opened = 0;
  readonly #options: ConnectionOptions;
  readonly #lines: Lines;
  /** When each line in flight was sent or, with a schedule, due. */
  readonly #times: Float64Array;
  readonly #buf: Uint8Array<ArrayBuffer>;
  #fd: LoadConn | undefined;
  /** Lines sent or being sent, lines that came back, and the line where churn ends it. */
  #issued = 0;
  #done = 0;
  #end = Infinity;
  /** Bytes written, and bytes received. */
  #sent = 0;
  #back = 0;
  #writing = false;
  /** The error of a failed write. The next read shows how the peer closed. */
  #writeError: unknown;
  /** When the last byte arrived or FIN was sent. */
  #moved = 0;
  #finished = false;
  #stopped = false;
  #closed = false;

  constructor(number: number, options: ConnectionOptions) {
    const { depth, length } = options;
    this.number = number;
    this.#options = options;
    this.#lines = new Lines(number, depth, length);
    this.#times = new Float64Array(depth);
    this.#buf = new Uint8Array(Math.min(BLOCK, depth * length + 1));
  }

  /**
   * Connects.
   *
   * @throws {Fault} If that fails.
   */
  async open(): Promise<void> {
    try {
      this.#fd = await this.#options.connect();
    } catch (error) {
      throw Fault.of(error, this.#place);
    }
    if (this.#closed) this.#fd[Symbol.dispose]();
    this.opened++;
    this.#end = this.#issued + this.#options.churn;
    this.#writeError = undefined;
    this.#finished = false;
  }

  /**
   * Sends and receives until `stop` is called and everything has come back.
   *
   * @throws {Fault} The first one.
   */
  async run(): Promise<void> {
    for (;;) {
      const now = performance.now();
      this.send(now);
      this.#finish(now);
      await this.#receive();
      this.#fd![Symbol.dispose]();
      if (this.#stopped || this.#closed) return;
      await this.open();
    }
  }

  /** How many lines have been sent or are being sent. */
  get issued(): number {
    return this.#issued;
  }

  /** Sends the lines that are due, up to `depth` in flight. */
  send(now: number): void {
    if (this.#fd === undefined || this.#finished || this.#stopped) return;
    const { depth, length, schedule } = this.#options;
    const due = schedule?.count(this.number, now) ?? Infinity;
    const end = Math.min(this.#done + depth, this.#end, due);
    if (this.#issued === this.#done) this.#moved = now;
    for (; this.#issued < end; this.#issued++) {
      this.#lines.set(this.#issued);
      this.#times[this.#issued % depth] = schedule?.due(this.number, this.#issued) ?? now;
    }
    if (!this.#writing && this.#sent < this.#issued * length) this.#write();
  }

  #write(): void {
    const { bytes } = this.#lines;
    const start = this.#sent % bytes.length;
    const rest = this.#issued * this.#options.length - this.#sent;
    this.#writing = true;
    this.#fd!.write(bytes.subarray(start, start + rest)).then(this.#onWritten, this.#onWriteError);
  }

  readonly #onWritten = (n: number) => {
    this.#sent += n;
    if (this.#sent < this.#issued * this.#options.length) this.#write();
    else this.#writing = false;
  };

  /** Leaves the error to the next read, so that bytes received before it are compared first. */
  readonly #onWriteError = (error: unknown) => {
    this.#writing = false;
    this.#writeError = error;
    this.#sent = this.#issued * this.#options.length;
  };

  /** Receives and compares until the peer's FIN. */
  async #receive(): Promise<void> {
    const fd = this.#fd!;
    const buf = this.#buf;
    for (;;) {
      let n;
      try {
        n = await fd.read(buf);
      } catch (error) {
        if (this.#closed || this.#finished) return;
        throw Fault.of(error, this.#place);
      }
      if (n === null) {
        if (this.#closed || this.#finished) return;
        throw this.#early();
      }
      const now = performance.now();
      this.#moved = now;
      this.#compare(buf.subarray(0, n));
      this.#complete(now);
      this.send(now);
      this.#finish(now);
    }
  }

  #compare(came: Uint8Array): void {
    const owed = this.#issued * this.#options.length - this.#back;
    const n = Math.min(came.length, owed);
    const same = this.#lines.compare(came, n, this.#back);
    this.#back += same;
    if (same < n) throw this.#different(came.subarray(same));
    if (n < came.length) throw this.#fault("corrupt", `${hex(came[n])} came back for nothing sent`);
  }

  #different(rest: Uint8Array): Fault {
    const named = this.#lines.whose(rest, this.#back);
    const known = named !== undefined && this.#options.maybeSent(named.connection, named.line);
    const { connection, line } = known ? named : this.#place;
    const own = connection === this.number && line === this.#place.line;
    const of = own ? "" : `, of line ${line} of connection ${connection}`;
    const sent = hex(this.#lines.at(this.#back));
    return this.#fault("corrupt", `${hex(rest[0])} came back for ${sent}${of}`);
  }

  /** Records the round trips of the lines that have come back. */
  #complete(now: number): void {
    const { length, depth, histogram } = this.#options;
    const done = Math.floor(this.#back / length);
    for (let line = this.#done; line < done; line++) {
      histogram.record(now - this.#times[line % depth]);
    }
    this.#done = done;
  }

  /** Sends FIN if there is nothing left to send and everything has come back. */
  #finish(now: number): void {
    if (this.#finished || this.#done < this.#issued) return;
    if (!this.#stopped && this.#issued < this.#end) return;
    this.#finished = true;
    this.#moved = now;
    this.#fd?.closeWrite().catch(() => {}); // the peer closed first
  }

  /** The fault of a peer that closed while it owed something. */
  #early(): Fault {
    const error = this.#writeError;
    if (error instanceof Deno.errors.ConnectionReset) return Fault.of(error, this.#place);
    const cause = error === undefined ? "" : ` (${reason(error)})`;
    const sent = this.#issued * this.#options.length;
    return this.#fault(
      "truncated",
      `the peer closed${cause}: ${this.#back} of ${sent} bytes came back`,
    );
  }

  get #place(): Place {
    const line = Math.floor(this.#back / this.#options.length);
    return { connection: this.number, byte: this.#back, line };
  }

  #fault(kind: FaultKind, what: string): Fault {
    return new Fault(kind, this.#place, what);
  }

  /** Throws a {@linkcode Fault} if the peer has owed a byte for too long. */
  checkTime(now: number): void {
    const quiet = now - this.#moved;
    if (this.#finished) {
      if (quiet >= LINGER) this.#fd![Symbol.dispose]();
    } else if (this.#done < this.#issued && quiet >= this.#options.timeout) {
      throw this.#fault("timeout", `no byte came back for ${this.#options.timeout / 1000} s`);
    }
  }

  /**
   * Stops sending; `run` returns when everything has come back. Returns how many lines were due
   * but couldn't be sent; their waiting times so far are recorded.
   */
  stop(now: number): number {
    const { schedule, histogram } = this.#options;
    const due = schedule?.count(this.number, now) ?? 0;
    const unsent = Math.max(0, due - this.#issued);
    const step = Math.ceil(unsent / 1000);
    for (let line = this.#issued; line < due; line += step) {
      const since = schedule!.due(this.number, line);
      histogram.record(now - since, Math.min(step, due - line));
    }
    this.#stopped = true;
    this.#finish(now);
    return unsent;
  }

  /** Closes the connection at once. */
  close(): void {
    this.#closed = true;
    this.#fd?.[Symbol.dispose]();
  }
}

function hex(byte: number): string {
  return `0x${byte.toString(16).padStart(2, "0")}`;
}
