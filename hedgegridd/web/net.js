// Talks to the daemon: reads, commands with one idempotency key each, and the live stream with resume.

const READ_MS = 4_000;
const COMMAND_MS = 330_000; // a flatten may be given 300 s; it answers by its own deadline

/** An answer that is a problem (`status`, `title`, `detail`, `field`, `accepted`), or none at all (`status` 0). */
export class Refused extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `HTTP ${status}`);
    this.status = status;
    this.body = body;
  }
}

async function exchange(path, options, limitMs) {
  let response;
  let body;
  try {
    response = await fetch(path, { ...options, signal: AbortSignal.timeout(limitMs), credentials: "same-origin", redirect: "error" });
    const text = await response.text();
    body = text ? JSON.parse(text) : {};
  } catch (error) {
    const why = error.name === "TimeoutError" ? `no answer within ${limitMs / 1000} s` : "the daemon cannot be reached";
    throw new Refused(0, { title: "no answer", detail: why });
  }
  if (response.status >= 400) throw new Refused(response.status, body);
  return { status: response.status, body };
}

/** The body of a read. Throws Refused. */
export async function read(path) {
  return (await exchange(path, { headers: { Accept: "application/json" }, cache: "no-store" }, READ_MS)).body;
}

/** A key for one intention: the same dialog sent twice is done once. */
export function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Send a command; `{status, body}`. Throws Refused. */
export async function send(path, fields, key) {
  const headers = { "Content-Type": "application/json", "X-Requested-With": "hedgegridd-page" };
  if (key) headers["Idempotency-Key"] = key;
  return exchange(path, { method: "POST", headers, body: JSON.stringify(fields) }, COMMAND_MS);
}

const AGAIN_MS = [500, 1_000, 2_000, 4_000];

/**
 * The live stream. It reads by `fetch`, which tells why a stream was refused and sends `Last-Event-ID` itself.
 * `heard(event, data)` gets every event; `ended(why)` each loss. It is closed while the tab is hidden.
 */
export class Stream {
  constructor(heard, ended) {
    this.heard = heard;
    this.ended = ended;
    this.last = null; // id of the newest event seen
    this.open = false;
    this.abort = null;
    this.tries = 0;
    this.timer = null;
  }

  start() {
    if (this.abort !== null || this.timer !== null) return;
    this.abort = new AbortController();
    this.read(this.abort).catch((error) => this.lost(error));
  }

  stop() {
    clearTimeout(this.timer);
    this.timer = null;
    const abort = this.abort;
    this.abort = null;
    this.open = false;
    if (abort !== null) abort.abort();
  }

  lost(error) {
    if (this.abort === null) return; // closed by us
    this.abort = null;
    this.open = false;
    const wait = AGAIN_MS[Math.min(this.tries, AGAIN_MS.length - 1)];
    this.tries += 1;
    this.timer = setTimeout(() => { this.timer = null; this.start(); }, wait);
    this.ended(error);
  }

  async read(abort) {
    const headers = { Accept: "text/event-stream" };
    if (this.last !== null) headers["Last-Event-ID"] = this.last;
    const response = await fetch("/stream", { headers, signal: abort.signal, cache: "no-store", credentials: "same-origin" });
    if (!response.ok) throw new Refused(response.status, await response.json().catch(() => ({})));
    this.open = true;
    this.tries = 0;
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) throw new Refused(0, { detail: "the stream has ended" });
      const frames = (rest + value).split("\n\n");
      rest = frames.pop();
      frames.forEach((frame) => this.take(frame));
    }
  }

  take(frame) {
    let event = "message";
    const data = [];
    for (const line of frame.split("\n")) {
      if (line.startsWith("id:")) this.last = line.slice(3).trim();
      else if (line.startsWith("event:")) event = line.slice(6).trim();
      else if (line.startsWith("data:")) data.push(line.slice(5));
    }
    if (data.length) this.heard(event, JSON.parse(data.join("\n")));
  }
}
