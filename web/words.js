// What things are called here, and times and numbers as people read them. service/snapshot.py has the same words.

export const STATES = { pass: "Operational", warn: "Degraded", fail: "Disrupted", unknown: "Unknown", no_data: "No data" };
export const WINDOWS = { "24h": "24 hours", "7d": "7 days", "90d": "90 days" };

const NAMES = { db: "Database", cache: "Cache", web: "Web server" };
const REASONS = {
  refused: "it refused connections",
  timeout: "it did not answer in time",
  stale: "nobody has looked for a while",
  not_probed: "nobody has looked yet",
  pool_exhausted: "all connections were in use",
};

export const nameOf = (id) => (Object.hasOwn(NAMES, id) ? NAMES[id] : id);

export const reason = (code) => (Object.hasOwn(REASONS, code) ? REASONS[code] : code.replaceAll("_", " "));

const list = new Intl.ListFormat("en", { type: "conjunction" });
export const listed = (names) => list.format(names);

export const count = (number, word) => `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;

export function span(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return hours % 24 ? `${Math.floor(hours / 24)} d ${hours % 24} h` : `${hours / 24} d`;
}

export function latency(milliseconds) {
  if (milliseconds === null) return "";
  return milliseconds < 9.95 ? `${milliseconds.toFixed(1)} ms` : `${Math.round(milliseconds).toLocaleString("en")} ms`;
}

export const percent = (number) => `${number.toFixed(number === 100 ? 0 : number > 99 ? 3 : 1)} %`;

const format = (options) => {
  const made = new Intl.DateTimeFormat("en-GB", options);
  return (time) => made.format(time);
};
export const clock = format({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
export const minute = format({ hour: "2-digit", minute: "2-digit" });
export const day = format({ day: "numeric", month: "short" });
export const moment = (time) => `${day(time)}, ${minute(time)}`;
