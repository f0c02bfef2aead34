/** The admin port: counters and readiness over HTTP/1.1, a request a connection. */
import { isIP } from "node:net";
import { log } from "../cli/diagnostics.ts";
import { address } from "../net/address.ts";
import { label, reason } from "../net/errors.ts";
import { Rio, rioWriten } from "../rio.ts";
import { serve } from "../server.ts";
import type { Connfd } from "./connfd.ts";
import { json, type Stats, total } from "./stats.ts";

/** The address of the admin port. */
export interface AdminAddr {
  hostname: string;
  port: number;
}

/** The server that the admin port reports on. */
export interface Subject {
  /** Connections that can be served at once. */
  slots: number;
  /** Whether it has been told to stop. */
  draining: boolean;
  /** The counters of each thread. */
  stats(): Promise<Stats[]>;
}

/** Requests answered at once, and milliseconds for each: a client that says nothing is closed. */
const SLOTS = 32;
/** The most clients whose request isn't complete: one more closes the oldest of them. */
const SILENT = 24;
const MAX_TIME = 1000;
/** The longest line of a request in bytes, and the most lines. */
const MAX_LINE = 4096;
const MAX_LINES = 64;

const TEXT = "text/plain; charset=utf-8";
const METRICS = "text/plain; version=0.0.4; charset=utf-8";
const REASONS: Record<number, string> = {
  200: "OK",
  400: "Bad Request",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  503: "Service Unavailable",
};

/** What is answered. */
interface Answer {
  status: number;
  body: string;
  type?: string;
}

/**
 * Opens the admin port: `/metrics` in Prometheus' text format, `/ready` for load balancers, and
 * `/stats`, the JSON of `--stats`. It stays open until the process ends. Nothing a client does
 * there ends or blocks the server: `serve` bounds it as it does the clients of the echo port.
 * @throws {Error} If `Deno.listen` fails: the error it throws, with the address and the cause in
 * its message.
 */
export function openAdmin(where: AdminAddr, subject: Subject): Deno.NetAddr {
  let listenfd: Deno.TcpListener;
  try {
    listenfd = Deno.listen(where);
  } catch (error) {
    throw label(`admin on ${address(where.hostname, where.port)}`, error);
  }
  let told: string | undefined;
  const silent = new Set<Connfd>();
  serve(listenfd, async (connfd) => {
    silent.add(connfd);
    const [oldest] = silent;
    if (silent.size > SILENT) oldest.close(); // which makes room for who has something to ask
    const { method, answer } = await read(connfd, where.hostname, subject)
      .finally(() => silent.delete(connfd));
    const { status, body, type = TEXT } = answer;
    const head = [
      `HTTP/1.1 ${status} ${REASONS[status]}`,
      `content-type: ${type}`,
      `content-length: ${new TextEncoder().encode(body).length}`,
      "cache-control: no-store",
      ...status === 405 ? ["allow: GET, HEAD"] : [],
      "connection: close",
    ];
    const text = `${head.join("\r\n")}\r\n\r\n${method === "HEAD" ? "" : body}`;
    await rioWriten(connfd, new TextEncoder().encode(text));
  }, {
    concurrency: SLOTS,
    maxTime: MAX_TIME,
    onError: (error, connfd) => {
      // What a client does wrong is its own; what the port itself lacks is told, once.
      if (connfd !== undefined || told === reason(error)) return;
      log(`server: admin: ${told = reason(error)}`);
    },
  });
  return listenfd.addr;
}

