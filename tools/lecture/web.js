/** The page of `deno task lecture:web`: what the traces say, as a picture that grows. */

/** The Korean particles after a number, which depend on how its last digit is read. */
const particle = (closed, open) => (number) => /[013678]$/.test(`${number}`) ? closed : open;
const iga = particle("이", "가");
const eulreul = particle("을", "를");

const TEXT = {
  en: {
    picture: "A server and its clients, call by call",
    server: "server",
    start: "Start",
    end: "End (Ctrl-C)",
    add: "Add a client",
    scene: "the two scenes",
    play: "Play",
    step: "Step",
    pace: "pace",
    save: "Save as SVG",
    queue: "the kernel's queue",
    descriptors: "open descriptors of the server",
    send: "Send",
    eof: "EOF (Ctrl-D)",
    reset: "Reset",
    stop: "Stop reading",
    go: "Go on",
    client: (n) => `client ${n}`,
    since: (t) => `since ${t} s`,
    nobody: "nobody waits",
    hint: "Press Play, or start a server and add clients.",
    listen: "The server listens: from now on the kernel shakes hands with clients by itself.",
    accepting: "accept waits for a client; nobody has to queue.",
    connected: (n) =>
      `Client ${n} is connected. The kernel did that; accept hasn't returned it yet.`,
    queued: (n, s) => `The kernel says that ${n} wait${s} in the queue. No process owns them.`,
    accepted: (n, fd) => `accept takes client ${n} out of the queue, and returns ${fd}.`,
    lies: (n) => `Client ${n}'s line has arrived, and lies in the kernel: nobody reads it.`,
    wrote: (n) => `Client ${n} wrote a line: write returns as soon as its kernel has it.`,
    read: (n) => `The server reads the line of client ${n}.`,
    echoes: (n) => `The server writes it back to client ${n}.`,
    echoed: (n) => `Client ${n} has its echo.`,
    fin: (n) => `Client ${n} says that it has no more to send: FIN.`,
    eofRead: "readlineb returned 0: EOF, and only that.",
    closed: (fd) => `close: ${fd} is gone, and the server can accept the next client.`,
    broken: "The connection was reset: the call failed, and the server goes on.",
    stopped: (n) =>
      `Client ${n} is stopped (SIGSTOP): it reads no more. Its kernel still receives.`,
    resumed: (n) => `Client ${n} goes on (SIGCONT).`,
    killed: (n) => `Client ${n} was killed with its echo unread: its kernel sends RST, not FIN.`,
    ended: "Ctrl-C: the server closes listenfd, and serves whoever is connected to the end.",
  },
  ko: {
    picture: "서버와 클라이언트의 호출 순서",
    server: "서버",
    start: "시작",
    end: "종료 (Ctrl-C)",
    add: "클라이언트 추가",
    scene: "두 장면",
    play: "재생",
    step: "한 단계",
    pace: "간격",
    save: "SVG로 저장",
    queue: "커널의 연결 요청 대기열(accept queue)",
    descriptors: "서버가 연 식별자(descriptor)",
    send: "보내기",
    eof: "EOF (Ctrl-D)",
    reset: "RST로 끊기",
    stop: "읽기 멈춤",
    go: "다시 읽기",
    client: (n) => `클라이언트 ${n}`,
    since: (t) => `${t}초부터`,
    nobody: "기다리는 클라이언트 없음",
    hint: "재생을 누르거나, 서버를 시작하고 클라이언트를 추가하세요.",
    listen: "서버가 listen했습니다. 이제부터 커널이 알아서 클라이언트와 3방향 핸드셰이크를 합니다.",
    accepting: "accept가 클라이언트를 기다립니다. 아무도 줄을 서지 않아도 됩니다.",
    connected: (n) =>
      `클라이언트 ${n}${
        iga(n)
      } 연결되었습니다. 커널이 한 일이고, accept는 아직 반환하지 않았습니다.`,
    queued: (n) => `커널의 대기열에 ${n}개의 연결이 있습니다. 어느 프로세스의 것도 아닙니다.`,
    accepted: (n, fd) =>
      `accept가 클라이언트 ${n}${eulreul(n)} 대기열에서 꺼내 ${fd}${eulreul(fd)} 반환합니다.`,
    lies: (n) => `클라이언트 ${n}의 줄은 커널 안에 있습니다. 아직 아무도 읽지 않습니다.`,
    wrote: (n) => `클라이언트 ${n}${iga(n)} 한 줄을 썼습니다. write는 커널이 받자마자 반환합니다.`,
    read: (n) => `서버가 클라이언트 ${n}의 줄을 읽습니다.`,
    echoes: (n) => `서버가 클라이언트 ${n}에게 그 줄을 돌려보냅니다.`,
    echoed: (n) => `클라이언트 ${n}${iga(n)} 에코를 받았습니다.`,
    fin: (n) => `클라이언트 ${n}${iga(n)} 더 보낼 것이 없다고 알립니다(FIN).`,
    eofRead: "readlineb가 0을 반환했습니다. 0은 언제나 EOF입니다.",
    closed: (fd) => `close: ${fd}${iga(fd)} 닫혔고, 서버는 다음 클라이언트를 accept할 수 있습니다.`,
    broken: "연결이 RST로 끊겨 호출이 실패했지만, 서버는 계속 동작합니다.",
    stopped: (n) =>
      `클라이언트 ${n}${iga(n)} 멈췄습니다(SIGSTOP). 읽지 않지만 커널은 계속 받습니다.`,
    resumed: (n) => `클라이언트 ${n}${iga(n)} 다시 동작합니다(SIGCONT).`,
    killed: (n) =>
      `클라이언트 ${n}${iga(n)} 에코를 읽지 않은 채 종료되어, 커널이 FIN 대신 RST를 보냅니다.`,
    ended: "Ctrl-C: 서버는 listenfd를 닫고, 이미 연결된 클라이언트를 모두 처리합니다.",
  },
};

