// The current status: summary, rows, title and icon. A status that was not confirmed recently is unknown.

import { STATUS, validate } from "./poll.js";
import { clock, duration, fill, h, latency, moment, time } from "./format.js";

const VALID_FOR = 10_000;
const ICONS = { pass: ["#2e8555", "●"], warn: ["#c27c00", "▲"], fail: ["#d13b30", "■"], unknown: ["#808389", "○"] };

const section = document.getElementById("now");
let last; // the last answer
let received = mark(); // when it arrived or was confirmed
let failed = false;
let gap = null; // the last period without answers

// A sleeping machine may stop one clock, and a user may set the other: the larger difference counts.
function mark(server) {
  return { steady: performance.now(), wall: Date.now(), server };
}
const since = ({ steady, wall }) => Math.max(performance.now() - steady, Date.now() - wall);

// By the clock of the server, whatever the clock of this machine shows.
export const serverTime = () => received.server + since(received);
export const isKnown = () => Boolean(last && !failed && since(received) <= VALID_FOR);
// Whether the last check of each component agrees with its status; otherwise a change is likely soon.
export const isStable = () => last.components.every((each) => each.consecutiveFailures > 0 === (each.status === "fail"));

// The words of the API. An API of an earlier release sends none.
const display = () => last?.display ?? {
  state: last?.phase === "ready" ? last.status : "warn", summary: `Status: ${last?.status}`, headlines: [], states: {}, names: {},
};
export const stateText = (state) => display().states[state] ?? state;
export const nameOf = (component) => (Object.hasOwn(display().names, component) ? display().names[component] : component);

// body: null if the last answer is still valid.
export function update(body) {
  const server = body ? Date.parse(validate(body, STATUS).time) : serverTime();
  if (last && since(received) > VALID_FOR) gap = { from: received.server, to: server };
  received = mark(server);
  failed = false;
  last = body ?? last;
}

export function markFailed() {
  failed = true;
}

function headline({ name, text }) {
  const component = last.components.find((each) => each.name === name);
  return component ? `${text} for ${duration(serverTime() - Date.parse(component.since))}` : text;
}

function summary() {
  if (!isKnown()) return `Unknown: no answer from the API for ${duration(since(received))}`;
  return display().headlines.map(headline).join(", ") || display().summary;
}

function age(next) {
  const checks = last.components.filter((each) => each.age).map((each) => Date.parse(last.time) - each.age * 1000);
  const as = Math.min(received.server, ...checks);
  const retry = failed ? ` · retrying ${next > 500 ? `in ${duration(next)}` : "now"}` : "";
  return h("p", { class: "quiet" }, "As of ", time(as, clock(as)), ` · ${duration(serverTime() - as)} ago${retry}`);
}

function row({ name, status, since: start, output, observedValue }) {
  const known = isKnown();
  const reason = status !== "pass" && output ? `: ${output.replaceAll("_", " ")}` : "";
  const text = known ? stateText(status) + reason : `Unknown, was ${stateText(status).toLowerCase()}`;
  return h("li", { class: known ? status : "unknown" },
    h("b", null, nameOf(name)),
    h("span", { class: "state" }, h("span", { class: "shape" }), text),
    h("span", { class: "quiet since" }, "since ", time(start, moment(start))),
    h("span", { class: "quiet latency" }, known && status !== "fail" ? latency(observedValue) : ""));
}

function missed() {
  return gap && h("p", { class: "quiet" }, `This page received no data from ${clock(gap.from)} to ${clock(gap.to)}.`);
}

function announce(state) {
  const news = isKnown() ? display().summary : "Unknown";
  const [colour, shape] = ICONS[document.hidden ? "unknown" : state];
  const drawing = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><text y="14" fill="${colour}">${shape}</text></svg>`;
  document.querySelector("link[rel=icon]").href = `data:image/svg+xml,${encodeURIComponent(drawing)}`;
  document.title = [document.hidden ? "Paused" : news, last?.stack].filter(Boolean).join(" · ");
  fill(document.getElementById("changes"), [h("span", null, news)]); // for screen readers
}

export function show(next) {
  const state = isKnown() ? display().state : "unknown";
  const title = h("h1", { class: state }, h("span", { class: "shape" }), summary());
  announce(state);
  section.classList.toggle("last", !last); // until the first answer, the rows are those of the document
  if (!last) return section.querySelector("h1").replaceWith(title);
  const about = [last.stack, last.environment, last.engine, `version ${last.version}`];
  const consequence = isKnown() && display().consequence;
  fill(section, [
    h("p", { class: "quiet" }, about.filter(Boolean).join(" · ")),
    title,
    consequence && h("p", { class: "lede" }, consequence),
    age(next),
    missed(),
    h("ul", { class: "components" }, last.components.map(row)),
  ]);
}
