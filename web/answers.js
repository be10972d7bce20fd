// What the API's answers must look like to be believed: anything else counts as no answer.

import { STATES } from "./write.js";

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
  uptime: { samples: number, definition: text },
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
