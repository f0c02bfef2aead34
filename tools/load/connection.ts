/** One connection of a load: sends lines, and compares every byte that comes back. */
import { reason } from "../../net/errors.ts";
import { within } from "../../net/time.ts";
import type { Turns } from "../../net/turns.ts";
import { Fault, type FaultKind, type Place } from "./fault.ts";
import type { Shape } from "./generator.ts";
import { Lines } from "./lines.ts";
import type { Schedule } from "./schedule.ts";
import type { Tally } from "./tally.ts";

/** What a load needs of a connection: `Deno.Conn` has it. */
export type LoadConn = Pick<Deno.Conn<Deno.Addr>, "read" | "write" | "closeWrite"> & Disposable;

/** Options shared by all connections of a thread. */
export interface ConnectionOptions extends Omit<Shape, "rate"> {
  /** Of all connections of the thread. */
  turns: Turns;
  /** Opens the connection of that number. */
  connect: (connection: number) => Promise<LoadConn>;
  /** Whether a line of a connection may have been sent. */
  maybeSent: (connection: number, line: number) => boolean;
  /** When lines are due; undefined: as soon as fewer than `depth` are in flight. */
  schedule: Schedule | undefined;
  /** Where everything is counted. */
  tally: Tally;
}

/** The most bytes per read. */
const BLOCK = 65_536;
/** Milliseconds to wait for the peer's FIN once everything has come back. */
const LINGER = 1000;
/** Milliseconds after a fault before the next attempt to connect. */
const PAUSE = 100;

/** One connection, or with churn or faults a series of them, one at a time. */
export class Connection {
  /** Its number among those of all threads, from 0. */
  readonly number: number;
  readonly #options: ConnectionOptions;
  readonly #lines: Lines;
  /** How many lines it sends in all. */
  readonly #limit: number;
  /** When each line in flight was sent or, with a schedule, due. */
  readonly #times: Float64Array;
  readonly #buf: Uint8Array<ArrayBuffer>;
  /** Undefined between a connection and the next. */
  #fd: LoadConn | undefined;
  /** Lines sent or being sent, lines that came back or were lost, and the line where it ends. */
  #issued = 0;
  #done = 0;
  #end = 0;
  #answered = false;
  /** Bytes written, and bytes received; what was lost counts in both. */
  #sent = 0;
  #back = 0;
  #writing = false;
  /** What a write of this `#fd` does at its end; one of an earlier `#fd` does nothing. */
  #onWritten = (_n: number) => {};
  #onWriteError = (_error: unknown) => {};
  /** The error of a failed write. The next read shows how the peer closed. */
  #writeError: unknown;
  /** When the last byte arrived or FIN was sent. */
  #moved = 0;
  /** The peer owed a byte for too long. */
  #late: Fault | undefined;
  /** When a fault was counted after which nothing has come back yet. */
  #down: number | undefined;
  #finished = false;
  #stopped = false;
  #closed = false;
  /** Ends the pause after a fault. */
  readonly #over = Promise.withResolvers<void>();

  constructor(number: number, options: ConnectionOptions) {
    const { connections, lines, depth, length } = options;
    this.number = number;
    this.#options = options;
    this.#lines = new Lines(number, depth, length);
    this.#limit = Math.max(0, Math.ceil((lines - number) / connections));
    this.#times = new Float64Array(depth);
    this.#buf = new Uint8Array(Math.min(BLOCK, depth * length + 1));
  }