/** Reads a request, and finds its answer. */
async function read(
  connfd: Connfd,
  hostname: string,
  subject: Subject,
): Promise<{ method: string; answer: Answer }> {
  const rio = new Rio(connfd, { maxline: MAX_LINE, tooLong: "throw" });
  const lines: string[] = [];
  do {
    const line = await rio.readline();
    if (line === null || lines.length === MAX_LINES) throw new Deno.errors.UnexpectedEof();
    lines.push(new TextDecoder().decode(line).replace(/\r?\n$/, ""));
  } while (lines.at(-1) !== "");
  const [, method = "", target = ""] = /^([A-Z]+) (\/\S*) HTTP\/1\.[01]$/.exec(lines[0]) ?? [];
  const hosts = lines.flatMap((line) => /^\s*host\s*:(.*)$/i.exec(line)?.[1].trim() ?? []);
  const url = URL.parse(target, "http://admin");
  const [given = "localhost"] = hosts;
  const host = /[@/\\?#]/.test(given) ? null : URL.parse(`http://${given}`);
  if (method === "" || url === null || host === null || hosts.length > 1) {
    return { method, answer: { status: 400, body: "bad request\n" } };
  }
  // A page of a browser here could read the counters under a name of its own: DNS rebinding.
  const name = host.hostname.replace(/^\[|\]$/g, "");
  if (!isIP(name) && name !== "localhost" && name !== hostname.toLowerCase()) {
    const body = `the Host is neither an address, nor localhost, nor the name in --admin\n`;
    return { method, answer: { status: 403, body } };
  }
  const page = PAGES[url.pathname as keyof typeof PAGES];
  if (!Object.hasOwn(PAGES, url.pathname)) {
    return { method, answer: { status: 404, body: "not found\n" } };
  }
  if (method !== "GET" && method !== "HEAD") {
    return { method, answer: { status: 405, body: "only GET and HEAD\n" } };
  }
  return { method, answer: await page(subject, url.searchParams) };
}

const PAGES = {
  "/metrics": async (subject: Subject): Promise<Answer> => {
    const body = metrics(total(await subject.stats()), subject.slots);
    return { status: 200, body, type: METRICS };
  },
  "/ready": async (subject: Subject, query: URLSearchParams): Promise<Answer> => {
    if (subject.draining) return { status: 503, body: "draining\n" };
    const full = total(await subject.stats()).active >= subject.slots;
    if (full && query.has("slots")) return { status: 503, body: "no free slot\n" };
    return { status: 200, body: "ready\n" };
  },
  "/stats": async (subject: Subject): Promise<Answer> => {
    return { status: 200, body: `${json(await subject.stats())}\n`, type: "application/json" };
  },
};

/** The counters in Prometheus' text format, version 0.0.4. */
function metrics(stats: Stats, slots: number): string {
  const { accepted, active, waiting, closed, refusals, acceptErrors } = stats;
  const { handshaking, handshakesFailed, lines, bytesIn, bytesOut } = stats;
  const { rss } = Deno.memoryUsage();
  const by = (label: string, counters: Record<string, number>) =>
    Object.fromEntries(
      Object.entries(counters).map(([value, n]) => [`{${label}="${value}"}`, n]),
    );
  const families: [name: string, help: string, value: number | Record<string, number>][] = [
    ["echo_connections_accepted_total", "Connections accepted.", accepted],
    [
      "echo_connections_closed_total",
      "Connections ended, by what ended them.",
      by("cause", closed),
    ],
    [
      "echo_connections_refused_total",
      "Connections refused, by the flag of the rule.",
      by("rule", refusals),
    ],
    [
      "echo_accept_errors_total",
      "How often accept failed, for want of descriptors, say.",
      acceptErrors,
    ],
    ["echo_connections_active", "Connections being served.", active],
    ["echo_connections_waiting", "Connections accepted that wait for a slot.", waiting],
    ["echo_handshakes_active", "TLS handshakes under way.", handshaking],
    ["echo_handshakes_failed_total", "TLS handshakes that failed.", handshakesFailed],
    ["process_resident_memory_bytes", "Resident memory of the process.", rss],
    ["echo_slots", "Connections that can be served at once.", slots],
    ["echo_lines_total", "Lines, and pieces of lines, read.", lines],
    ["echo_received_bytes_total", "Bytes of the lines read.", bytesIn],
    ["echo_sent_bytes_total", "Bytes written back.", bytesOut],
  ];
  return families.map(([name, help, value]) => {
    const type = name.endsWith("_total") ? "counter" : "gauge";
    const samples = Object.entries(typeof value === "number" ? { "": value } : value);
    const text = samples.map(([labels, n]) => `${name}${labels} ${n}\n`).join("");
    return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${text}`;
  }).join("");
}
