// What went wrong in the time shown, the newest first.

import { h, time } from "./dom.js";
import { STATES, moment, nameOf, reason, span } from "./words.js";

function incident({ id, component, state, code, start, end, duration, note }) {
  const until = end === null ? "still open" : ["until ", time(end, moment(end))];
  return h("li", { class: end === null ? state : "over" },
    h("b", null, h("span", { class: "shape" }), `${nameOf(component)} ${STATES[state].toLowerCase()}`),
    h("span", { class: "lasted" }, span(duration)),
    h("span", { class: "quiet" }, `No. ${id} · `, time(start, moment(start)), " ", until, code && ` · ${reason(code)}`),
    note && h("p", { class: "note" }, note));
}

export function incidents({ list, more }, start, window) {
  const shown = list.filter(({ end }) => end === null || end >= start);
  if (shown.length === 0) return [h("p", { class: "quiet" }, `None in the last ${window}.`)];
  const earlier = more && shown.length === list.length && h("p", { class: "quiet" }, "There are earlier ones: /api/incidents has them.");
  return [h("ol", null, shown.map(incident)), earlier].filter(Boolean);
}
