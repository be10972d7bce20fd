// What went wrong in the time shown, the newest first.

import { h, time } from "./dom.js";
import { STATES, moment, nameOf, span } from "./words.js";

function incident({ id, component, state, code, started_at, ended_at, duration_s, note }) {
  const end = ended_at ? [" to ", time(ended_at, moment(ended_at))] : ", still open";
  return h("li", { class: ended_at ? "over" : state },
    h("b", null, h("span", { class: "shape" }), `${nameOf(component)} ${STATES[state].toLowerCase()}`),
    h("span", null, span(duration_s * 1000)),
    h("span", { class: "quiet" }, time(started_at, moment(started_at)), end, ` · ${code.replaceAll("_", " ")} · no. ${id}`),
    note ? h("p", { class: "note" }, note) : null);
}

export function incidents({ incidents: all }, start) {
  const shown = all.filter(({ ended_at }) => !ended_at || Date.parse(ended_at) >= start);
  return shown.length ? h("ol", null, shown.map(incident)) : h("p", { class: "quiet" }, "None in this time.");
}
