// What is true now: a sentence, a row for each component, title and icon. What nobody has said lately is unknown.

import { believe, STATUS } from "./answers.js";
import { fill, h, time } from "./dom.js";
import { STATES, clock, day, latency, listed, minute, moment, nameOf, span } from "./words.js";

const BELIEVED_FOR = 10_000;
const GAP_SHOWN_FOR = 600_000;
const WORST_FIRST = ["fail", "unknown", "warn", "pass"];
const ICONS = {
  pass: ["2e8555", "M8 2a6 6 0 100 12A6 6 0 008 2z"],
  warn: ["c27c00", "M8 1l7 13H1z"],
  fail: ["d13b30", "M2 2h12v12H2z"],
  unknown: ["808389", "M8 1a7 7 0 100 14A7 7 0 008 1zm0 3a4 4 0 110 8 4 4 0 010-8z"],
};

const section = document.getElementById("now");
let last; // the answer that was understood last
let heard; // when it, or the news that it still holds, came: here, and by the server's clock
let silent; // since when there is none
let gap; // the last time without answers, by the server's clock
let spoken;

// A suspended machine may stop the one clock, and somebody may set the other: of both, the one that went further.
const mark = (server) => ({ steady: performance.now(), wall: Date.now(), server });
const since = (then) => Math.max(performance.now() - then.steady, Date.now() - then.wall);

// The time by the server's clock, whatever this machine's says.
export const serverTime = () => heard.server + since(heard);

export const isKnown = () => Boolean(last && !silent && since(heard) <= BELIEVED_FOR);

// Whether each component's last look agrees with what is held true of it: else there is news soon.
export const isSettled = () => last.components.every((each) => each.consecutiveFailures > 0 === (each.status === "fail"));

export function hear(body) {
  const server = body ? Date.parse(believe(body, STATUS).time) : serverTime();
  if (heard && since(heard) > BELIEVED_FOR) gap = { from: heard.server, to: server };
  heard = mark(server);
  silent = null;
  last = body ?? last;
}

export function hearNothing() {
  silent ??= heard ?? mark();
}

const troubled = () => last.components
  .filter(({ status }) => status !== "pass")
  .sort((one, other) => WORST_FIRST.indexOf(one.status) - WORST_FIRST.indexOf(other.status));

const lasted = (component) => span(serverTime() - Date.parse(component.since));

function sentence() {
  if (silent) return `Unknown: no answer from the API for ${span(since(silent))}`;
  if (!last) return "Unknown: no answer from the API yet";
  if (!isKnown()) return `Unknown: the last answer is ${span(since(heard))} old`;
  const bad = troubled();
  if (last.components.length === 0) return "Unknown: there are no components";
  if (bad.length > 3) return `${bad.length} of ${last.components.length} components are not operational`;
  const words = bad.map((each) => `${nameOf(each.name)} ${STATES[each.status].toLowerCase()} for ${lasted(each)}`);
  return words.join(", ") || "All systems operational";
}

function consequence() {
  if (!isKnown()) return null;
  if (last.phase !== "ready") return `The service is ${last.phase}.`;
  const bad = troubled();
  const needed = bad.filter(({ critical, status }) => critical && status !== "warn");
  const well = last.components.filter(({ status }) => status === "pass");
  if (bad.length === 0) return null;
  const works = needed.length ? `The service cannot do its work without the ${listed(needed).toLowerCase()}.` : "The service works without it, slower.";
  return `${works}${well.length ? ` Still operational: ${listed(well)}.` : ""}`;
}

function age(next) {
  const looks = last.components.filter((each) => each.age).map((each) => Date.parse(last.time) - each.age * 1000);
  const as = Math.min(heard.server, ...looks);
  const again = silent ? ` · asking again in ${span(next)}` : "";
  return h("p", { class: "age" }, "As of ", time(as, clock(as)), ` · ${span(serverTime() - as)} ago${again}`);
}

function row(component) {
  const known = isKnown();
  const state = known ? component.status : "unknown";
  const word = STATES[component.status];
  const why = known && state !== "pass" && component.output;
  const today = day(component.since) === day(serverTime());
  return h("li", { class: state },
    h("b", null, nameOf(component.name)),
    h("span", { class: "state" }, h("span", { class: "shape" }), known ? word : `Unknown, was ${word.toLowerCase()}`,
      why ? h("span", { class: "quiet" }, ` ${why.replaceAll("_", " ")}`) : null),
    h("span", { class: "quiet since" }, "since ", time(component.since, (today ? minute : moment)(component.since)), known ? `, ${lasted(component)}` : ""),
    h("span", { class: "quiet latency" }, known ? latency(component.observedValue) : ""));
}

function missed() {
  if (!gap || serverTime() - gap.to > GAP_SHOWN_FOR) return null;
  return h("p", { class: "notice" }, `This page heard nothing from ${clock(gap.from)} to ${clock(gap.to)}.`);
}

function announce(state, text) {
  const [colour, path] = ICONS[document.hidden ? "unknown" : state];
  const drawing = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path fill="#${colour}" d="${path}"/></svg>`;
  const title = document.hidden ? "Paused" : state === "pass" ? "Operational" : text;
  document.querySelector("link[rel=icon]").href = `data:image/svg+xml,${encodeURIComponent(drawing)}`;
  document.title = [title, last?.stack].filter(Boolean).join(" · ");
  const changed = [state, last?.components.map(({ status }) => status)].join(); // not the seconds that pass
  if (spoken && spoken !== changed) document.getElementById("changes").textContent = text;
  spoken = changed;
}

// next: milliseconds until the API is asked again
export function show(next) {
  const text = sentence();
  const state = isKnown() ? (last.components.length ? (troubled()[0]?.status ?? "pass") : "unknown") : "unknown";
  const title = h("h1", { id: "summary", class: state }, h("span", { class: "shape" }), text);
  const lede = last && consequence();
  announce(state, text);
  section.classList.toggle("last", !last); // then the rows are those that the page came with
  if (!last) return section.querySelector("h1").replaceWith(title);
  const about = [last.stack, last.environment, last.engine, `version ${last.version}`];
  fill(section, [
    h("p", { class: "quiet" }, about.filter(Boolean).join(" · ")),
    title,
    lede && h("p", { class: "lede" }, lede),
    age(next),
    missed(),
    h("ul", { class: "components" }, last.components.map(row)),
  ]);
}
