// A bar of time: a segment for each part, as long as the part was, as high as it was bad; where there is no data, a gap.

import { h } from "./dom.js";
import { STATES, count, latency, minute, moment } from "./words.js";

function words({ start, end, state, samples, failed, p50, p95 }) {
  const when = `${moment(start)} to ${end - start < 86_400_000 ? minute(end) : moment(end)}`;
  if (state === "no_data") return `${when}: no data`;
  const results = `${count(samples, "sample")}, ${failed || "none"} failed`;
  const times = p95 === null ? "" : `, p50 ${latency(p50)}, p95 ${latency(p95)}`;
  return `${when}: ${STATES[state].toLowerCase()}, ${results}${times}`;
}

/** @returns the bar, which the arrow keys walk along, and a line that says what the segment is about. */
export function bar(name, buckets, now) {
  const line = h("p", { class: "said", "aria-hidden": "true" });
  const segments = buckets.map((bucket) => {
    const segment = h("span", { role: "img", class: bucket.state, tabindex: "-1", "aria-label": words(bucket) });
    segment.style.flexGrow = (Math.min(bucket.end, now) - bucket.start) / (bucket.end - bucket.start);
    return segment;
  });
  const group = h("div", { class: "bar", role: "group", "aria-label": `${name}, parts of the time shown` }, segments);
  segments.at(-1)?.setAttribute("tabindex", "0");

  const say = (segment) => { line.textContent = segment?.getAttribute("aria-label") ?? ""; };
  group.addEventListener("pointerover", ({ target }) => say(target.closest("[role=img]")));
  group.addEventListener("pointerleave", () => say(group.querySelector(":focus")));
  group.addEventListener("focusout", () => say(null));
  group.addEventListener("focusin", ({ target }) => {
    for (const segment of segments) segment.tabIndex = segment === target ? 0 : -1;
    say(target);
  });
  group.addEventListener("keydown", (event) => {
    const at = segments.indexOf(event.target);
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: segments.length - 1 }[event.key];
    if (to === undefined || at < 0) return;
    event.preventDefault();
    segments[Math.min(Math.max(to, 0), segments.length - 1)].focus();
  });
  return [group, line];
}
