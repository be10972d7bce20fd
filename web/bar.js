// A bar of time: a segment for each part, as long as the part was, as high as it was bad; without data, a gap.

import { h, time } from "./dom.js";
import { STATES, count, latency, minute, moment } from "./words.js";

const DAY = 86_400_000;

function describe({ start, end, state, samples, failed, p50_ms, p95_ms }) {
  const when = `${moment(start)} to ${(Date.parse(end) - Date.parse(start) < DAY ? minute : moment)(end)}`;
  if (state === "no_data") return `${when}: no data`;
  const times = p95_ms === null ? "" : `, p50 ${latency(p50_ms)}, p95 ${latency(p95_ms)}`;
  return `${when}: ${STATES[state].toLowerCase()}, ${count(samples, "sample")}, ${failed} failed${times}`;
}

function segment(bucket, now) {
  const [start, end] = [bucket.start, bucket.end].map(Date.parse);
  const made = h("span", { role: "img", class: bucket.state, tabindex: -1, "aria-label": describe(bucket) });
  made.style.flexGrow = (Math.min(end, now) - start) / (end - start);
  return made;
}

// The bar, along which the arrow keys walk, and the axis, in whose place stands what a segment has to say.
export function bar(name, { start, now, buckets }) {
  const segments = buckets.map((bucket) => segment(bucket, Date.parse(now)));
  const ends = [time(start, moment(start)), h("span", null, "now")];
  const axis = h("p", { class: "quiet axis", "aria-hidden": "true" }, ends.map((end) => end.cloneNode(true)));
  const group = h("div", { class: "bar", role: "group", "aria-label": `${name} over time` }, segments);
  const say = (one) => axis.replaceChildren(...(one ? [one.getAttribute("aria-label")] : ends));
  segments.at(-1)?.setAttribute("tabindex", 0);

  group.addEventListener("pointerover", ({ target }) => say(target.closest("[role=img]")));
  group.addEventListener("pointerleave", () => say(group.querySelector(":focus")));
  group.addEventListener("focusout", () => say(null));
  group.addEventListener("focusin", ({ target }) => {
    for (const one of segments) one.tabIndex = one === target ? 0 : -1;
    say(target);
  });
  group.addEventListener("keydown", (event) => {
    const at = segments.indexOf(event.target);
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: segments.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    segments[to]?.focus();
  });
  return [group, axis];
}