  /**
   * Connects.
   * @throws {Fault} If that fails.
   */
  async open(): Promise<void> {
    if (this.#closed) return;
    const { connect, length, churn, tally } = this.#options;
    let fd: LoadConn;
    try {
      fd = await connect(this.number);
    } catch (error) {
      throw Fault.of(error, this.#place);
    }
    if (this.#closed) fd[Symbol.dispose]();
    tally.opened++;
    this.#sent = this.#back = this.#issued * length;
    this.#end = Math.min(this.#issued + churn, this.#limit);
    this.#writing = this.#finished = false;
    this.#writeError = this.#late = undefined;
    this.#onWritten = (n) => {
      if (fd === this.#fd) this.#written(n);
    };
    // Left to the next read, so that bytes received before the error are compared first.
    this.#onWriteError = (error) => {
      if (fd !== this.#fd) return;
      this.#writing = false;
      this.#writeError = error;
      this.#sent = this.#issued * length;
    };
    this.#fd = fd;
  }

  /**
   * Sends and receives until `stop` is called or all lines are sent, and everything has come back.
   * @throws {Fault} The first one, unless faults are counted.
   */
  async run(): Promise<void> {
    while (!this.#closed) {
      try {
        if (this.#fd === undefined) await this.open();
        const now = performance.now();
        this.send(now);
        this.#finish(now);
        await this.#receive(this.#fd!);
      } catch (error) {
        if (this.#closed) return;
        if (this.#options.onFault === "stop" || !(error instanceof Fault)) throw error;
        this.#count(error);
        await within(PAUSE, this.#over.promise);
      }
      this.#fd?.[Symbol.dispose]();
      this.#fd = undefined;
      if (this.#stopped || this.#issued === this.#limit) return;
    }
  }

  /** Counts a fault, and what was in flight as lost. */
  #count({ kind }: Fault): void {
    const { tally } = this.#options;
    tally.faults[kind] = (tally.faults[kind] ?? 0) + 1;
    tally.lost += this.#issued - this.#done;
    const now = performance.now();
    this.#record(this.#issued, now);
    const since = this.#late === undefined ? now : this.#moved;
    if (!this.#stopped && this.#issued < this.#limit) this.#down ??= since;
    this.#fd?.[Symbol.dispose]();
    this.#fd = undefined;
  }

  /** How many lines have been sent or are being sent. */
  get issued(): number {
    return this.#issued;
  }

  /** Sends the lines that are due, up to `depth` in flight. */
  send(now: number): void {
    if (this.#fd === undefined || this.#finished || this.#stopped) return;
    const { depth, length, schedule, tally } = this.#options;
    const due = schedule?.count(this.number, now) ?? Infinity;
    const end = Math.min(this.#done + depth, this.#end, due);
    if (this.#issued === this.#done) this.#moved = now;
    if (this.#issued === 0 && end > 0) tally.asked++;
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
    this.#options.turns.calls++;
    this.#fd!.write(bytes.subarray(start, start + rest)).then(this.#onWritten, this.#onWriteError);
  }

  #written(n: number): void {
    this.#sent += n;
    if (this.#sent < this.#issued * this.#options.length) this.#write();
    else this.#writing = false;
  }

  /** Receives and compares until the peer's FIN. */
  async #receive(fd: LoadConn): Promise<void> {
    const buf = this.#buf;
    for (;;) {
      let n;
      try {
        n = await this.#options.turns.read(fd, buf);
      } catch (error) {
        if (this.#closed || this.#finished) return;
        throw this.#late ?? Fault.of(error, this.#place);
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
    if (n < came.length) throw this.#fault("corrupt", `expected nothing, got ${hex(came[n])}`);
  }

  #different(rest: Uint8Array): Fault {
    const named = this.#lines.whose(rest, this.#back);
    const known = named !== undefined && this.#options.maybeSent(named.connection, named.line);
    const { connection, line } = known ? named : this.#place;
    const own = connection === this.number && line === this.#place.line;
    const of = own ? "" : ` (of line ${line} of connection ${connection})`;
    const sent = hex(this.#lines.at(this.#back));
    return this.#fault("corrupt", `expected ${sent}, got ${hex(rest[0])}${of}`);
  }

  /** Records the round trips of the lines that have come back. */
  #complete(now: number): void {
    const { length, tally } = this.#options;
    const done = Math.floor(this.#back / length);
    if (done === this.#done) return;
    tally.lines += done - this.#done;
    tally.lastLine = performance.timeOrigin + now;
    this.#record(done, now);
    if (!this.#answered) tally.answered++;
    this.#answered = true;
    this.#endOutage(now);
  }

  /** Records the times of the lines up to `line`, and is done with them. */
  #record(line: number, now: number): void {
    const { depth, tally: { histogram } } = this.#options;
    for (let i = this.#done; i < line; i++) histogram.record(now - this.#times[i % depth]);
    this.#done = line;
  }

  #endOutage(now: number): void {
    if (this.#down === undefined) return;
    const { tally } = this.#options;
    tally.outage = Math.max(tally.outage, now - this.#down);
    this.#down = undefined;
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

  /** Ends a connection whose peer has owed a byte, or FIN, for too long. */
  checkTime(now: number): void {
    const quiet = now - this.#moved;
    const { timeout } = this.#options;
    if (this.#finished) {
      if (quiet < LINGER) return;
    } else {
      if (this.#done === this.#issued || quiet < timeout) return;
      this.#late ??= this.#fault("timeout", `no byte came back for ${timeout / 1000} s`);
    }
    this.#fd?.[Symbol.dispose]();
  }

  /**
   * Stops sending; `run` returns when everything has come back. Lines that are due by now are
   * counted, each with its time so far.
   */
  stop(now: number): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#over.resolve();
    const { schedule, tally } = this.#options;
    const due = Math.min(schedule?.count(this.number, now) ?? 0, this.#limit);
    const unsent = Math.max(0, due - this.#issued);
    tally.unsent += unsent;
    const step = Math.ceil(unsent / 1000);
    for (let line = this.#issued; line < due; line += step) {
      const since = schedule!.due(this.number, line);
      tally.histogram.record(now - since, Math.min(step, due - line));
    }
    this.#endOutage(now);
    this.#finish(now);
  }

  /** Closes the connection at once. A line that is owed or due counts with its time so far. */
  end(now: number): void {
    this.close();
    this.stop(now);
    this.#record(this.#issued, now);
  }

  /** Closes the connection at once. */
  close(): void {
    this.#closed = true;
    this.#over.resolve();
    this.#fd?.[Symbol.dispose]();
  }
}

function hex(byte: number): string {
  return `0x${byte.toString(16).padStart(2, "0")}`;
}
