// Asks again and again, politely: one request at a time, with a limit of time and the ETag of the answer before;
// not while the page is hidden; and ever more rarely, by chance, while there is no answer.

const ANSWER_WITHIN = 4_000;
const LONGEST_PAUSE = 30_000;
const api = document.documentElement.dataset.api;

// path() says what to ask for, pause() how long to wait after an answer. answered(body, path) gets the answer, or null
// when that of before still holds (304), and throws when it is none to be believed; then, or without one, failed(path).
export function poll({ path, pause, answered, failed }) {
  const tags = new Map();
  const self = { ask, next: 0 };
  let timer, asking, failures = 0;

  async function request(wanted, signal) {
    const headers = tags.has(wanted) ? { "If-None-Match": tags.get(wanted) } : {};
    const response = await fetch(api + wanted, { headers, signal, cache: "no-store" });
    if (response.status === 304) return null;
    if (!response.ok) throw new Error(`status ${response.status}`);
    const body = await response.json();
    tags.set(wanted, response.headers.get("ETag") ?? "");
    return body;
  }

  async function ask() {
    clearTimeout(timer);
    asking?.abort();
    asking = null;
    if (document.hidden) return;
    const mine = (asking = new AbortController());
    const wanted = path();
    try {
      const body = await request(wanted, AbortSignal.any([mine.signal, AbortSignal.timeout(ANSWER_WITHIN)]));
      if (asking !== mine) return; // another one was sent in its place
      answered(body, wanted);
      failures = 0;
    } catch {
      if (asking !== mine) return;
      failures += 1;
      tags.delete(wanted);
      failed(wanted);
    }
    const wait = failures ? Math.min(LONGEST_PAUSE, 1_000 * 2 ** failures) * (0.5 + Math.random() / 2) : pause();
    self.next = performance.now() + wait;
    timer = setTimeout(ask, wait);
  }

  document.addEventListener("visibilitychange", ask);
  addEventListener("online", ask);
  addEventListener("offline", ask);
  return self;
}
