// What the API's answers must look like to be believed. Anything else throws, and counts as no answer.

import { STATES } from "./words.js";

function must(condition, what) {
  if (!condition) throw new TypeError(`not an answer of the API: ${what}`);
}

const text = (value) => (must(typeof value === "string", "text"), value);
const number = (value) => (must(value === null || Number.isFinite(value), "number"), value);
const each = (value, read) => (must(Array.isArray(value), "list"), value.map(read));
const state = (value) => (must(Object.hasOwn(STATES, value), "state"), value);

function time(value) {
  const found = Date.parse(value);
  must(Number.isFinite(found), "time");
  return found;
}

export const status = (body) => ({
  phase: text(body.phase),
  about: [body.stack, body.environment, body.engine, `version ${text(body.version)}`].filter(Boolean).map(text),
  stack: text(body.stack ?? ""),
  time: time(body.time),
  components: each(body.components, (component) => ({
    name: text(component.name),
    state: state(component.status),
    since: time(component.since),
    looked: component.time === undefined ? null : time(body.time) - number(component.age) * 1000,
    latency: number(component.observedValue ?? null),
    critical: component.critical === true,
    reason: text(component.output ?? ""),
    settled: (component.consecutiveFailures > 0) === (component.status === "fail"),
  })),
});

export const history = (body) => ({
  stale: body.stale === true,
  start: time(body.start),
  now: time(body.now),
  percent: number(body.uptime?.percent),
  samples: number(body.uptime?.samples),
  definition: text(body.uptime?.definition),
  p50: number(body.p50_ms),
  p95: number(body.p95_ms),
  buckets: each(body.buckets, (bucket) => ({
    start: time(bucket.start),
    end: time(bucket.end),
    state: state(bucket.state),
    samples: number(bucket.samples),
    failed: number(bucket.failed),
    p50: number(bucket.p50_ms),
    p95: number(bucket.p95_ms),
  })),
});

export const incidents = (body) => ({
  stale: body.stale === true,
  more: Boolean(body.next),
  list: each(body.incidents, (incident) => ({
    id: number(incident.id),
    component: text(incident.component),
    state: state(incident.state),
    code: text(incident.code),
    start: time(incident.started_at),
    end: incident.ended_at === null ? null : time(incident.ended_at),
    duration: number(incident.duration_s) * 1000,
    note: text(incident.note),
  })),
});