/** Milliseconds after which an event is shown even if what caused it isn't there. */
const LATE = 1000;
/** Heights and widths of the picture, in its own pixels. */
const ROW = 20;
const HEAD = 40;
const LEFT = 300;
const SERVER = 320;
const SLOT = 116;
const LANE = 260;
const GLYPH = 8.5;
/** Between client 1 and the server, and between the queue and client 2. */
const GAP = 110;
const TIME = 60;

/** What has happened, in the order in which it is shown. */
class Story {
  rows = [];
  /** By name: what is known of each client. */
  clients = new Map();
  #connfds = new Map();
  #waiting = new Map();

  /** Takes an event, to be shown when its time comes. */
  push(event) {
    const waiting = this.#waiting.get(event.who) ?? [];
    this.#waiting.set(event.who, waiting);
    waiting.push({ ...event, ...parse(event), come: performance.now() });
  }

  get pending() {
    return [...this.#waiting.values()].some((events) => events.length > 0);
  }

  /**
   * Shows the next event: the earliest whose cause is shown. The pipes of two processes race, so
   * that an effect may come before its cause; the events of one process stay in order.
   */
  next() {
    const firsts = [...this.#waiting.values()].map(([event]) => event).filter((event) => event)
      .sort((a, b) => a.time - b.time);
    const ready = firsts.find((event) => this.#isCaused(event)) ??
      firsts.find(({ come }) => performance.now() - come > LATE);
    if (ready === undefined) return undefined;
    this.#waiting.get(ready.who).shift();
    return this.#show(ready);
  }

  #client(who) {
    if (!this.clients.has(who)) {
      const flow = () => ({ writes: [], fin: undefined });
      const n = this.clients.size + 1;
      this.clients.set(who, { who, n, sent: [], toServer: flow(), toClient: flow() });
    }
    return this.clients.get(who);
  }

  /** The client of an event, whichever side tells it. */
  #of({ who, fd, peer }) {
    if (who !== "server") return this.#client(who);
    if (peer !== undefined) return [...this.clients.values()].find(({ port }) => port === peer);
    return this.#connfds.get(fd);
  }

  #isCaused(event) {
    const { who, call, result, bytes } = event;
    const client = this.#of(event);
    if (who === "server" && call === "accept" && result.startsWith("=")) {
      return client?.connected !== undefined;
    }
    if (call !== "rio_readlineb" || client === undefined) return true;
    const { writes, fin } = who === "server" ? client.toServer : client.toClient;
    const left = writes.reduce((sum, write) => sum + write.left, 0);
    return bytes === 0 ? fin !== undefined : left >= bytes;
  }

