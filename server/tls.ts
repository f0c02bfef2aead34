/**
 * TLS on a listening descriptor: node:tls over `Deno.listen`. The connections of
 * `Deno.listenTls` can't be closed during the handshake, have no TCP_NODELAY, and lose TLS's
 * close_notify when the process ends.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { Duplex } from "node:stream";
import { createSecureContext, TLSSocket } from "node:tls";
import { label, reason } from "../net/errors.ts";
import { inTime, within } from "../net/time.ts";
import { Rio, rioWriten } from "../rio.ts";
import { AcceptQueue } from "./accept_queue.ts";
import type { Conn } from "./connfd.ts";
import { safely } from "./connections.ts";
import type { Endpoints } from "./proxy.ts";

/** The most handshakes at a time, including clients that have sent nothing yet. */
const MAX_HANDSHAKES = 256;
/** The most milliseconds for a handshake. */
const HANDSHAKE_TIMEOUT = 10_000;
/** Milliseconds for each half of a handshake before another client may take its place. */
const HANDSHAKE_TURN = 1000;
/** The most encrypted bytes per read. */
const BUFSIZE = 32_768;
/** The type of a TLS handshake record, its header, and its largest size (RFC 8446, 5.1). */
const HANDSHAKE = 22;
const HEADER = 5;
/** An alert, its level and two descriptions. */
const ALERT = 21;
const FATAL = 2;
const HANDSHAKE_FAILURE = 40;
const PROTOCOL_VERSION = 70;
const MAX_RECORD = HEADER + 16_384;

/** A certificate chain and its private key, in PEM. */
export interface Pair {
  /** The certificate chain. */
  cert: string;
  /** The private key of the certificate. */
  key: string;
}

/** Options of {@linkcode TlsListenfd}. */
export interface TlsOptions extends Pair {
  /**
   * Called before each handshake, with the addresses of both ends, which it may change, and a
   * reader of what comes before TLS. What it returns is disposed of when the connection is closed;
   * undefined closes it at once. If it throws, the handshake has failed.
   */
  admit?: (ends: Endpoints, rio: Rio) => Promise<Disposable | undefined>;
  /**
   * Called for each failed handshake, with the error and the client's address. What it throws is
   * written to standard error.
   */
  onError?: (error: unknown, addr: Deno.Addr) => void;
}

/** The server's side of a TLS connection, with the methods of `Deno.Conn` that `serve` uses. */
export class TlsConnfd implements Conn {
  /** The server's address. */
  readonly localAddr: Deno.Addr;
  /** The client's address. */
  readonly remoteAddr: Deno.Addr;
  readonly #place: Disposable;
  readonly #tcp: Deno.TcpConn;
  readonly #socket: TLSSocket;
  readonly #handshake = Promise.withResolvers<void>();
  /** Decrypted bytes that `read` hasn't returned yet. */
  #chunk: Uint8Array | null = null;
  #ended = false;
  #error: unknown;
  /** The last write to the TCP connection. */
  #written: Promise<unknown> = Promise.resolve();
  /** Makes a pending `read` check again. */
  #wake = (): void => {};
  /** Whether to read from the TCP connection: only while a caller waits. */
  #wanted = true;
  #want = (): void => {};
  #closed = false;

