// The history of a component: a bar, its latencies, a table.

import { count, h, latency, moment, time } from "./format.js";
import { stateText } from "./status.js";

const HEAD = ["From", "State", "Samples", "Failed", "p50", "p95"];

// Its width shows the duration, its height the severity.
function segment({ start, end, state, samples, failed }, now) {
  const [from, to] = [Date.parse(start), Date.parse(end)];
  const results = samples ? `, ${failed} of ${count(samples, "sample")} failed` : "";
  const label = `${moment(start)} to ${moment(end)}: ${stateText(state).toLowerCase()}${results}`;
  const element = h("span", { role: "img", class: state, tabindex: -1, "aria-label": label });
  element.style.flexGrow = (Math.min(to, Date.parse(now)) - from) / (to - from);
  return element;
}

// The arrow keys move along the bar; the text of a segment replaces the axis.
export function bar(name, { start, now, buckets }) {
  const segments = buckets.map((bucket) => segment(bucket, now));
  const ends = [time(start, moment(start)), h("span", null, "now")];
  const axis = h("p", { class: "quiet axis" }, ends);
  const group = h("div", { class: "bar", role: "group", "aria-label": `${name} over time` }, segments);
  const describe = (one) => axis.replaceChildren(...(one ? [one.ariaLabel] : ends));
  segments.at(-1)?.setAttribute("tabindex", 0);

  group.onpointerover = ({ target }) => describe(target.closest("[role=img]"));
  group.onpointerleave = () => describe(null);
  group.addEventListener("focusout", () => describe(null));
  group.addEventListener("focusin", ({ target }) => {
    for (const one of segments) one.tabIndex = one === target ? 0 : -1;
    describe(target);
  });
  group.onkeydown = (event) => {
    const at = segments.indexOf(event.target);
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: segments.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    segments[to]?.focus();
  };
  return [group, axis];
}

export function chart(name, { buckets, p50_ms, p95_ms }) {
  if (p95_ms === null) return null;
  const top = Math.max(0.1, ...buckets.map((bucket) => bucket.p95_ms));
  const path = (key, draw) => h("path", { class: key, d: buckets.map((bucket, x) =>
    (bucket[key] === null ? "" : draw(x, top - bucket[key]))).join("") });
  const label = `Latency of ${name}, p50 ${latency(p50_ms)}, p95 ${latency(p95_ms)}`;
  return h("figure", null,
    h("div", { class: "plot" },
      h("svg", { viewBox: `0 0 ${buckets.length} ${top}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
        path("p95_ms", (x, y) => `M${x} ${top}V${y}h1V${top}z`),
        path("p50_ms", (x, y) => `${buckets[x - 1]?.p50_ms == null ? "M" : "L"}${x} ${y}h1`)),
      [top, top / 2].map((value) => h("span", { class: "quiet" }, latency(value)))),
    h("figcaption", { class: "quiet" }, "Latency",
      h("span", { class: "p50_ms" }, `p50 ${latency(p50_ms)}`), h("span", { class: "p95_ms" }, `p95 ${latency(p95_ms)}`)));
}

const row = ({ start, state, samples, failed, p50_ms, p95_ms }) => h("tr", null,
  h("th", { scope: "row" }, time(start, moment(start))),
  [stateText(state), samples, failed, latency(p50_ms), latency(p95_ms)].map((cell) => h("td", null, cell)));

// Created when it is opened.
export function table(name, { buckets }) {
  const title = `Statistics for ${name}`;
  const details = h("details", { class: "quiet" }, h("summary", null, title));
  details.ontoggle = () => {
    if (details.children[1]) return;
    const head = h("tr", null, HEAD.map((text) => h("th", { scope: "col" }, text)));
    const rows = buckets.toReversed().filter(({ samples }) => samples).map(row);
    details.append(h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": title }, h("table", null, head, rows)));
  };
  return details;
}
