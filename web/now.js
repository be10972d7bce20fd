// What is true now: a sentence, a row for each component, the title and the icon. What nobody has said lately is unknown.

import { fill, h, time } from "./dom.js";
import { STATES, clock, latency, listed, moment, nameOf, reason, span } from "./words.js";

const BELIEVED_FOR = 10_000;
const GAP_SHOWN_FOR = 600_000;
const ORDER = ["pass", "warn", "unknown", "fail"];
const COLOURS = { pass: "#2e8555", warn: "#c27c00", fail: "#d13b30", unknown: "#808389" };
const OUTLINES = {
  pass: '<circle cx="8" cy="8" r="6" fill="COLOUR"/>',
  warn: '<path d="M8 1l7 13H1z" fill="COLOUR"/>',
  fail: '<path d="M2 2h12v12H2z" fill="COLOUR"/>',
  unknown: '<circle cx="8" cy="8" r="5" fill="none" stroke="COLOUR" stroke-width="3"/>',
};

const section = document.getElementById("now");
const icon = document.querySelector("link[rel=icon]");

let last = null; // the last answer that was understood
let heard = null; // when it, or the news that it still holds, came: here, and by the server's clock
let silent = null; // since when there is none
let gap = null; // the last time without answers, by the server's clock
let spoken = null;

// A suspended machine may stop the one clock, and somebody may set the other: of both, the one that went further.
const mark = () => ({ steady: performance.now(), wall: Date.now() });
const since = (then) => Math.max(performance.now() - then.steady, Date.now() - then.wall);

/** The time by the server's clock, whatever this machine's says. */
export const serverTime = () => heard.server + since(heard);

/** Takes an answer, or null for "as before". */
export function heardFrom(answer) {
  const server = answer ? answer.time : serverTime();
  if (heard && since(heard) > BELIEVED_FOR) gap = { from: heard.server, to: server };
  heard = { ...mark(), server };
  silent = null;
  last = answer ?? last;
}

/** Takes note that there was no answer. */
export function heardNothing() {
  silent ??= heard ?? mark();
}

/** Whether each component's last look agrees with what is held true of it: else news is near. */
export const settled = () => last?.components.every((component) => component.settled) ?? true;

export const components = () => last?.components.map((component) => component.name) ?? [];

export const isKnown = () => last !== null && silent === null && since(heard) <= BELIEVED_FOR;

const worst = (states) => states.reduce((one, other) => (ORDER.indexOf(other) > ORDER.indexOf(one) ? other : one), "pass");

function unknownFor() {
  if (silent) return `Unknown: no answer from the API for ${span(since(silent))}`;
  return last ? `Unknown: the last answer is ${span(since(heard))} old` : "Unknown: no answer from the API yet";
}

function troubled() {
  return last.components
    .filter((component) => component.state !== "pass")
    .sort((one, other) => ORDER.indexOf(other.state) - ORDER.indexOf(one.state) || one.since - other.since);
}

function sentence() {
  const bad = troubled();
  if (last.components.length === 0) return "Unknown: there are no components";
  if (bad.length === 0) return "All systems operational";
  if (bad.length > 3) return `${bad.length} of ${last.components.length} components are not operational`;
  return bad
    .map((each) => `${nameOf(each.name)} ${STATES[each.state].toLowerCase()} for ${span(serverTime() - each.since)}`)
    .join(", ");
}

function consequences() {
  const bad = troubled();
  if (last.phase !== "ready") return `The service is ${last.phase}.`;
  if (bad.length === 0) return null;
  const needed = bad.filter((each) => each.critical && each.state !== "warn").map((each) => nameOf(each.name));
  const well = last.components.filter((each) => each.state === "pass").map((each) => nameOf(each.name));
  const works = needed.length ? `The service cannot do its work without ${listed(needed)}.` : "The service works on.";
  return well.length ? `${works} Still operational: ${listed(well)}.` : works;
}

function row(component, known) {
  const state = known ? component.state : "unknown";
  const word = known ? STATES[state] : `Unknown, was ${STATES[component.state].toLowerCase()}`;
  const why = known && state !== "pass" && component.reason ? `: ${reason(component.reason)}` : "";
  const steady = known ? ` (${span(serverTime() - component.since)})` : "";
  return h("li", { class: state },
    h("b", null, nameOf(component.name)),
    h("span", { class: "state" }, h("span", { class: "shape" }), word, h("span", { class: "why" }, why)),
    h("span", { class: "since" }, "since ", time(component.since, moment(component.since)), steady),
    h("span", { class: "latency" }, known ? latency(component.latency) : ""));
}

function age(next) {
  const again = silent ? ` · asking again in ${span(next)}` : "";
  const looks = last.components.map((component) => component.looked).filter((looked) => looked !== null);
  const as = Math.min(heard.server, ...looks);
  return h("p", { class: "age" }, "As of ", time(as, clock(as)), ` · ${span(serverTime() - as)} ago${again}`);
}

function gapSeen() {
  if (!gap || serverTime() - gap.to > GAP_SHOWN_FOR) return null;
  return h("p", { class: "notice" }, `This page heard nothing from ${clock(gap.from)} to ${clock(gap.to)} (${span(gap.to - gap.from)}).`);
}

function say(text, state) {
  const place = last?.stack ? ` · ${last.stack}` : "";
  const title = document.hidden ? `Paused${place}` : `${text}${place}`;
  if (document.title !== title) document.title = title;
  const drawing = OUTLINES[document.hidden ? "unknown" : state].replace("COLOUR", COLOURS[document.hidden ? "unknown" : state]);
  const href = `data:image/svg+xml,${encodeURIComponent(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">${drawing}</svg>`)}`;
  if (icon.href !== href) icon.href = href;
  document.documentElement.dataset.state = state;
}

/** Shows it. `next`: milliseconds until the API is asked again. */
export function show(next) {
  const known = isKnown();
  const state = known && last.components.length ? worst(last.components.map((component) => component.state)) : "unknown";
  const text = known ? sentence() : unknownFor();
  say(known && state === "pass" ? "Operational" : text, state);
  speak(state, text);
  const title = h("h1", { id: "summary", class: state }, h("span", { class: "shape" }), text);
  if (!last) { // the rows are those that the page came with
    section.classList.add("last");
    section.querySelector("h1").replaceWith(title);
    return;
  }
  section.classList.remove("last");
  const lede = known ? consequences() : null;
  fill(section, [
    h("p", { class: "about" }, last.about.join(" · ")),
    title,
    h("p", { class: "lede", hidden: lede === null }, lede),
    age(next),
    gapSeen() ?? h("p", { hidden: true }),
    h("ul", { class: "components" }, last.components.map((component) => row(component, known))),
  ]);
}

/** Has a change read aloud; not the seconds that pass. */
function speak(state, text) {
  const key = state + (last?.components.map((component) => component.name + component.state) ?? "");
  if (spoken !== null && spoken !== key) document.getElementById("changes").textContent = text;
  spoken = key;
}
