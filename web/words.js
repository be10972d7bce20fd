// What things are called here, and times and numbers as people read them. service/snapshot.py has the same words.

export const STATES = { pass: "Operational", warn: "Degraded", fail: "Disrupted", unknown: "Unknown", no_data: "No data" };

const NAMES = { db: "Database", cache: "Cache", web: "Web server" };
export const nameOf = (component) => (Object.hasOwn(NAMES, component) ? NAMES[component] : component);

const list = new Intl.ListFormat("en");
export const listed = (components) => list.format(components.map(({ name }) => nameOf(name)));

export const count = (number, word) => `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;
export const percent = (number) => `${number.toFixed(number === 100 ? 0 : number > 99 ? 3 : 1)} %`;

export function latency(ms) {
  if (ms == null) return "";
  return ms < 9.95 ? `${ms.toFixed(1)} ms` : `${Math.round(ms).toLocaleString("en")} ms`;
}

export function span(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  if (seconds < 60) return `${seconds} s`;
  if (minutes < 60) return `${minutes} min`;
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

const format = (options) => {
  const made = new Intl.DateTimeFormat("en-GB", options);
  return (time) => made.format(new Date(time));
};
export const clock = format({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
export const minute = format({ hour: "2-digit", minute: "2-digit" });
export const day = format({ day: "numeric", month: "short" });
export const moment = (time) => `${day(time)}, ${minute(time)}`;
