/**
 * TLS on a listening descriptor. It is node:tls over the connections of `Deno.listen`, since
 * those of `Deno.listenTls` can't be got rid of before they have shaken hands, have no
 * TCP_NODELAY, and end without TLS's own end when the process does.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { Duplex } from "node:stream";
import { createSecureContext, TLSSocket } from "node:tls";
import { label, reason } from "../net/errors.ts";
import { inTime } from "../net/time.ts";
import { rioWriten } from "../rio.ts";
import type { Conn } from "./connfd.ts";

/** Handshakes under way at a time, those of silent clients included. */
const MAX_HANDSHAKES = 256;
/** Milliseconds that a handshake may take. */
const HANDSHAKE_TIMEOUT = 10_000;
/** Bytes of one read of what is encrypted. */
const BUFSIZE = 32_768;
/** The type of a TLS record that carries a handshake, and its largest size (RFC 8446, 5.1). */
const HANDSHAKE = 22;
const HEADER = 5;
const MAX_RECORD = HEADER + 16_384;

/** What a {@linkcode TlsListenfd} takes. */
export interface TlsOptions {
  /** The certificate chain, in PEM. */
  cert: string;
  /** The private key of the certificate, in PEM. */
  key: string;
  /** Called with a handshake that failed, and who it was with. */
  onError?: (error: unknown, addr: Deno.Addr) => void;
}

/** The server's side of a TLS connection, as `Deno.Conn` has it. */
export class TlsConnfd implements Conn {
  readonly #tcp: Deno.TcpConn;
  readonly #socket: TLSSocket;
  readonly #handshake = Promise.withResolvers<void>();
  /** What was read and decrypted, and not yet taken. */
  #chunk: Uint8Array | null = null;
  #ended = false;
  #error: unknown;
  /** Has `read` look again. */
  #wake = (): void => {};
  /** Whether more may be read from the connection: only what somebody waits for. */
  #wanted = true;
  #want = (): void => {};

  /** Wraps a connection whose client has said `hello`; a listener does it. */
  constructor(
    tcp: Deno.TcpConn,
    hello: Uint8Array,
    secureContext: ReturnType<typeof createSecureContext>,
  ) {
    this.#tcp = tcp;
    tcp.setNoDelay(true); // a record's last segment would wait for the client's delayed ACK
    const options = { isServer: true, secureContext, allowHalfOpen: true };
    // The types want a net.Socket; any Duplex does.
    // deno-lint-ignore no-explicit-any
    const socket = this.#socket = new TLSSocket(this.#duplex(hello) as any, options as any);
    this.#handshake.promise.catch(() => {}); // whoever waits for it is told
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

  /** Where the server is. */
  get localAddr(): Deno.Addr {
    return this.#tcp.localAddr;
  }

  /** Who is at the other end. */
  get remoteAddr(): Deno.Addr {
    return this.#tcp.remoteAddr;
  }

  /** Resolves when the client has shaken hands. */
  handshake(): Promise<void> {
    return this.#handshake.promise;
  }

  /** Reads up to `p.length` bytes, and returns their count; null at EOF. */
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

  /** Writes all of `p`, and returns its length when the kernel has it. */
  write(p: Uint8Array): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#socket.write(p, (error) => error ? reject(this.#fail(error)) : resolve(p.length));
    });
  }

  /** Sends TLS's end and FIN; resolves when the kernel has them and all before them. */
  closeWrite(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.once("close", () => reject(this.#error));
      this.#socket.end(resolve);
    });
  }

  /** Closes the connection; if it is closed, nothing happens. */
  [Symbol.dispose](): void {
    this.#socket.destroy();
    this.#tcp[Symbol.dispose]();
  }

  /** Takes note of what ended the connection, and returns the first of these. */
  #fail(error: unknown): unknown {
    this.#error ??= error;
    this.#handshake.reject(this.#error);
    this.#wake();
    return this.#error;
  }

  /**
   * The connection as node:stream has it, and what was read of it already. TLSSocket would
   * read on and keep it all, whether anybody wants it or not.
   */
  #duplex(hello: Uint8Array): Duplex {
    const tcp = this.#tcp;
    const buf = new Uint8Array(BUFSIZE);
    const fail = (error: unknown) => this.#fail(error) as Error;
    let first: Uint8Array | undefined = hello;
    const wanted = () => this.#wanted ? undefined : new Promise<void>((go) => this.#want = go);
    return new Duplex({
      allowHalfOpen: true,
      async read() {
        try {
          await wanted();
          const bytes = first;
          first = undefined;
          const n = bytes === undefined ? await tcp.read(buf) : 0;
          this.push(bytes ?? (n === null ? null : buf.slice(0, n)));
        } catch (error) {
          this.destroy(fail(error));
        }
      },
      write(p: Uint8Array, _encoding, done) {
        rioWriten(tcp, p).then(() => done(), (error) => done(fail(error)));
      },
      final(done) {
        tcp.closeWrite().then(() => done(), (error) => done(fail(error)));
      },
      destroy(error, done) {
        tcp[Symbol.dispose]();
        done(error);
      },
    });
  }
}

/**
 * A listening descriptor that gives only clients who have shaken hands. Those who have not
 * yet are at most 256, each for ten seconds; when one more comes, the oldest of them who
 * has said nothing goes.
 */
