// How it was in the window that the address names, so that a link to it can be shared.

import { bar } from "./bar.js";
import { chart, table } from "./chart.js";
import * as answers from "./answers.js";
import { fill, h, time } from "./dom.js";
import { incidents } from "./incidents.js";
import { serverTime } from "./now.js";
import { WINDOWS, count, moment, nameOf, percent } from "./words.js";

const EVERY = 60_000;
const INCIDENTS_EVERY = 20_000;
const AGAIN_AFTER = 10_000;
const INCIDENTS = "/api/incidents?limit=100";
const DAYS = { "24h": 1, "7d": 7, "90d": 90 };

const place = (id) => document.getElementById(id);
const due = new Map(); // when to ask what again
const known = new Map(); // the last answers
const broken = new Set(); // what was not answered when it was asked for last

let window = "24h";
let names = [];
let states = "";
let answering = true;

const pathOf = (name) => `/api/history?component=${encodeURIComponent(name)}&window=${window}`;
const all = () => [...names.map(pathOf), INCIDENTS];
const dueAt = (path) => due.get(path) ?? 0;

/** What `poll` asks for: of all that makes up the past, one thing a time, the one that waits for longest. */
export const questions = {
  path: () => all().reduce((one, other) => (dueAt(other) < dueAt(one) ? other : one)),
  pause: () => Math.max(0, Math.min(...all().map(dueAt)) - performance.now()),
  answered(body, path) {
    if (body) known.set(path, path === INCIDENTS ? answers.incidents(body) : answers.history(body));
    broken.delete(path);
    due.set(path, performance.now() + (path === INCIDENTS ? INCIDENTS_EVERY : EVERY));
    if (body) draw(path);
    age();
  },
  failed(_error, path) {
    broken.add(path);
    due.set(path, performance.now() + AGAIN_AFTER);
    age();
  },
};

/** Notes which components there are, and asks anew when one has changed its state. */
export function follow({ components }, past) {
  const now = components.map(({ name, state }) => `${name}=${state}`).join();
  if (now === states) return;
  states = now;
  due.delete(INCIDENTS);
  const before = names.join();
  names = components.map(({ name }) => name);
  if (names.join() !== before) drawAll();
  past.ask();
}

/** Whether the API answers: without it, nothing here is news. */
export function mark(known) {
  if (known === answering) return;
  answering = known;
  age();
}

function one(name) {
  const title = h("h3", null, nameOf(name));
  const found = known.get(pathOf(name));
  if (!found) return h("article", { "aria-busy": "true" }, title);
  const share = found.samples ? `${percent(found.percent)} of ${count(found.samples, "sample")}` : "no samples yet";
  const axis = h("p", { class: "axis", "aria-hidden": "true" }, time(found.start, moment(found.start)), h("span", null, "now"));
  return h("article", null,
    h("header", null, title, h("p", { class: "uptime" }, share)),
    bar(nameOf(name), found.buckets, found.now), axis,
    chart(nameOf(name), found), table(nameOf(name), found));
}

function draw(path) {
  if (path === INCIDENTS) {
    place("incidents").hidden = false;
    fill(place("incident-list"), incidents(known.get(path), serverTime() - DAYS[window] * 86_400_000, WINDOWS[window]));
    return;
  }
  const number = names.map(pathOf).indexOf(path);
  if (number < 0) return; // of another window, or of a component that is gone
  const old = place("histories").children[number];
  const at = [...old.querySelectorAll("[role=img]")].indexOf(document.activeElement);
  const fresh = one(names[number]);
  fresh.querySelector("details").open = old.querySelector("details")?.open ?? false;
  old.replaceWith(fresh);
  fresh.querySelectorAll("[role=img]")[at]?.focus();
  place("definition").textContent = known.get(path).definition;
}

function drawAll() {
  place("histories").replaceChildren(...names.map(one));
  if (known.has(INCIDENTS)) draw(INCIDENTS);
  for (const link of document.querySelectorAll("nav a")) {
    const its = new URLSearchParams(link.search).get("window");
    its === window ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current");
  }
  place("history").hidden = names.length === 0;
  age();
}

/** Says of when all this is, where that is not now. */
function age() {
  const found = names.map((name) => known.get(pathOf(name))).filter(Boolean);
  const old = !answering || all().some((path) => broken.has(path) || known.get(path)?.stale);
  const since = Math.min(...found.map(({ now }) => now));
  place("history-age").hidden = !old;
  place("history-age").textContent = found.length
    ? `The history cannot be read now. This is what was known on ${moment(since)}.`
    : "The history cannot be read now.";
  for (const id of ["histories", "incident-list"]) place(id).classList.toggle("last", old);
}

function choose(search) {
  const wanted = new URLSearchParams(search).get("window");
  window = Object.hasOwn(DAYS, wanted ?? "") ? wanted : "24h";
  drawAll();
}

/** Shows the window that the address names, and goes along when that changes. */
export function openWindow(past) {
  choose(location.search);
  addEventListener("popstate", () => { choose(location.search); past.ask(); });
  document.querySelector("nav").addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    history.pushState(null, "", link.href);
    choose(location.search);
    past.ask();
  });
}
