// What is true now: sentence, rows, title and icon. What was not said lately is unknown.

import { believe, STATUS } from "./poll.js";
import { STATES, clock, fill, h, latency, moment, nameOf, span, time } from "./write.js";

const BELIEVED_FOR = 10_000;
const ICONS = { pass: ["#2e8555", "●"], warn: ["#c27c00", "▲"], fail: ["#d13b30", "■"], unknown: ["#808389", "○"] };

const section = document.getElementById("now");
let last; // the last answer
let heard = mark(); // when it came or was confirmed
let silent = false;
let gap = null; // the last time without answers

// Sleep may stop the one clock, and somebody may set the other: the one that went further counts.
function mark(server) {
  return { steady: performance.now(), wall: Date.now(), server };
}
const since = ({ steady, wall }) => Math.max(performance.now() - steady, Date.now() - wall);

// By the server's clock, whatever this machine's says.
export const serverTime = () => heard.server + since(heard);
export const isKnown = () => Boolean(last && !silent && since(heard) <= BELIEVED_FOR);
// Whether the last look at each agrees with what is held true of it: else there is news soon.
export const isSettled = () => last.components.every((each) => each.consecutiveFailures > 0 === (each.status === "fail"));

// body: null when the last answer still holds.
export function hear(body) {
  const server = body ? Date.parse(believe(body, STATUS).time) : serverTime();
  if (last && since(heard) > BELIEVED_FOR) gap = { from: heard.server, to: server };
  heard = mark(server);
  silent = false;
  last = body ?? last;
}

export function hearNothing() {
  silent = true;
}

const named = ({ name, status }) => `${nameOf(name)} ${STATES[status].toLowerCase()}`;
const lasted = (component) => span(serverTime() - Date.parse(component.since));
const those = (...states) => states.flatMap((state) => last.components.filter(({ status }) => status === state));
const phase = () => (last.phase === "ready" ? "" : `The service is ${last.phase}`);
const troubled = () => those("fail", "unknown", "warn");

function sentence() {
  if (!isKnown()) return `Unknown: no answer from the API for ${span(since(heard))}`;
  if (last.components.length === 0) return "Unknown: there are no components";
  const bad = troubled();
  if (bad.length > 3) return `${bad.length} of ${last.components.length} components are not operational`;
  return bad.map((each) => `${named(each)} for ${lasted(each)}`).join(", ") || phase() || "All systems operational";
}

function consequence() {
  if (!isKnown() || !troubled().length) return null;
  if (phase()) return `${phase()}.`;
  const bad = those("fail", "unknown");
  if (!bad.length) return null;
  const needed = bad.some(({ critical }) => critical);
  const well = those("pass").map(({ name }) => nameOf(name)).join(", ");
  return `The service ${needed ? "cannot do its work" : "works on"} without ${bad.length > 1 ? "them" : "it"}.
    ${well && `Still operational: ${well}.`}`;
}

function age(next) {
  const looks = last.components.filter((each) => each.age).map((each) => Date.parse(last.time) - each.age * 1000);
  const as = Math.min(heard.server, ...looks);
  const again = silent ? ` · asking ${next > 500 ? `again in ${span(next)}` : "now"}` : "";
  return h("p", { class: "quiet" }, "As of ", time(as, clock(as)), ` · ${span(serverTime() - as)} ago${again}`);
}

function row({ name, status, since: begun, output, observedValue }) {
  const known = isKnown();
  const why = status !== "pass" && output ? `: ${output.replaceAll("_", " ")}` : "";
  const word = known ? STATES[status] + why : `Unknown, was ${STATES[status].toLowerCase()}`;
  return h("li", { class: known ? status : "unknown" },
    h("b", null, nameOf(name)),
    h("span", { class: "state" }, h("span", { class: "shape" }), word),
    h("span", { class: "quiet since" }, "since ", time(begun, moment(begun))),
    h("span", { class: "quiet latency" }, known && status !== "fail" ? latency(observedValue) : ""));
}

function missed() {
  return gap && h("p", { class: "quiet" }, `This page heard nothing from ${clock(gap.from)} to ${clock(gap.to)}.`);
}

function announce(state) {
  const news = isKnown() ? troubled().map(named).join(", ") || sentence() : "Unknown";
  const [colour, shape] = ICONS[document.hidden ? "unknown" : state];
  const drawing = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><text y="14" fill="${colour}">${shape}</text></svg>`;
  document.querySelector("link[rel=icon]").href = `data:image/svg+xml,${encodeURIComponent(drawing)}`;
  document.title = [document.hidden ? "Paused" : news, last?.stack].filter(Boolean).join(" · ");
  fill(document.getElementById("changes"), [h("span", null, news)]); // read aloud
}

export function show(next) {
  const text = sentence();
  const state = isKnown() && last.components.length ? (troubled()[0]?.status ?? (phase() ? "warn" : "pass")) : "unknown";
  const title = h("h1", { class: state }, h("span", { class: "shape" }), text);
  announce(state);
  section.classList.toggle("last", !last); // then the rows are those that the page came with
  if (!last) return section.querySelector("h1").replaceWith(title);
  const about = [last.stack, last.environment, last.engine, `version ${last.version}`];
  const lede = consequence();
  fill(section, [
    h("p", { class: "quiet" }, about.filter(Boolean).join(" · ")),
    title,
    lede && h("p", { class: "lede" }, lede),
    age(next),
    missed(),
    h("ul", { class: "components" }, last.components.map(row)),
  ]);
}
