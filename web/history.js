// How it was in the window that the address names, so that a link to it can be shared.

import { believe, HISTORY, INCIDENTS } from "./answers.js";
import { bar } from "./bar.js";
import { chart, table } from "./chart.js";
import { fill, h } from "./dom.js";
import { incidents } from "./incidents.js";
import { serverTime } from "./now.js";
import { count, moment, nameOf, percent } from "./words.js";

const DAYS = { "24h": 1, "7d": 7, "90d": 90 };
const EVENTS = "/api/incidents?limit=100";
const EVENTS_EVERY = 20_000, EVERY = 60_000, AGAIN_AFTER = 10_000;

const [histories, events, notice, definition] =
  ["histories", "incident-list", "history-age", "definition"].map((id) => document.getElementById(id));
const due = new Map(); // when to ask for what
const known = new Map(); // the last answers
const broken = new Set(); // what was not answered when it was asked for last
let names = [];
let states, length;
let answering = true;

const pathOf = (name) => `/api/history?component=${encodeURIComponent(name)}&window=${length}`;
const all = () => [...names.map(pathOf), EVENTS];
const dueAt = (path) => due.get(path) ?? 0;

// For `poll`: of all that makes up the past one thing a time, the one that waits for longest.
export const questions = {
  path: () => all().reduce((one, other) => (dueAt(other) < dueAt(one) ? other : one)),
  pause: () => Math.max(0, Math.min(...all().map(dueAt)) - performance.now()),
  answered(body, path) {
    if (body) known.set(path, believe(body, path === EVENTS ? INCIDENTS : HISTORY));
    due.set(path, performance.now() + (path === EVENTS ? EVENTS_EVERY : EVERY));
    broken.delete(path);
    if (body) draw(path);
    tellAge();
  },
  failed(path) {
    due.set(path, performance.now() + AGAIN_AFTER);
    broken.add(path);
    tellAge();
  },
};

// Goes along with the components, and asks anew when one has changed its state.
export function follow({ components }, past) {
  const now = components.map(({ name, status }) => name + status).join();
  if (now === states) return;
  states = now;
  due.delete(EVENTS);
  if (components.map(({ name }) => name).join() !== names.join()) {
    names = components.map(({ name }) => name);
    drawAll();
  }
  past.ask();
}

// Without the API, nothing here is news.
export function mark(known) {
  if (answering !== known) tellAge((answering = known));
}

function one(name) {
  const title = h("h3", null, nameOf(name));
  const found = known.get(pathOf(name));
  if (!found) return h("article", { "aria-busy": "true" }, title);
  const { percent: up, samples } = found.uptime;
  const share = samples ? `${percent(up)} of ${count(samples, "sample")}` : "no samples yet";
  const [segments, axis] = bar(nameOf(name), found);
  return h("article", null, h("header", null, title, h("p", { class: "quiet" }, share)),
    segments, axis, chart(nameOf(name), found), table(nameOf(name), found));
}

function draw(path) {
  if (path === EVENTS) return fill(events, [incidents(known.get(EVENTS), serverTime() - DAYS[length] * 86_400_000)]);
  const old = histories.children[names.map(pathOf).indexOf(path)];
  if (!old) return; // of another window, or of a component that is gone
  const focused = [...old.querySelectorAll("[role=img]")].indexOf(document.activeElement);
  const fresh = one(names[names.map(pathOf).indexOf(path)]);
  fresh.querySelector("details").open = old.querySelector("details")?.open ?? false;
  old.replaceWith(fresh);
  fresh.querySelectorAll("[role=img]")[focused]?.focus();
  definition.textContent = known.get(path).uptime.definition;
}

function drawAll() {
  histories.replaceChildren(...names.map(one));
  if (known.has(EVENTS)) draw(EVENTS);
  for (const link of document.querySelectorAll("nav a")) link.ariaCurrent = link.search === `?window=${length}` ? "page" : null;
  document.body.classList.toggle("loaded", names.length > 0);
  tellAge();
}

// Says of when all this is, where that is not now.
function tellAge() {
  const shown = names.map((name) => known.get(pathOf(name))).filter(Boolean);
  const old = !answering || all().some((path) => broken.has(path) || known.get(path)?.stale);
  const since = shown.length ? ` This is what was known on ${moment(Math.min(...shown.map(({ now }) => Date.parse(now))))}.` : "";
  notice.textContent = old ? `The history cannot be read now.${since}` : "";
  for (const part of [histories, events]) part.classList.toggle("last", old);
}

// Shows the window that the address names, and goes along when it changes.
export function open(past) {
  const go = () => {
    const wanted = new URLSearchParams(location.search).get("window");
    length = Object.hasOwn(DAYS, wanted ?? "") ? wanted : "24h";
    drawAll();
    past.ask();
  };
  addEventListener("popstate", go);
  document.querySelector("nav").addEventListener("click", (event) => {
    if (!event.target.href || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    history.pushState(null, "", event.target.href);
    go();
  });
  go();
}
