// How it was, and what went wrong, in the window that the address names.

import { bar, chart, table } from "./chart.js";
import { isKnown, serverTime } from "./now.js";
import { believe, HISTORY, INCIDENTS } from "./poll.js";
import { STATES, count, fill, h, moment, nameOf, span, time } from "./write.js";

const DAYS = { "24h": 1, "7d": 7, "90d": 90 };
const EVENTS = "/api/incidents?limit=100";
const EVERY = 15_000;
const FEW = 100; // samples that make no percentage
const STOPS = "[tabindex], summary";

const [histories, events, notice, definition] =
  ["histories", "incidents", "notice", "definition"].map((id) => document.getElementById(id));
const parts = {}; // by path: its last answer, when it is due again, whether it is broken
let names = [];
let states, length;

const part = (path) => (parts[path] ??= { due: 0 });
const pathOf = (name) => `/api/history?component=${encodeURIComponent(name)}&window=${length}`;
const all = () => [...names.map(pathOf), EVENTS];

// One thing a time: what waits for longest.
export const questions = {
  path: () => all().reduce((one, other) => (part(other).due < part(one).due ? other : one)),
  pause: () => Math.max(0, Math.min(...all().map((path) => part(path).due)) - performance.now()),
  answered(body, path) {
    if (body) part(path).answer = believe(body, path === EVENTS ? INCIDENTS : HISTORY);
    Object.assign(part(path), { broken: false, due: performance.now() + EVERY });
    if (body) draw(path);
    tellAge();
  },
  failed(path) {
    Object.assign(part(path), { broken: true, due: performance.now() });
    tellAge();
  },
};

// Asks anew when a component has changed.
export function follow({ components }, past) {
  const now = components.map(({ name, status }) => name + status).join();
  if (now === states) return;
  states = now;
  const before = names.join();
  names = components.map(({ name }) => name);
  if (names.join() !== before) drawAll();
  part(EVENTS).due = 0;
  past.ask();
}

function article(name) {
  const title = h("h3", null, nameOf(name));
  const { answer } = part(pathOf(name));
  if (!answer) return h("article", null, title);
  const { percent, samples, failed } = answer.uptime;
  const share = samples < FEW ? `up in ${samples - failed} of ` : `${percent} % up in `;
  return h("article", null, h("header", null, title, h("p", { class: "quiet" }, samples ? share + count(samples, "sample") : "no samples yet")),
    bar(nameOf(name), answer), chart(nameOf(name), answer), table(nameOf(name), answer));
}

function incident({ id, component, state, code, started_at, ended_at, duration_s, note }) {
  const end = ended_at ? [" to ", time(ended_at, moment(ended_at))] : ", still open";
  return h("li", { class: ended_at ? "over" : state },
    h("b", null, h("span", { class: "shape" }), `${nameOf(component)} ${STATES[state].toLowerCase()}`),
    h("span", null, span(duration_s * 1000)),
    h("span", { class: "quiet" }, time(started_at, moment(started_at)), end, ` · ${code.replaceAll("_", " ")} · no. ${id}`),
    note && h("p", { class: "note" }, note));
}

// What is open ends when its component is gone.
function drawEvents(old) {
  const start = serverTime() - DAYS[length] * 86_400_000;
  const { incidents = [], next, stale = true } = part(EVENTS).answer ?? {};
  const shown = incidents.filter(({ component, ended_at }) =>
    ended_at ? Date.parse(ended_at) > start : names.includes(component));
  const none = old || stale ? "Not known now." : "None in this time.";
  const list = shown.length ? h("ol", null, shown.map(incident)) : h("p", { class: "quiet" }, none);
  fill(events, [list, next && h("p", { class: "quiet" }, "Older ones are not shown.")]);
}

function draw(path) {
  const number = names.map(pathOf).indexOf(path);
  if (number < 0) return; // the incidents, or of another window
  const old = histories.children[number];
  const fresh = article(names[number]);
  const [was, is] = [old.lastChild, fresh.lastChild];
  is.open = was.open;
  if (is.open) is.ontoggle();
  const focused = [...old.querySelectorAll(STOPS)].indexOf(document.activeElement);
  const { scrollLeft, scrollTop } = was.children[1] ?? {};
  old.replaceWith(fresh);
  fresh.querySelectorAll(STOPS)[focused]?.focus({ preventScroll: true });
  is.children[1]?.scrollTo(scrollLeft, scrollTop);
  definition.textContent = part(path).answer.uptime.definition;
}

function drawAll() {
  histories.replaceChildren(...names.map(article));
  for (const link of document.querySelectorAll("nav a")) link.ariaCurrent = link.search === `?window=${length}` ? "page" : null;
  document.body.classList.toggle("loaded", names.length > 0);
  tellAge();
}

// Says of when this is, if not of now.
export function tellAge() {
  const shown = all().map(part);
  const old = !isKnown() || shown.some(({ broken, answer }) => broken || answer?.stale);
  const times = shown.map(({ answer }) => answer?.now).filter(Boolean).sort();
  const since = times.length ? ` This is what was known on ${moment(times[0])}.` : "";
  fill(notice, old ? [h("span", null, `The history cannot be read now.${since}`)] : []);
  drawEvents(old);
  for (const place of [histories, events]) place.classList.toggle("last", old);
}

export function open(past) {
  const go = () => {
    const wanted = new URLSearchParams(location.search).get("window");
    length = Object.hasOwn(DAYS, wanted) ? wanted : "24h";
    drawAll();
    past.ask();
  };
  addEventListener("popstate", go);
  document.querySelector("nav").onclick = (event) => {
    if (!event.target.href || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    history.pushState(null, "", event.target.href);
    go();
  };
  go();
}
