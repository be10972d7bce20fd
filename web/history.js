// The history and the incidents in the window that the address names.

import { bar, chart, table } from "./chart.js";
import { HISTORY, INCIDENTS, validate } from "./poll.js";
import { count, duration, fill, h, moment, time } from "./format.js";
import { isKnown, nameOf, serverTime, stateText } from "./status.js";

const DAYS = { "24h": 1, "7d": 7, "90d": 90 };
const EVENTS = "/api/incidents?limit=100";
const INTERVAL = 15_000;
const FEW = 100; // fewer samples get no percentage
const FOCUSABLE = "[tabindex], summary";

const [histories, events, notice, definition] =
  ["histories", "incidents", "notice", "definition"].map((id) => document.getElementById(id));
const parts = {}; // by path: its last answer, when it is due again, whether it failed
let names = [];
let states, length;

const part = (path) => (parts[path] ??= { due: 0 });
const pathOf = (name) => `/api/history?component=${encodeURIComponent(name)}&window=${length}`;
const all = () => [...names.map(pathOf), EVENTS];

// One request at a time: the one that is due first.
export const requests = {
  path: () => all().reduce((one, other) => (part(other).due < part(one).due ? other : one)),
  pause: () => Math.max(0, Math.min(...all().map((path) => part(path).due)) - performance.now()),
  answered(body, path) {
    if (body) part(path).answer = validate(body, path === EVENTS ? INCIDENTS : HISTORY);
    Object.assign(part(path), { failed: false, due: performance.now() + INTERVAL });
    if (body) draw(path);
    showAge();
  },
  failed(path) {
    Object.assign(part(path), { failed: true, due: performance.now() });
    showAge();
  },
};

// Requests new data when a component changes.
export function follow({ components }, polling) {
  const now = components.map(({ name, status }) => name + status).join();
  if (now === states) return;
  states = now;
  const before = names.join();
  names = components.map(({ name }) => name);
  if (names.join() !== before) drawAll();
  part(EVENTS).due = 0;
  polling.ask();
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
  const end = ended_at ? [" to ", time(ended_at, moment(ended_at))] : ", ongoing";
  return h("li", { class: ended_at ? "ended" : state },
    h("b", null, h("span", { class: "shape" }), `${nameOf(component)} ${stateText(state).toLowerCase()}`),
    h("span", null, duration(duration_s * 1000)),
    h("span", { class: "quiet" }, time(started_at, moment(started_at)), end, ` · ${code.replaceAll("_", " ")} · incident ${id}`),
    note && h("p", { class: "note" }, note));
}

// An open incident of a removed component is not shown.
function drawEvents(old) {
  const start = serverTime() - DAYS[length] * 86_400_000;
  const { incidents = [], next, stale = true } = part(EVENTS).answer ?? {};
  const shown = incidents.filter(({ component, ended_at }) =>
    ended_at ? Date.parse(ended_at) > start : names.includes(component));
  const none = old || stale ? "Currently unknown." : "None in this period.";
  const list = shown.length ? h("ol", null, shown.map(incident)) : h("p", { class: "quiet" }, none);
  fill(events, [list, next && h("p", { class: "quiet" }, "Older incidents are not shown.")]);
}

function draw(path) {
  const number = names.map(pathOf).indexOf(path);
  if (number < 0) return; // the incidents, or another window
  const old = histories.children[number];
  const fresh = article(names[number]);
  const [was, is] = [old.lastChild, fresh.lastChild];
  is.open = was.open;
  if (is.open) is.ontoggle();
  const focused = [...old.querySelectorAll(FOCUSABLE)].indexOf(document.activeElement);
  const { scrollLeft, scrollTop } = was.children[1] ?? {};
  old.replaceWith(fresh);
  fresh.querySelectorAll(FOCUSABLE)[focused]?.focus({ preventScroll: true });
  is.children[1]?.scrollTo(scrollLeft, scrollTop);
  definition.textContent = part(path).answer.uptime.definition;
}

function drawAll() {
  histories.replaceChildren(...names.map(article));
  for (const link of document.querySelectorAll("nav a")) link.ariaCurrent = link.search === `?window=${length}` ? "page" : null;
  document.body.classList.toggle("loaded", names.length > 0);
  showAge();
}

// Shows the age of the data if it is not current.
export function showAge() {
  const shown = all().map(part);
  const old = !isKnown() || shown.some(({ failed, answer }) => failed || answer?.stale);
  const times = shown.map(({ answer }) => answer?.now).filter(Boolean).sort();
  const known = times.length ? ` Last known state: ${moment(times[0])}.` : "";
  fill(notice, old ? [h("span", null, `The history is unavailable.${known}`)] : []);
  drawEvents(old);
  for (const place of [histories, events]) place.classList.toggle("last", old);
}

export function open(polling) {
  const go = () => {
    const wanted = new URLSearchParams(location.search).get("window");
    length = Object.hasOwn(DAYS, wanted) ? wanted : "24h";
    drawAll();
    polling.ask();
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