  #show(event) {
    const { who, call, result, bytes, did, exit } = event;
    // The pipes of two processes race; time doesn't run backwards for that.
    const time = Math.max(event.time, this.rows.at(-1)?.time ?? 0);
    const row = { ...event, time, index: this.rows.length, arrows: [] };
    const client = this.#of(event);
    this.rows.push(row);
    row.client = client;
    if (who !== "server") {
      client.entered ??= row;
      if (call === "connect" && result === "= 0") {
        client.connected = row;
        client.port = event.peer;
        client.slot = this.#freeSlot();
      }
      if (call === "connect" && result === "= -1") client.left ??= row;
      if (call === "close" || exit !== undefined) client.left ??= row;
      if (did === "SIGSTOP") client.stopped = row;
      if (did === "SIGCONT") client.stopped = undefined;
      if (did === "SIGKILL") client.killed = row;
    } else if (call === "accept" && client !== undefined) {
      client.accepted = row;
      client.fd = event.fd = result.slice(2);
      this.#connfds.set(client.fd, client);
      row.arrows.push({ from: client.connected, label: "connect" });
    } else if (call === "close" && client !== undefined) client.closed = row;
    if (client === undefined) return row;
    const [out, back] = who === "server"
      ? [client.toClient, client.toServer]
      : [client.toServer, client.toClient];
    if (who !== "server" && (bytes > 0 || call === "shutdown" || call === "connect")) {
      if (call !== "rio_readlineb") client.sent.push(row);
      row.sent = { connect: "connect", shutdown: "FIN" }[call] ?? `${bytes} bytes`;
    }
    if (call === "rio_writen") {
      out.writes.push({ row, left: bytes });
    } else if (call === "shutdown" || call === "close") out.fin ??= row;
    else if (did === "SIGKILL") out.fin ??= row;
    else if (call === "rio_readlineb" && bytes > 0) this.#take(row, back, bytes);
    else if (call === "rio_readlineb" && bytes === 0 && back.fin) {
      row.arrows.push({ from: back.fin, label: "FIN" });
    } else if (result === "= -1" && client.killed && who === "server") {
      row.arrows.push({ from: client.killed, label: "RST" });
    }
    return row;
  }

  /** Takes bytes of a flow, as a read does; an arrow comes from each write that had some. */
  #take(row, flow, bytes) {
    while (bytes > 0 && flow.writes.length > 0) {
      const [write] = flow.writes;
      const n = Math.min(bytes, write.left);
      bytes -= n;
      write.left -= n;
      const label = row.line.replace(/^"(.*)"/, "$1");
      write.row.sent = label;
      row.arrows.push({ from: write.row, label });
      if (write.left === 0) flow.writes.shift();
    }
  }

  #freeSlot() {
    const taken = this.queue().map(({ slot }) => slot);
    for (let slot = 0;; slot++) if (!taken.includes(slot)) return slot;
  }

  /** The clients that are connected and that accept hasn't returned yet. */
  queue() {
    return [...this.clients.values()].filter(({ connected, accepted }) => connected && !accepted);
  }

  /** The server's open descriptors. */
  descriptors() {
    let listenfd = false;
    for (const { who, call, args, exit } of this.rows) {
      if (who !== "server") continue;
      if (call === "listen") listenfd = true;
      if (exit !== undefined || call === "close" && args === "listenfd") listenfd = false;
    }
    const open = [...this.clients.values()].filter(({ accepted, closed }) => accepted && !closed);
    return [...listenfd ? ["listenfd"] : [], ...open.map(({ fd }) => fd)];
  }
}

/** What a line of a trace says, if it is one. */
function parse({ line = "" }) {
  const trace = /^ *\d+\.\d{3} {2}(server|client) {2}(\w+(?: of listenfd)?)(?:\((.*?)\))? {2,}(.*)$/
    .exec(line);
  if (trace === null) return {};
  const [, side, call, args = "", rest] = trace;
  const [result, ...details] = rest.split(/ {2,}/);
  const pair = /^127\.0\.0\.1:(\d+) -> 127/.exec(details[0] ?? "");
  const [fd] = /connfd \d+/.exec(args) ?? [];
  const times = /^(\d+) bytes, of the same read/.exec(details[0] ?? "");
  return {
    side,
    call,
    args,
    result,
    fd,
    peer: pair?.[1],
    bytes: times ? Number(times[1]) : /^= \d+$/.test(result) ? Number(result.slice(2)) : undefined,
    line: details[0],
    text: short(call, args, result),
    brief: short(call, "", result),
    detail: details[0] ?? "",
  };
}

