// Polls with one request at a time: not while the page is hidden, and with a growing interval while there are no answers.
// And the shape of a valid answer: any other answer is an error.

const STATES = ["pass", "warn", "fail", "unknown", "no_data"];

const TIMEOUT = 4_000;
const MAX_PAUSE = 30_000;
const api = document.documentElement.dataset.api;

// answered(body, path) receives null if the last answer is still valid, and throws if the answer is invalid.
export function poll({ path, pause, answered, failed }) {
  const tags = {};
  const self = { ask };
  let failures = 0;
  let timer, asking;

  async function request(url, signal) {
    const headers = tags[url] ? { "If-None-Match": tags[url] } : {};
    const response = await fetch(api + url, { headers, signal, cache: "no-store" });
    if (response.status === 304) return null;
    if (!response.ok) throw new Error(`status ${response.status}`);
    const body = await response.json();
    tags[url] = response.headers.get("ETag");
    return body;
  }

  async function ask() {
    clearTimeout(timer);
    asking?.abort();
    asking = null;
    if (document.hidden) return;
    const mine = (asking = new AbortController());
    const url = path();
    try {
      const body = await request(url, AbortSignal.any([mine.signal, AbortSignal.timeout(TIMEOUT)]));
      if (asking !== mine) return; // superseded by another request
      answered(body, url);
      failures = 0;
    } catch {
      if (asking !== mine) return;
      failures += 1;
      tags[url] = null;
      failed(url);
    }
    const wait = failures ? Math.min(MAX_PAUSE, 1_000 * 2 ** failures) * (0.5 + Math.random() / 2) : pause();
    self.next = performance.now() + wait;
    timer = setTimeout(ask, wait);
  }

  document.addEventListener("visibilitychange", ask);
  addEventListener("online", ask);
  return self;
}

const text = (value) => typeof value === "string";
const number = Number.isFinite;
const optionalNumber = (value) => value === null || number(value);
const time = (value) => text(value) && number(Date.parse(value));
const ended = (value) => value === null || time(value);
const state = (value) => STATES.includes(value);
const texts = (value) => fits(Object.values(value ?? {}), [text]);

const DISPLAY = { state, summary: text, headlines: [{ name: text, text }], consequence: text, states: texts, names: texts };
const display = (value) => value === undefined || fits(value, DISPLAY);

export const STATUS = { time, phase: text, version: text, display, components: [{ name: text, status: state, since: time }] };

export const HISTORY = {
  start: time,
  now: time,
  uptime: { samples: number, failed: number, definition: text },
  p95_ms: optionalNumber,
  buckets: [{ start: time, end: time, state, samples: number, p50_ms: optionalNumber, p95_ms: optionalNumber }],
};

export const INCIDENTS = {
  incidents: [{ component: text, state, code: text, started_at: time, ended_at: ended }],
};

function fits(value, shape) {
  if (typeof shape === "function") return shape(value);
  if (Array.isArray(shape)) return Array.isArray(value) && value.every((one) => fits(one, shape[0]));
  return Object.keys(shape).every((key) => fits(value?.[key], shape[key]));
}

export function validate(value, shape) {
  if (!fits(value, shape)) throw new TypeError("not a valid answer of the API");
  return value;
}
