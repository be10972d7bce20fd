// Words (those of service/snapshot.py), times, numbers, and elements made of them.

export const STATES = { pass: "Operational", warn: "Degraded", fail: "Disrupted", unknown: "Unknown", no_data: "No data" };

const NAMES = { db: "Database", cache: "Cache", web: "Web server" };
export const nameOf = (component) => (Object.hasOwn(NAMES, component) ? NAMES[component] : component);

export const count = (number, word) => `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;
export const latency = (ms) => (ms == null ? "" : `${ms.toLocaleString("en", { maximumFractionDigits: 1 })} ms`);

export function span(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  if (seconds < 60) return `${seconds} s`;
  if (minutes < 60) return `${minutes} min`;
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return `${Math.floor(hours / 24)} d`;
}

// With its zone: in autumn an hour comes twice.
const format = (more) => {
  const made = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", timeZoneName: "short", ...more });
  return (time) => made.format(new Date(time));
};
export const clock = format({ second: "2-digit" });
export const moment = format({ day: "numeric", month: "short" });

// Text is only ever text.
const DRAWN = ["svg", "path"];

export function h(tag, attributes, ...children) {
  const element = DRAWN.includes(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) element.setAttribute(name, value);
  element.append(...children.flat().filter((child) => child != null));
  return element;
}

export const time = (at, text) => h("time", { datetime: new Date(at).toISOString() }, text);

// What has not changed is not touched.
export function fill(parent, children) {
  const wanted = children.filter(Boolean);
  wanted.forEach((child, number) => {
    const old = parent.childNodes[number];
    if (!old) parent.append(child);
    else if (!old.isEqualNode(child)) old.replaceWith(child);
  });
  while (parent.childNodes.length > wanted.length) parent.lastChild.remove();
}