/** A call without the arguments that go without saying. */
function short(call, args, result) {
  const others = args.split(", ").filter((arg) => !/^(listenfd|clientfd|)$/.test(arg)).join(", ");
  const name = call.replace(" of listenfd", "");
  return `${name}${others && `(${others})`}${result.startsWith("=") ? "" : ":"} ${result}`;
}

const STYLE = `
  text { font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: #1f2328 }
  .paper { fill: #fff } .server { fill: #f0f6fc; stroke: #8c959f } .head { font-weight: bold }
  .dim { fill: #59636e } .label { fill: #59636e; font-size: 12px; text-anchor: middle }
  .end { text-anchor: end } .middle { text-anchor: middle } .bad { fill: #cf222e }
  .line { stroke: #8c959f; stroke-width: 2 } .fd { stroke-width: 5; stroke: #0969da }
  .listenfd { stroke-width: 5; stroke: #1a7f37 }
  .waits { stroke: #d4a72c; stroke-width: 5; stroke-dasharray: 3 4 } .stopped { stroke: #cf222e; stroke-width: 6 }
  .queued { fill: #fff8c5; stroke: #d4a72c; stroke-width: 2 }
  .arrow { stroke: #59636e; fill: none; marker-end: url(#tip) } .tip { fill: #59636e }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .paper { fill: #0d1117 } .server { fill: #151b23; stroke: #656c76 }
    .dim, .label { fill: #9198a1 } .bad { fill: #ff7b72 } .line { stroke: #656c76 } .fd { stroke: #4493f8 }
    .listenfd { stroke: #3fb950 } .waits { stroke: #d29922 } .queued { fill: #3a2d12; stroke: #d29922 }
    .arrow { stroke: #9198a1 } .tip { fill: #9198a1 }
  }`;

