// Asks /health/all and says in words what it answered; what it did not answer is unknown, never an old green.

const INTERVAL = 5_000;
const ANSWER_WITHIN = 4_000;
const WORDS = { pass: "Operational", warn: "Degraded", fail: "Disrupted", unknown: "Unknown" };
const NAMES = { db: "Database", cache: "Cache", web: "Web server" };

let answered = null; // when the service last gave an answer we understood
let components = [];

const show = (id, text) => {
  const element = document.getElementById(id);
  if (element.textContent !== text) element.textContent = text;
};

const nameOf = (id) => NAMES[id] ?? id;

function seconds(milliseconds) {
  const whole = Math.round(milliseconds / 1000);
  return whole < 120 ? `${whole} s` : `${Math.round(whole / 60)} min`;
}

function understand(body) {
  if (!WORDS[body?.status] || typeof body.checks !== "object") throw new TypeError("not a health answer");
  return Object.entries(body.checks).map(([id, [check]]) => {
    if (!WORDS[check.status]) throw new TypeError("not a health answer");
    return { id, status: check.status, latency: Number(check.observedValue) };
  });
}

function summary(known) {
  if (!known) return answered ? `Unknown: no answer from the API for ${seconds(Date.now() - answered)}` : "Unknown: no answer from the API";
  const bad = components.filter((component) => component.status !== "pass");
  if (bad.length === 0) return "All systems operational";
  return bad.map(({ id, status }) => `${nameOf(id)} ${WORDS[status].toLowerCase()}`).join(", ");
}

function render(known) {
  const text = summary(known);
  show("summary", text);
  document.title = known && text.startsWith("All") ? "Operational" : text;
  show("age", answered ? `last answer ${new Date(answered).toLocaleTimeString()}` : "");
  document.getElementById("components").replaceChildren(...components.map(({ id, status, latency }) => {
    const row = document.createElement("li");
    const state = known ? status : "unknown";
    for (const [tag, kind, content] of [
      ["b", "", nameOf(id)],
      ["span", `state ${state}`, known ? WORDS[state] : `Unknown, was ${WORDS[status].toLowerCase()}`],
      ["span", "latency", known ? `${latency.toFixed(1)} ms` : ""],
    ]) {
      const element = document.createElement(tag);
      element.className = kind;
      element.textContent = content;
      row.append(element);
    }
    return row;
  }));
}

async function ask(path) {
  const response = await fetch(path, { signal: AbortSignal.timeout(ANSWER_WITHIN), cache: "no-store" });
  return response.json();
}

async function tick() {
  try {
    components = understand(await ask("/health/all"));
    answered = Date.now();
    render(true);
  } catch {
    render(false);
  }
  setTimeout(tick, INTERVAL);
}

ask("/version").then(({ stack, environment }) => show("stack", `${stack} · ${environment}`)).catch(() => {});
tick();
