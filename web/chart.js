// Latency over time: the median as a line, the 95th percentile as a ground behind it; without data, nothing. And the table.

import { h, time } from "./dom.js";
import { STATES, latency, moment } from "./words.js";

const HEIGHT = 100;

// The next of 1, 2, 5, 10, 20, ... that is not below.
function roundUp(number) {
  const power = 10 ** Math.floor(Math.log10(number));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= number);
}

export function chart(name, { buckets, p50_ms, p95_ms }) {
  if (p95_ms === null) return null;
  const top = roundUp(Math.max(1, ...buckets.map((bucket) => bucket.p95_ms)));
  const y = (value) => (HEIGHT - (HEIGHT * value) / top).toFixed(1);
  const known = (draw) => buckets.map((bucket, x) => (bucket.p95_ms === null ? "" : draw(bucket, x))).join("");
  const ground = known((bucket, x) => `M${x} ${HEIGHT}V${y(bucket.p95_ms)}h1V${HEIGHT}z`);
  const line = known((bucket, x) => `${buckets[x - 1]?.p50_ms == null ? "M" : "L"}${x} ${y(bucket.p50_ms)}h1`);
  const label = `Latency of ${name}: half of the samples within ${latency(p50_ms)}, 95 of 100 within ${latency(p95_ms)}`;
  return h("figure", null,
    h("div", { class: "plot" },
      h("svg", { viewBox: `0 0 ${buckets.length} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
        h("path", { class: "p95", d: ground }), h("path", { class: "p50", d: line })),
      [top, top / 2, 0].map((value) => h("span", { "aria-hidden": "true" }, value ? `${value} ms` : "0"))),
    h("figcaption", { class: "quiet" }, "Latency", [["p50", p50_ms], ["p95", p95_ms]].map(([key, value]) =>
      h("span", { class: key }, `${key} ${latency(value)}`))));
}

// The figures behind both; the table is made when somebody opens it.
export function table(name, { buckets }) {
  const details = h("details", { class: "quiet" }, h("summary", null, "Figures", h("span", { class: "spoken" }, ` of ${name}`)));
  details.addEventListener("toggle", () => details.children[1] ?? details.append(full(name, buckets)));
  return details;
}

function full(name, buckets) {
  const head = ["From", "State", "Samples", "Failed", "p50", "p95"].map((text) => h("th", { scope: "col" }, text));
  const rows = buckets.toReversed().filter(({ samples }) => samples).map((bucket) => h("tr", null,
    h("th", { scope: "row" }, time(bucket.start, moment(bucket.start))),
    [STATES[bucket.state], bucket.samples, bucket.failed, latency(bucket.p50_ms), latency(bucket.p95_ms)].map((cell) => h("td", null, `${cell}`))));
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `Figures of ${name}` },
    h("table", null, h("thead", null, h("tr", null, head)), h("tbody", null, rows)));
}