  /** Wraps a connection whose first record is `hello`. {@linkcode TlsListenfd} calls this. */
  constructor(
    tcp: Deno.TcpConn,
    hello: Uint8Array,
    secureContext: ReturnType<typeof createSecureContext>,
    ends: Endpoints,
    place: Disposable,
  ) {
    this.#tcp = tcp;
    this.#place = place;
    this.localAddr = ends.localAddr;
    this.remoteAddr = ends.remoteAddr;
    tcp.setNoDelay(true); // a record's last segment would wait for the client's delayed ACK
    const options = { isServer: true, secureContext, allowHalfOpen: true };
    // The types want a net.Socket; any Duplex does.
    // deno-lint-ignore no-explicit-any
    const socket = this.#socket = new TLSSocket(this.#duplex(hello) as any, options as any);
    this.#handshake.promise.catch(() => {}); // `handshake` reports it
    socket.once("secure", () => {
      this.#wanted = false;
      this.#handshake.resolve();
    });
    socket.on("_tlsError", (error) => this.#fail(error));
    socket.on("error", (error) => this.#fail(error));
    socket.on("close", () => this.#fail(new Deno.errors.Interrupted("the connection was closed")));
    socket.on("readable", () => this.#wake());
    socket.on("end", () => {
      this.#ended = true;
      this.#wake();
    });
  }

  /** Resolves when the handshake is done; rejects if it fails. */
  handshake(): Promise<void> {
    return this.#handshake.promise;
  }

  /**
   * Reads up to `p.length` bytes into `p`. Returns their number; null at EOF.
   * @throws {Error} If the connection fails or is closed.
   */
  async read(p: Uint8Array): Promise<number | null> {
    while ((this.#chunk ??= this.#socket.read()) === null) {
      if (this.#ended) return null;
      if (this.#error !== undefined) throw this.#error;
      const more = Promise.withResolvers<void>();
      this.#wake = more.resolve;
      this.#wanted = true;
      this.#want();
      await more.promise;
    }
    this.#wanted = false;
    const chunk = this.#chunk;
    const n = Math.min(p.length, chunk.length);
    p.set(chunk.subarray(0, n));
    this.#chunk = n < chunk.length ? chunk.subarray(n) : null;
    return n;
  }

  /**
   * Writes all of `p`. Returns `p.length`, once the kernel has the bytes.
   * @throws {Error} If the connection fails or is closed.
   */
  write(p: Uint8Array): Promise<number> {
    if (this.#error !== undefined) return Promise.reject(this.#error);
    return new Promise((resolve, reject) => {
      this.#socket.write(p, (error) => {
        // TLSSocket doesn't pass on what the connection's own write threw.
        const failure = error ?? this.#error;
        if (failure === undefined) resolve(p.length);
        else reject(this.#fail(failure));
      });
    });
  }

  /** Sends TLS's close_notify and FIN; resolves when the kernel has them and all bytes before. */
  closeWrite(): Promise<void> {
    return new Promise((resolve, reject) => {
      let ended = false;
      this.#socket.once("close", () => {
        if (!ended) reject(this.#error);
      });
      this.#socket.end(() => {
        ended = true; // though close_notify may still be on its way to the kernel
        this.#written.then(() => resolve(), reject);
      });
    });
  }

  /** Closes the connection; does nothing if it is already closed. */
  [Symbol.dispose](): void {
    this.#socket.destroy();
    this.#tcp[Symbol.dispose]();
    if (!this.#closed) this.#place[Symbol.dispose]();
    this.#closed = true;
  }

  /** Records the error that ended the connection; returns the first one recorded. */
  #fail(error: unknown): unknown {
    this.#error ??= error;
    this.#handshake.reject(this.#error);
    this.#wake();
    return this.#error;
  }

  /** Fails the handshake if it isn't done soon after EOF: TLSSocket would wait for ever. */
  async #left(): Promise<void> {
    const done = this.#handshake.promise.then(() => true, () => true);
    if (await within(HANDSHAKE_TURN, done)) return;
    this.#fail(new Deno.errors.UnexpectedEof("the client closed the connection"));
  }

  /**
   * The TCP connection as a node:stream, starting with the bytes already read. It reads only
   * while a caller waits: TLSSocket alone would read on and buffer without bound.
   */
  #duplex(hello: Uint8Array): Duplex {
    const tcp = this.#tcp;
    const buf = new Uint8Array(BUFSIZE);
    const fail = (error: unknown) => this.#fail(error) as Error;
    let first: Uint8Array | undefined = hello;
    let silent = true;
    const write = (p: Uint8Array) => {
      silent = false;
      return this.#written = rioWriten(tcp, p);
    };
    const written = () => this.#written;
    const left = () => this.#left();
    const wanted = () => this.#wanted ? undefined : new Promise<void>((go) => this.#want = go);
    return new Duplex({
      allowHalfOpen: true,
      async read() {
        try {
          await wanted();
          const bytes = first;
          first = undefined;
          const n = bytes === undefined ? await tcp.read(buf) : 0;
          if (n === null) left();
          this.push(bytes ?? (n === null ? null : buf.slice(0, n)));
        } catch (error) {
          this.destroy(fail(error));
        }
      },
      write(p: Uint8Array, _encoding, done) {
        write(p).then(() => done(), (error) => done(fail(error)));
      },
      final(done) {
        tcp.closeWrite().then(() => done(), (error) => done(fail(error)));
      },
      // Once both sides have ended, TLSSocket destroys it without waiting for close_notify.
      async destroy(error, done) {
        if (!error) await written().catch(() => {});
        // Nothing has been answered: the ClientHello was no good, which node:tls tells only us.
        if (silent) await tcp.write(alertTo(hello)).catch(() => {});
        tcp[Symbol.dispose]();
        done(error);
      },
    });
  }
}

/**
 * A listening descriptor that accepts connections once their TLS handshake is done. At most 256
 * handshakes go on at a time, each for at most 10 seconds. One more client waits until one of them
 * ends, or closes the oldest that has sent nothing for a second, or else not ready hands for one.
 */
export class TlsListenfd {
  readonly #queue: AcceptQueue<Deno.TcpConn>;
  /** The address it listens on. */
  readonly addr: Deno.NetAddr;
  readonly #onError: NonNullable<TlsOptions["onError"]>;
  readonly #admit: NonNullable<TlsOptions["admit"]>;
  #context: ReturnType<typeof createSecureContext>;
  /** Pending calls of `accept`, and connections ready for the next call. */
  readonly #callers: PromiseWithResolvers<TlsConnfd>[] = [];
  readonly #ready: TlsConnfd[] = [];
  /** Clients without a complete ClientHello, and those after it: since when; oldest first. */
  readonly #awaitingHello = new Map<Deno.TcpConn, number>();
  readonly #handshaking = new Map<Deno.TcpConn, number>();
  /** A connection that waits for its handshake to begin. */
  #waiting: Deno.TcpConn | undefined;
  /** Resolves when a handshake ends. */
  #end = Promise.withResolvers<void>();
  #accepting = false;
  /** Whether the queue has to be emptied, however many handshakes go on. */
  #hurried = false;
  #closed = false;

  /**
   * Speaks TLS on the connections of `listenfd`. `close` closes that too.
   * @throws {Deno.errors.InvalidData} If the certificate or the key can't be parsed, or they
   * don't match.
   */
  constructor(listenfd: Deno.TcpListener, { cert, key, admit, onError }: TlsOptions) {
    this.#context = contextOf({ cert, key });
    this.#queue = new AcceptQueue(listenfd);
    this.addr = listenfd.addr;
    this.#onError = safely(onError ?? (() => {}));
    this.#admit = admit ?? (() => Promise.resolve({ [Symbol.dispose]() {} }));
  }

  /**
   * Uses another certificate and key for handshakes that begin from now on.
   * @throws {Deno.errors.InvalidData} As the constructor does; the old ones stay.
   */
  renew(pair: Pair): void {
    this.#context = contextOf(pair);
  }

  /** Connections that `accept` hasn't returned yet. */
  get handshaking(): number {
    if (this.#closed) return 0;
    return this.#handshakes + this.#ready.length + (this.#waiting === undefined ? 0 : 1);
  }

  get #handshakes(): number {
    return this.#awaitingHello.size + this.#handshaking.size;
  }

  /**
   * Resolves to the next connection whose handshake is done.
   * @throws {Deno.errors.BadResource} If the listener is closed.
   * @throws {Error} What `accept` of the TCP listener throws.
   */
  accept(): Promise<TlsConnfd> {
    const ready = this.#ready.shift();
    if (ready !== undefined) return Promise.resolve(ready);
    const caller = Promise.withResolvers<TlsConnfd>();
    this.#callers.push(caller);
    this.#acceptMore();
    return caller.promise;
  }

  /**
   * Closes the listener for others once nobody has come for 50 ms, or, if `hurried`, as soon as
   * nobody waits; resolves then. `accept` goes on to return those who have connected.
   */
  stop(hurried: boolean): Promise<void> {
    this.#hurried ||= hurried;
    return this.#queue.stop(hurried);
  }

  /** Closes the listener and the handshakes under way, and rejects pending `accept` calls. */
  close(): void {
    this.#closed = true;
    this.#queue.close();
    const conns = [
      ...this.#awaitingHello.keys(),
      ...this.#handshaking.keys(),
      ...this.#ready.splice(0),
    ];
    for (const conn of conns) conn[Symbol.dispose]();
  }

  async #acceptMore(): Promise<void> {
    if (this.#accepting) return;
    this.#accepting = true;
    while (this.#callers.length > 0) {
      try {
        const conn = this.#waiting = await this.#queue.accept();
        while (this.#isFull() && !this.#closed) await this.#makeRoom();
        this.#waiting = undefined;
        if (this.#closed) conn[Symbol.dispose]();
        else this.#shakeHands(conn);
      } catch (error) {
        // The client reset its connection in the queue.
        if (error instanceof Deno.errors.NotConnected) continue;
        const ended = error instanceof Deno.errors.BadResource;
        if (ended && this.#handshakes > 0 && !this.#closed) {
          await this.#end.promise;
          continue;
        }
        // Out of descriptors, perhaps: an unfinished handshake can free one.
        if (ended) this.close();
        else if (this.#handshakes > 0) await this.#makeRoom();
        this.#callers.shift()?.reject(error);
      }
    }
    this.#accepting = false;
  }

  #isFull(): boolean {
    return this.#handshakes >= MAX_HANDSHAKES && !this.#hurried;
  }

  /**
   * Closes the oldest client without a ClientHello, else the oldest after it, if it has had its
   * turn; otherwise waits for a moment, or until a handshake ends.
   */
  async #makeRoom(): Promise<void> {
    for (const clients of [this.#awaitingHello, this.#handshaking]) {
      for (const [conn, since] of clients) {
        if (since > performance.now() - HANDSHAKE_TURN) break;
        clients.delete(conn);
        conn[Symbol.dispose]();
        return;
      }
    }
    await within(HANDSHAKE_TURN / 10, this.#end.promise);
  }

  async #shakeHands(tcp: Deno.TcpConn): Promise<void> {
    const ends: Endpoints = { remoteAddr: tcp.remoteAddr, localAddr: tcp.localAddr };
    let conn: Disposable = tcp;
    let place: Disposable | undefined;
    let late = false;
    const cancel = inTime(HANDSHAKE_TIMEOUT, () => {
      late = true;
      conn[Symbol.dispose]();
    });
    try {
      this.#awaitingHello.set(tcp, performance.now());
      const rio = new Rio(tcp, { bufsize: MAX_RECORD });
      place = await this.#admit(ends, rio);
      if (place === undefined) return tcp[Symbol.dispose]();
      const hello = await readHello(rio);
      this.#awaitingHello.delete(tcp);
      this.#handshaking.set(tcp, performance.now());
      const connfd = new TlsConnfd(tcp, hello, this.#context, ends, place);
      conn = connfd;
      await connfd.handshake();
      const caller = this.#callers.shift();
      if (caller === undefined) this.#ready.push(connfd);
      else caller.resolve(connfd);
    } catch (error) {
      if (conn === tcp) place?.[Symbol.dispose]();
      conn[Symbol.dispose]();
      const evicted = !this.#awaitingHello.has(tcp) && !this.#handshaking.has(tcp);
      const cause = late
        ? new Deno.errors.TimedOut(`no answer for ${HANDSHAKE_TIMEOUT / 1000} s`)
        : evicted
        ? new Deno.errors.Interrupted(`gave way after ${HANDSHAKE_TURN / 1000} s`)
        : error;
      if (this.#closed) return;
      this.#onError(label("TLS handshake", cause), ends.remoteAddr);
    } finally {
      cancel();
      this.#awaitingHello.delete(tcp);
      this.#handshaking.delete(tcp);
      this.#end.resolve();
      this.#end = Promise.withResolvers();
    }
  }
}

function contextOf({ cert, key }: Pair) {
  checkPair({ cert, key });
  return createSecureContext({ cert, key });
}

/** How a block of a PEM file begins (RFC 7468), and a whole one. */
const BEGIN = /-----BEGIN /g;
const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----[^-]+-----END \1-----/g;

/**
 * Throws unless certificate and key match, and are whole: node:tls would fail only at each
 * handshake, or leave out the rest of a chain.
 */
export function checkPair({ cert, key }: Pair): void {
  const parse = <T>(what: string, pem: string, make: (pem: string) => T): T => {
    try {
      const made = make(pem);
      const [begun, whole] = [BEGIN, BLOCK].map((pattern) => pem.match(pattern)?.length);
      if (begun !== whole) throw new Error("it is cut off");
      return made;
    } catch (error) {
      throw new Deno.errors.InvalidData(`${what} can't be read as PEM: ${reason(error)}`);
    }
  };
  const certificate = parse("the TLS certificate", cert, (pem) => new X509Certificate(pem));
  const privateKey = parse("the TLS key", key, createPrivateKey);
  if (certificate.checkPrivateKey(privateKey)) return;
  throw new Deno.errors.InvalidData("the TLS key is not that of the certificate");
}

/** The alert for a ClientHello that led nowhere: RFC 8446, 6.2. */
function alertTo(hello: Uint8Array): Uint8Array {
  const [major, minor] = hello.subarray(HEADER + 4); // the newest version that an old client knows
  const description = major === 3 && minor < 3 ? PROTOCOL_VERSION : HANDSHAKE_FAILURE;
  return new Uint8Array([ALERT, 3, 1, 0, 2, FATAL, description]);
}

/** Reads the client's first record, the ClientHello, and whatever has come behind it. */
async function readHello(rio: Rio): Promise<Uint8Array> {
  const fill = async (n: number) => {
    if (await rio.fill(n)) return rio.peek();
    throw new Deno.errors.UnexpectedEof("the client closed the connection");
  };
  const [type] = await fill(1);
  const size = async () => {
    const header = await fill(HEADER);
    return HEADER + (header[3] << 8 | header[4]);
  };
  const length = type === HANDSHAKE ? await size() : Infinity;
  if (length <= MAX_RECORD) return await fill(length);
  throw new Deno.errors.InvalidData("the client doesn't speak TLS");
}
