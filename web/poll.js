// One thing a time; not while the page is hidden, and ever more rarely without answers. And what an answer must look
// like to be believed: anything else counts as none.

import { STATES } from "./write.js";

const ANSWER_WITHIN = 4_000;
const LONGEST_PAUSE = 30_000;
const api = document.documentElement.dataset.api;

// answered(body, path) gets null when the last answer still holds, and throws when it does not believe it.
export function poll({ path, pause, answered, failed }) {
  const tags = {};
  const self = { ask };
  let failures = 0;
  let timer, asking;

  async function request(wanted, signal) {
    const headers = tags[wanted] ? { "If-None-Match": tags[wanted] } : {};
    const response = await fetch(api + wanted, { headers, signal, cache: "no-store" });
    if (response.status === 304) return null;
    if (!response.ok) throw new Error(`status ${response.status}`);
    const body = await response.json();
    tags[wanted] = response.headers.get("ETag");
    return body;
  }

  async function ask() {
    clearTimeout(timer);
    asking?.abort();
    asking = null;
    if (document.hidden) return;
    const mine = (asking = new AbortController());
    const wanted = path();
    try {
      const body = await request(wanted, AbortSignal.any([mine.signal, AbortSignal.timeout(ANSWER_WITHIN)]));
      if (asking !== mine) return; // another one was sent in its place
      answered(body, wanted);
      failures = 0;
    } catch {
      if (asking !== mine) return;
      failures += 1;
      tags[wanted] = null;
      failed(wanted);
    }
    const wait = failures ? Math.min(LONGEST_PAUSE, 1_000 * 2 ** failures) * (0.5 + Math.random() / 2) : pause();
    self.next = performance.now() + wait;
    timer = setTimeout(ask, wait);
  }

  document.addEventListener("visibilitychange", ask);
  addEventListener("online", ask);
  return self;
}

const text = (value) => typeof value === "string";
const number = Number.isFinite;
const figure = (value) => value === null || number(value);
const time = (value) => text(value) && number(Date.parse(value));
const ended = (value) => value === null || time(value);
const state = (value) => text(value) && Object.hasOwn(STATES, value);

export const STATUS = { time, phase: text, version: text, components: [{ name: text, status: state, since: time }] };

export const HISTORY = {
  start: time,
  now: time,
  uptime: { samples: number, failed: number, definition: text },
  p95_ms: figure,
  buckets: [{ start: time, end: time, state, samples: number, p50_ms: figure, p95_ms: figure }],
};

export const INCIDENTS = {
  incidents: [{ component: text, state, code: text, started_at: time, ended_at: ended }],
};

function fits(value, shape) {
  if (typeof shape === "function") return shape(value);
  if (Array.isArray(shape)) return Array.isArray(value) && value.every((one) => fits(one, shape[0]));
  return Object.keys(shape).every((key) => fits(value?.[key], shape[key]));
}

export function believe(value, shape) {
  if (!fits(value, shape)) throw new TypeError("not an answer of the API");
  return value;
}
