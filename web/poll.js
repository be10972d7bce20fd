// One thing a time; not while the page is hidden, and ever more rarely without answers.

const ANSWER_WITHIN = 4_000;
const LONGEST_PAUSE = 30_000;
const api = document.documentElement.dataset.api;

// answered(body, path) gets null when the last answer still holds, and throws when it does not believe it.
export function poll({ path, pause, answered, failed }) {
  const tags = {};
  const self = { ask };
  let failures = 0;
  let timer, asking;

  async function request(wanted, signal) {
    const headers = tags[wanted] ? { "If-None-Match": tags[wanted] } : {};
    const response = await fetch(api + wanted, { headers, signal, cache: "no-store" });
    if (response.status === 304) return null;
    if (!response.ok) throw new Error(`status ${response.status}`);
    const body = await response.json();
    tags[wanted] = response.headers.get("ETag");
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
      tags[wanted] = null;
      failed(wanted);
    }
    const wait = failures ? Math.min(LONGEST_PAUSE, 1_000 * 2 ** failures) * (0.5 + Math.random() / 2) : pause();
    self.next = performance.now() + wait;
    timer = setTimeout(ask, wait);
  }

  document.addEventListener("visibilitychange", ask);
  addEventListener("online", ask);
  return self;
}
