// How it was, and what went wrong, in the window that the address names.

import { believe, HISTORY, INCIDENTS } from "./answers.js";
import { bar, chart, table } from "./chart.js";
import { isKnown, serverTime } from "./now.js";
import { STATES, count, fill, h, moment, nameOf, span, time } from "./write.js";

const DAYS = { "24h": 1, "7d": 7, "90d": 90 };
const EVENTS = "/api/incidents";
const EVERY = 15_000;

const [histories, events, notice, definition] =
  ["histories", "incidents", "notice", "definition"].map((id) => document.getElementById(id));
const parts = {}; // by path: its last answer, when to ask again, and whether it is broken
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
  const { percent, samples } = answer.uptime;
  const share = samples ? `${percent} % up in ${count(samples, "sample")}` : "no samples yet";
  return h("article", null, h("header", null, title, h("p", { class: "quiet" }, share)),
    bar(nameOf(name), answer), chart(nameOf(name), answer), table(nameOf(name), answer));
}

function incident({ id, component, state, code, started_at, ended_at, duration_s, note }) {
  const end = ended_at ? [" to ", time(ended_at, moment(ended_at))] : ", still open";
  return h("li", { class: ended_at ? "over" : state },
    h("b", null, h("span", { class: "shape" }), `${nameOf(component)} ${STATES[state].toLowerCase()}`),
    h("span", null, span(duration_s * 1000)),
    h("span", { class: "quiet" }, time(started_at, moment(started_at)), end, ` · ${code.replaceAll("_", " ")} · no. ${id}`),
    note ? h("p", { class: "note" }, note) : null);
}

function drawEvents() {
  const start = serverTime() - DAYS[length] * 86_400_000;
  const shown = part(EVENTS).answer.incidents.filter(({ ended_at }) => !ended_at || Date.parse(ended_at) > start);
  fill(events, [shown.length ? h("ol", null, shown.map(incident)) : h("p", { class: "quiet" }, "None known in this time.")]);
}

function draw(path) {
  if (path === EVENTS) return drawEvents();
  const number = names.map(pathOf).indexOf(path);
  if (number < 0) return; // of another window
  const old = histories.children[number];
  const fresh = article(names[number]);
  const focused = [...old.querySelectorAll("[role=img]")].indexOf(document.activeElement);
  fresh.querySelector("details").open = old.querySelector("details")?.open ?? false;
  old.replaceWith(fresh);
  fresh.querySelectorAll("[role=img]")[focused]?.focus();
  definition.textContent = part(path).answer.uptime.definition;
}

function drawAll() {
  histories.replaceChildren(...names.map(article));
  for (const link of document.querySelectorAll("nav a")) link.ariaCurrent = link.search === `?window=${length}` ? "page" : null;
  document.body.classList.toggle("loaded", names.length > 0);
  if (part(EVENTS).answer) drawEvents();
}

// Says of when this is, if not of now.
export function tellAge() {
  const shown = all().map(part);
  const old = !isKnown() || shown.some(({ broken, answer }) => broken || answer?.stale);
  const times = shown.map(({ answer }) => answer?.now).filter(Boolean).sort();
  const since = times.length ? ` This is what was known on ${moment(times[0])}.` : "";
  fill(notice, old ? [h("span", null, `The history cannot be read now.${since}`)] : []);
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