export class TlsListenfd {
  readonly #listenfd: Deno.TcpListener;
  readonly #onError: TlsOptions["onError"];
  readonly #context: ReturnType<typeof createSecureContext>;
  /** Who waits in `accept`, and who waits for it. */
  readonly #callers: PromiseWithResolvers<TlsConnfd>[] = [];
  readonly #shaken: TlsConnfd[] = [];
  /** Clients who have said nothing yet, and who shake hands; the oldest first. */
  readonly #silent = new Set<Deno.TcpConn>();
  readonly #shaking = new Set<Deno.TcpConn>();
  #accepting = false;
  #closed = false;

  /**
   * Speaks TLS with who connects to `listenfd`, which is closed with this one.
   *
   * @throws {Deno.errors.InvalidData} If the certificate or its key is none, or they don't
   * belong together.
   */
  constructor(listenfd: Deno.TcpListener, { cert, key, onError }: TlsOptions) {
    checkPair(cert, key);
    this.#context = createSecureContext({ cert, key });
    this.#listenfd = listenfd;
    this.#onError = onError;
  }

  /** Where it listens. */
  get addr(): Deno.NetAddr {
    return this.#listenfd.addr;
  }

  /** Clients who have connected, and whom `accept` hasn't given yet. */
  get shaking(): number {
    return this.#silent.size + this.#shaking.size + this.#shaken.length;
  }

  /** Resolves to the next connection that has shaken hands. */
  accept(): Promise<TlsConnfd> {
    const shaken = this.#shaken.shift();
    if (shaken !== undefined) return Promise.resolve(shaken);
    const caller = Promise.withResolvers<TlsConnfd>();
    this.#callers.push(caller);
    this.#acceptMore();
    return caller.promise;
  }

  /** Ends the listener, the handshakes under way, and who waits in `accept`. */
  close(): void {
    this.#closed = true;
    this.#listenfd.close();
    const conns = [...this.#silent, ...this.#shaking, ...this.#shaken];
    for (const conn of conns) conn[Symbol.dispose]();
  }

  async #acceptMore(): Promise<void> {
    if (this.#accepting) return;
    this.#accepting = true;
    while (this.#callers.length > 0) {
      try {
        const conn = await this.#listenfd.accept();
        if (this.#silent.size + this.#shaking.size >= MAX_HANDSHAKES) this.#evict();
        this.#shakeHands(conn);
      } catch (error) {
        // A client has reset its connection while it waited in the queue.
        if (error instanceof Deno.errors.NotConnected) continue;
        // Out of descriptors: those of the silent are the first to go.
        if (!(error instanceof Deno.errors.BadResource) && this.#evict()) continue;
        this.#callers.shift()?.reject(error);
      }
    }
    this.#accepting = false;
  }

  /** Closes the oldest who has said nothing, or else who has said too little. */
  #evict(): boolean {
    for (const set of [this.#silent, this.#shaking]) {
      for (const conn of set) {
        set.delete(conn);
        conn[Symbol.dispose]();
        return true;
      }
    }
    return false;
  }

  async #shakeHands(tcp: Deno.TcpConn): Promise<void> {
    const { remoteAddr } = tcp;
    let conn: Disposable = tcp;
    let late = false;
    const cancel = inTime(HANDSHAKE_TIMEOUT, () => {
      late = true;
      conn[Symbol.dispose]();
    });
    try {
      this.#silent.add(tcp);
      const hello = await readHello(tcp);
      this.#silent.delete(tcp);
      this.#shaking.add(tcp);
      const connfd = new TlsConnfd(tcp, hello, this.#context);
      conn = connfd;
      await connfd.handshake();
      const caller = this.#callers.shift();
      if (caller === undefined) this.#shaken.push(connfd);
      else caller.resolve(connfd);
    } catch (error) {
      conn[Symbol.dispose]();
      const cause = late
        ? new Deno.errors.TimedOut(`no answer for ${HANDSHAKE_TIMEOUT / 1000} s`)
        : error;
      if (!this.#closed) this.#onError?.(label("TLS handshake", cause), remoteAddr);
    } finally {
      cancel();
      this.#silent.delete(tcp);
      this.#shaking.delete(tcp);
    }
  }
}

/** Throws unless these are a certificate and its key: node:tls would tell only each client. */
function checkPair(cert: string, key: string): void {
  const parse = <T>(what: string, make: () => T): T => {
    try {
      return make();
    } catch (error) {
      throw new Deno.errors.InvalidData(`${what} can't be read as PEM: ${reason(error)}`);
    }
  };
  const certificate = parse("the TLS certificate", () => new X509Certificate(cert));
  const privateKey = parse("the TLS key", () => createPrivateKey(key));
  if (certificate.checkPrivateKey(privateKey)) return;
  throw new Deno.errors.InvalidData("the TLS key is not that of the certificate");
}

/** Reads the client's first record: the ClientHello, and nothing else. */
async function readHello(conn: Deno.TcpConn): Promise<Uint8Array> {
  const buf = new Uint8Array(MAX_RECORD);
  for (let n = 0, size = HEADER; n < size;) {
    const count = await conn.read(buf.subarray(n));
    if (count === null) throw new Deno.errors.UnexpectedEof("the client closed the connection");
    n += count;
    if (n >= HEADER) size = HEADER + (buf[3] << 8 | buf[4]);
    if (n > 0 && buf[0] !== HANDSHAKE || size > MAX_RECORD) {
      throw new Deno.errors.InvalidData("the client doesn't speak TLS");
    }
    if (n >= size) return buf.slice(0, n);
  }
  throw new Deno.errors.InvalidData("the client doesn't speak TLS");
}
