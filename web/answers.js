// What the API's answers must look like to be believed: anything else counts as no answer.

import { STATES } from "./words.js";

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
  uptime: { percent: figure, samples: number, definition: text },
  p50_ms: figure,
  p95_ms: figure,
  buckets: [{ start: time, end: time, state, samples: number, failed: number, p50_ms: figure, p95_ms: figure }],
};

export const INCIDENTS = {
  incidents: [{ id: number, component: text, state, code: text, note: text, started_at: time, ended_at: ended, duration_s: number }],
};

export function believe(value, shape, name = "answer") {
  if (Array.isArray(shape) && Array.isArray(value)) {
    for (const one of value) believe(one, shape[0], name);
  } else if (typeof shape === "object" && !Array.isArray(shape)) {
    for (const key of Object.keys(shape)) believe(value?.[key], shape[key], key);
  } else if (typeof shape !== "function" || !shape(value)) {
    throw new TypeError(`the API answered with a wrong ${name}`);
  }
  return value;
}
