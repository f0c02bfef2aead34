/** The admin port: counters and readiness over HTTP. */
import { address } from "../net/address.ts";
import { label } from "../net/errors.ts";
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

const TEXT = "text/plain; charset=utf-8";
const METRICS = "text/plain; version=0.0.4; charset=utf-8";

/**
 * Opens the admin port: `/metrics` in Prometheus' text format, `/ready` for load balancers, and
 * `/stats`, the JSON of `--stats`. It stays open until the process ends.
 * @throws {Error} If `Deno.serve` fails: the error it throws, with the address and the cause in
 * its message.
 */
export function openAdmin(where: AdminAddr, subject: Subject): Deno.HttpServer<Deno.NetAddr> {
  const pages: Record<string, (query: URLSearchParams) => Promise<Response>> = {
    "/metrics": async () => page(metrics(total(await subject.stats()), subject.slots), METRICS),
    "/ready": async (query) => {
      if (subject.draining) return page("draining\n", TEXT, 503);
      const full = total(await subject.stats()).active >= subject.slots;
      return full && query.has("slots") ? page("no free slot\n", TEXT, 503) : page("ready\n", TEXT);
    },
    "/stats": async () => page(`${json(await subject.stats())}\n`, "application/json"),
  };
  const serve = ({ url, method }: Request) => {
    if (!URL.canParse(url)) return page("bad request\n", TEXT, 400); // its Host header is none
    const { pathname, searchParams } = new URL(url);
    if (!Object.hasOwn(pages, pathname)) return page("not found\n", TEXT, 404);
    if (method === "GET" || method === "HEAD") return pages[pathname](searchParams);
    return page("only GET and HEAD\n", TEXT, 405, { allow: "GET, HEAD" });
  };
  try {
    return Deno.serve(
      { ...where, onListen() {}, onError: () => page("error\n", TEXT, 500) },
      serve,
    );
  } catch (error) {
    throw label(`admin on ${address(where.hostname, where.port)}`, error);
  }
}

function page(body: string, type: string, status = 200, headers?: HeadersInit): Response {
  return new Response(body, {
    status,
    headers: { "content-type": type, "cache-control": "no-store", ...headers },
  });
}

/** The counters in Prometheus' text format, version 0.0.4. */
function metrics(stats: Stats, slots: number): string {
  const { accepted, active, waiting, closed, lines, bytesIn, bytesOut } = stats;
  const closes = Object.entries(closed).map(([cause, n]) => [`{cause="${cause}"}`, n] as const);
  const families: [string, type: string, help: string, ...(readonly [string, number])[]][] = [
    ["echo_connections_accepted_total", "counter", "Connections accepted.", ["", accepted]],
    [
      "echo_connections_closed_total",
      "counter",
      "Connections ended, by what ended them.",
      ...closes,
    ],
    ["echo_connections_active", "gauge", "Connections being served.", ["", active]],
    ["echo_connections_waiting", "gauge", "Connections accepted that wait for a slot.", [
      "",
      waiting,
    ]],
    ["echo_slots", "gauge", "Connections that can be served at once.", ["", slots]],
    ["echo_lines_total", "counter", "Lines, and pieces of lines, read.", ["", lines]],
    ["echo_received_bytes_total", "counter", "Bytes of the lines read.", ["", bytesIn]],
    ["echo_sent_bytes_total", "counter", "Bytes written back.", ["", bytesOut]],
  ];
  return families.map(([name, type, help, ...samples]) =>
    [
      `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`,
      ...samples.map(([labels, value]) => `${name}${labels} ${value}\n`),
    ].join("")
  ).join("");
}