/** Draws a story. */
function svg(story, words) {
  const { rows } = story;
  const clients = [...story.clients.values()];
  const slots = Math.max(2, ...clients.map(({ slot = 0 }) => slot + 1));
  const right = LEFT + SERVER;
  const lanes = right + slots * SLOT + GAP;
  const width = lanes + Math.max(1, clients.length - 1) * LANE + TIME;
  const bottom = HEAD + Math.max(3, rows.length) * ROW + ROW / 2;
  const x = ({ n }) => n === 1 ? LEFT - GAP : lanes + (n - 2) * LANE;
  const y = ({ index }) => HEAD + index * ROW + ROW / 2;
  const parts = [
    rect("server", LEFT, HEAD, SERVER, bottom - HEAD),
    ...[24, bottom + 18].map((y) => text(LEFT + SERVER / 2, y, words.server, "head middle")),
    text(right + slots * SLOT / 2, 24, words.queue, "dim middle"),
  ];
  /** Arrows, which are drawn over what they cross. */
  const over = [];
  const bar = (kind, x, from, to, title) =>
    parts.push(
      `<line class="${kind}" x1="${x}" x2="${x}" y1="${y(from)}" y2="${to ? y(to) : bottom}">` +
        `<title>${escape(title)}</title></line>`,
    );
  const listen = rows.find(({ call }) => call === "listen");
  const unlisten = rows.find(({ who, call, args, exit }) =>
    who === "server" && (exit !== undefined || call === "close" && args === "listenfd")
  );
  if (listen) bar("listenfd", LEFT + 6, listen, unlisten, "listenfd");
  for (const client of clients) {
    const { n, entered, connected, accepted, closed, left, slot, who, fd } = client;
    for (const y of [24, bottom + 18]) {
      parts.push(text(x(client), y, words.client(n), "head middle"));
    }
    if (entered) bar("line", x(client), entered, left, words.client(n));
    if (connected) bar("fd", x(client), connected, left, "clientfd");
    if (accepted) bar("fd", LEFT + 6 + n * 8, accepted, closed, fd);
    for (const [kind, from, to] of spans(rows, who)) bar(kind, x(client), from, to, kind);
    if (!waited(client)) continue;
    const at = right + slot * SLOT + 6;
    const top = y(connected) + 4;
    const foot = accepted ? y(accepted) : bottom - 4;
    parts.push(`<g data-queued="${who}">`, rect("queued", at, top, SLOT - 12, foot - top));
    if (foot - top > 2 * ROW) {
      parts.push(text(at + 6, top + 16, words.client(n), ""));
      parts.push(text(at + 6, top + 34, words.since(connected.time.toFixed(1)), "dim"));
    }
    parts.push("</g>");
    for (const row of client.sent.filter((row) => inQueue(client, row))) {
      over.push(arrow(x(client), y(row), at + SLOT - 12, y(row) + ROW / 2, row.sent));
    }
  }
  const bars = LEFT + 16 + clients.length * 8;
  for (const row of rows) {
    const { who, client, index, time, did, exit } = row;
    const told = did ?? (exit !== undefined ? `exit ${exit}` : row.line);
    const kind = row.text === undefined ? "dim" : row.result === "= -1" ? "bad" : "";
    const [at, anchor] = who === "server"
      ? [bars, ""]
      : client.n === 1
      ? [x(client) - 10, "end"]
      : [x(client) + 10, ""];
    const room = who === "server" ? Math.floor((right - bars) / GLYPH) : client.n === 1 ? 21 : 28;
    const texts = row.text === undefined
      ? [told]
      : [`${row.text} ${row.peer ? "" : row.detail}`.trimEnd(), row.text, row.brief];
    const shown = texts.find((text) => text.length <= room) ??
      `${texts.at(-1).slice(0, room - 1)}…`;
    for (const { from, label } of row.arrows) {
      const other = who === "server" ? from.client : client;
      const edge = other.n === 1 ? LEFT : right;
      // What lay in the queue leaves it now.
      if (inQueue(other, from)) {
        over.push(arrow(right + other.slot * SLOT + 24, y(other.accepted), right + 2, y(row)));
      } else if (who === "server") over.push(arrow(x(other), y(from), edge, y(row), label));
      else over.push(arrow(edge, y(from), x(other), y(row), label));
    }
    parts.push(
      `<g data-index="${index}" data-who="${who}">${
        text(
          at,
          y(row) + 5,
          shown,
          `${kind} ${anchor}`,
          row.raw,
        )
      }</g>`,
      text(width - 6, y(row) + 5, `${time.toFixed(1)} s`, "dim end"),
    );
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${
    bottom + 28
  }" role="img" aria-label="${
    escape(words.picture)
  }"><style>${STYLE}</style><defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="9" markerHeight="9" orient="auto"><path class="tip" d="M0 0L8 4L0 8z"/></marker></defs>${
    rect("paper", 0, 0, width, bottom + 28)
  }${[...parts, ...over].join("\n")}</svg>`;
}

/** From when to when a client waits for its echo, and is stopped. */
function spans(rows, who) {
  const found = [];
  const open = {};
  const end = (kind, row) => {
    if (open[kind]) found.push([kind, open[kind], row]);
    delete open[kind];
  };
  for (const row of rows) {
    if (row.who !== who) continue;
    if (row.call === "rio_writen") open.waits ??= row;
    if (row.call === "rio_readlineb") end("waits", row);
    if (row.did === "SIGSTOP") open.stopped ??= row;
    if (row.did === "SIGCONT") end("stopped", row);
    if (row.call === "close" || row.did === "SIGKILL" || row.exit !== undefined) {
      end("waits", row);
      end("stopped", row);
    }
  }
  for (const kind of Object.keys(open)) end(kind);
  return found;
}

/** Whether a client had to queue, or still has to. */
function waited({ connected, accepted }) {
  return connected && (!accepted || accepted.index > connected.index + 1);
}

/** Whether what a client sent went into the queue, to lie there until accept. */
function inQueue(client, sent) {
  const { who, connected, accepted } = client;
  return sent.who === who && waited(client) && sent.index >= connected.index &&
    (!accepted || sent.index < accepted.index);
}

function rect(kind, x, y, width, height) {
  return `<rect class="${kind}" x="${x}" y="${y}" width="${width}" height="${height}"/>`;
}

function text(x, y, content, kind, title) {
  const about = title === undefined ? "" : `<title>${escape(title)}</title>`;
  return `<text class="${kind}" x="${x}" y="${y}">${escape(content)}${about}</text>`;
}

/** An arrow with its label above it, clear of the shaft. */
function arrow(x1, y1, x2, y2, label = "") {
  const rise = Math.abs((y2 - y1) / (x2 - x1 || 1)) * label.length * 4;
  return `<path class="arrow" d="M${x1} ${y1}L${x2} ${y2}"/>` +
    (label === ""
      ? ""
      : text((x1 + x2) / 2, (y1 + y2) / 2 - Math.min(rise, 30) - 4, label.slice(0, 16), "label"));
}

function escape(content) {
  return content.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}

/** What the last event means, in words. */
function caption(row, words) {
  const { who, call, result, bytes, did, client } = row;
  const n = client?.n;
  if (did === "SIGINT") return words.ended;
  if (did === "SIGSTOP") return words.stopped(n);
  if (did === "SIGCONT") return words.resumed(n);
  if (did === "SIGKILL") return words.killed(n);
  if (result === "= -1") return words.broken;
  if (call === "listen") return words.listen;
  if (call === "queue of listenfd") {
    const [count, verb] = result.split(" ");
    return words.queued(count, verb === "waits" ? "s" : "");
  }
  if (call === "accept") return n ? words.accepted(n, client.fd) : words.accepting;
  if (call === "connect") return words.connected(n);
  if (call === "rio_writen") {
    if (who === "server") return words.echoes(n);
    return client.accepted ? words.wrote(n) : words.lies(n);
  }
  if (call === "rio_readlineb") {
    if (bytes === 0) return words.eofRead;
    return who === "server" ? words.read(n) : words.echoed(n);
  }
  if (call === "shutdown" && who !== "server") return words.fin(n);
  if (call === "close" && who === "server" && client) return words.closed(client.fd);
  return undefined;
}

const at = (id) => document.getElementById(id);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

let story = new Story();
let lang = "en";
/** Whether events are shown one by one, by Step. */
let held = false;
/** Resolves a scene's wait for its next action. */
let turn;
/** Counts the scenes: one that isn't the last is over. */
let scenes = 0;
let playing = false;
/** What waits for an event to be shown. */
const waits = new Set();

async function act(action) {
  const response = await fetch("do", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(action),
  });
  at("error").textContent = response.ok ? "" : (await response.text()).trim();
  return response.ok;
}

function draw() {
  const words = TEXT[lang];
  document.documentElement.lang = lang;
  for (const element of document.querySelectorAll("[data-text]")) {
    element.textContent = words[element.dataset.text];
  }
  at("figure").innerHTML = svg(story, words);
  at("scroll").scrollTop = at("scroll").scrollHeight;
  at("descriptors").textContent = story.descriptors().join(", ") || "–";
  const last = story.rows.findLast((row) => caption(row, words));
  at("caption").textContent = last ? caption(last, words) : words.hint;
  const queue = story.queue().filter(({ killed, left }) => !killed && !left);
  at("queue").replaceChildren(...queue.map(({ who, n, connected }) => {
    const item = document.createElement("li");
    item.dataset.client = who;
    item.textContent = `${words.client(n)} · ${words.since(connected.time.toFixed(1))}`;
    return item;
  }));
  if (queue.length === 0) at("queue").textContent = words.nobody;
  for (const client of story.clients.values()) controls(client, words);
  for (const card of [...at("clients").children]) {
    if (!story.clients.has(card.dataset.client)) card.remove();
  }
}

/** The buttons of a client, made once: what is typed there stays. */
function controls({ who, n, left, killed, stopped }, words) {
  let card = at("clients").querySelector(`[data-client="${who}"]`);
  if (card === null) {
    card = document.createElement("fieldset");
    card.dataset.client = who;
    card.innerHTML = `<legend></legend><input type="text" maxlength="200" value="hello">` +
      ["send", "eof", "stop", "reset"].map((name) => `<button name="${name}"></button>`).join("");
    const input = card.querySelector("input");
    const send = () => act({ do: "type", client: n, line: input.value });
    input.addEventListener("keydown", (event) => {
      if (event.key === "Enter") send();
      if (event.key === "d" && event.ctrlKey) {
        event.preventDefault();
        act({ do: "eof", client: n });
      }
    });
    card.addEventListener("click", ({ target }) => {
      if (target.name === "send") send();
      if (target.name === "eof" || target.name === "reset") act({ do: target.name, client: n });
      if (target.name === "stop") {
        act({ do: card.classList.contains("stopped") ? "go" : "stop", client: n });
      }
    });
    at("clients").append(card);
  }
  card.classList.toggle("stopped", stopped !== undefined);
  card.disabled = left !== undefined || killed !== undefined;
  card.querySelector("legend").textContent = words.client(n);
  card.querySelector("input").setAttribute("aria-label", words.client(n));
  for (const button of card.querySelectorAll("button")) {
    button.textContent = words[button.name === "stop" && stopped ? "go" : button.name];
  }
}

/** Shows an event, if one is there. */
function show() {
  const row = story.next();
  if (row === undefined) return false;
  draw();
  for (const wait of waits) wait(row);
  return true;
}

/** Shows events at the pace that is set, or leaves them to Step. */
async function follow() {
  for (;;) {
    if (!held && show()) await sleep(Number(at("pace").value));
    else await sleep(20);
  }
}

/** Plays both scenes; stops when something else is begun. */
async function play() {
  const scene = ++scenes;
  const over = new Error("another scene has begun");
  /** Does something, and waits until it has led to an event. */
  const then = async (action, who, pattern) => {
    const pause = Promise.withResolvers();
    turn = pause.resolve;
    if (!held) setTimeout(pause.resolve, Number(at("pace").value) * 3);
    await pause.promise;
    turn = undefined;
    if (scene !== scenes) throw over;
    const seen = Promise.withResolvers();
    seen.promise.catch(() => {}); // it may be over before anybody waits
    const wait = (row) => {
      if (scene !== scenes) seen.reject(over);
      else if (row.who === who && pattern.test(row.text)) seen.resolve();
    };
    waits.add(wait);
    try {
      if (!await act(action)) throw over;
      await seen.promise;
    } finally {
      waits.delete(wait);
    }
  };
  playing = true;
  try {
    for (const concurrency of [1, 2]) {
      const one = concurrency === 1;
      at("concurrency").value = concurrency;
      await then({ do: "server", concurrency }, "server", /^accept.*waiting/);
      await then({ do: "client" }, "server", one ? /^accept.* = / : /^accept.*waiting/);
      await then({ do: "type", client: 1, line: "hello" }, "client 1", /^rio_readlineb/);
      await then({ do: "client" }, "server", one ? /^queue/ : /^accept.* = /);
      await then(
        { do: "type", client: 2, line: "hi" },
        "client 2",
        one ? /^rio_writen/ : /^rio_readlineb/,
      );
      await then(
        { do: "eof", client: 1 },
        ...one ? ["client 2", /^rio_readlineb/] : ["server", /^close/],
      );
      await then({ do: "eof", client: 2 }, "server", /^close\(connfd 2/);
    }
  } catch (error) {
    if (error !== over) throw error;
  } finally {
    if (scene === scenes) playing = false;
  }
}

function step() {
  held = true;
  if (show()) return;
  if (turn !== undefined) turn();
  else if (!playing && !story.pending) play();
}

function playOn() {
  held = false;
  if (!playing) play();
  else turn?.();
}

function start() {
  scenes++;
  playing = held = false;
  for (const wait of waits) wait({});
  act({
    do: "server",
    concurrency: Number(at("concurrency").value),
    backlog: Number(at("backlog").value),
  });
}

at("start").onclick = start;
at("end").onclick = () => act({ do: "end" });
at("add").onclick = () => act({ do: "client" });
at("play").onclick = playOn;
at("step").onclick = step;
at("lang").onchange = () => {
  lang = at("lang").value;
  draw();
};
at("save").onclick = () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([svg(story, TEXT[lang])], { type: "image/svg+xml" }));
  link.download = "lecture.svg";
  link.click();
  URL.revokeObjectURL(link.href);
};
document.addEventListener("keydown", (event) => {
  const { type, tagName } = event.target;
  if (type === "text" || tagName === "SELECT" || event.ctrlKey || event.metaKey || event.altKey) {
    return;
  }
  if (type === "range" && event.key === "ArrowRight") return;
  const keys = { s: start, c: at("add").onclick, p: playOn, ArrowRight: step };
  keys[event.key]?.();
});

const events = new EventSource("events");
events.onmessage = ({ data }) => {
  const event = JSON.parse(data);
  if (event.begin) {
    story = new Story();
    draw();
  } else story.push({ ...event, raw: event.line });
};
if (navigator.language.startsWith("ko")) at("lang").value = lang = "ko";
draw();
follow();
