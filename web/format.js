// Times, numbers, and elements. The words come from the API (service/snapshot.py).

export const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
export const latency = (ms) => (ms == null ? "" : `${ms.toLocaleString("en", { maximumFractionDigits: 1 })} ms`);

export function duration(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  if (seconds < 60) return `${seconds} s`;
  if (minutes < 60) return `${minutes} min`;
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return `${Math.floor(hours / 24)} d`;
}

// With the time zone: in autumn an hour repeats.
const formatter = (fields) => {
  const format = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", timeZoneName: "short", ...fields });
  return (time) => format.format(new Date(time));
};
export const clock = formatter({ second: "2-digit" });
export const moment = formatter({ day: "numeric", month: "short" });

// Text is never parsed as HTML.
const SVG = ["svg", "path"];

export function h(tag, attributes, ...children) {
  const element = SVG.includes(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) element.setAttribute(name, value);
  element.append(...children.flat().filter((child) => child != null));
  return element;
}

export const time = (at, text) => h("time", { datetime: new Date(at).toISOString() }, text);

// Replaces only the children that changed.
export function fill(parent, children) {
  const wanted = children.filter(Boolean);
  wanted.forEach((child, number) => {
    const old = parent.childNodes[number];
    if (!old) parent.append(child);
    else if (!old.isEqualNode(child)) old.replaceWith(child);
  });
  while (parent.childNodes.length > wanted.length) parent.lastChild.remove();
}
