// Latency over time: the median as a line, the 95th percentile as a dashed one; without data, no line. And the table.

import { h, time } from "./dom.js";
import { STATES, latency, moment } from "./words.js";

const WIDTH = 1_000;
const HEIGHT = 100;

/** The next of 1, 2, 5, 10, 20, ... that is not below. */
function roundUp(number) {
  const power = 10 ** Math.floor(Math.log10(number));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= number);
}

function path(buckets, value, top) {
  let pen = "M";
  const words = buckets.map((bucket, number) => {
    if (bucket[value] === null) {
      pen = "M";
      return "";
    }
    const x = (((number + 0.5) * WIDTH) / buckets.length).toFixed(1);
    const point = `${pen}${x} ${(HEIGHT - (HEIGHT * bucket[value]) / top).toFixed(1)}h0`; // h0: one alone is a dot
    pen = "L";
    return point;
  });
  return h("path", { class: value, d: words.join("") });
}

export function chart(name, { buckets, p50, p95, start }) {
  const known = buckets.filter((bucket) => bucket.p95 !== null);
  if (known.length === 0) return h("p", { class: "quiet" }, "No latencies in this time.");
  const top = roundUp(Math.max(1, ...known.map((bucket) => bucket.p95)));
  const label = `Latency of ${name}: half of the samples within ${latency(p50)}, 95 of 100 within ${latency(p95)}`;
  const lines = [0, HEIGHT / 2, HEIGHT].map((y) => h("line", { x1: 0, x2: WIDTH, y1: y, y2: y }));
  return h("figure", null,
    h("figcaption", null, "Latency ", h("span", { class: "key p50" }, `p50 ${latency(p50)}`), h("span", { class: "key p95" }, `p95 ${latency(p95)}`)),
    h("div", { class: "plot" },
      h("div", { class: "scale", "aria-hidden": "true" }, h("span", null, `${top} ms`), h("span", null, `${top / 2} ms`), h("span", null, "0")),
      h("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
        lines, path(buckets, "p95", top), path(buckets, "p50", top))),
    h("p", { class: "axis", "aria-hidden": "true" }, time(start, moment(start)), h("span", null, "now")));
}

/** The figures behind bar and chart; the table is made when somebody opens it. */
export function table(name, { buckets }) {
  const details = h("details", null, h("summary", null, "Figures ", h("span", { class: "spoken" }, `of ${name}`)));
  details.addEventListener("toggle", () => details.open && details.children.length === 1 && details.append(full(name, buckets)));
  return details;
}

function full(name, buckets) {
  const heads = ["From", "State", "Samples", "Failed", "p50", "p95"].map((text) => h("th", { scope: "col" }, text));
  const rows = buckets.toReversed().filter((bucket) => bucket.state !== "no_data").map((bucket) =>
    h("tr", null,
      h("th", { scope: "row" }, time(bucket.start, moment(bucket.start))),
      [STATES[bucket.state], bucket.samples, bucket.failed, latency(bucket.p50), latency(bucket.p95)].map((cell) => h("td", null, String(cell)))));
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Figures of ${name}` },
    h("table", null, h("thead", null, h("tr", null, heads)), h("tbody", null, rows)));
}
