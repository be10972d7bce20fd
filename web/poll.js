// Asks again and again, politely: one request at a time, with a limit of time and the ETag of the answer before,
// not while the page is hidden, and ever more rarely while there is no answer.

const ANSWER_WITHIN = 4_000;
const LONGEST_PAUSE = 30_000;

const api = document.documentElement.dataset.api ?? "";

/**
 * @param path     returns what to ask for.
 * @param pause    returns the milliseconds until the next request after an answer.
 * @param answered is given the answer, or null when it is that of before (304); throws when it is none.
 * @param failed   is told that there was no answer, or none to be believed.
 * @returns an object to ask at once with, and that knows when it will ask next.
 */
export function poll({ path, pause, answered, failed }) {
  const tags = new Map();
  const self = { ask, next: 0 };
  let timer = 0;
  let asking = null;
  let failures = 0;

  async function request(wanted) {
    const tag = tags.get(wanted);
    const response = await fetch(api + wanted, {
      headers: tag ? { "If-None-Match": tag } : {},
      cache: "no-store",
      signal: AbortSignal.any([asking.signal, AbortSignal.timeout(ANSWER_WITHIN)]),
    });
    if (response.status === 304) return answered(null, wanted);
    if (!response.ok) throw new Error(`status ${response.status}`);
    answered(await response.json(), wanted);
    tags.set(wanted, response.headers.get("ETag"));
  }

  async function ask() {
    clearTimeout(timer);
    asking?.abort();
    asking = null;
    if (document.hidden) return;
    const mine = (asking = new AbortController());
    const wanted = path();
    try {
      await request(wanted);
      failures = 0;
    } catch (error) {
      if (asking !== mine) return; // another one has been sent in its place
      failures += 1;
      tags.delete(wanted);
      failed(error, wanted);
    }
    if (asking !== mine) return;
    asking = null;
    later();
  }

  function later() {
    const rarely = Math.min(LONGEST_PAUSE, 1_000 * 2 ** failures);
    const wait = failures ? rarely * (0.5 + Math.random() / 2) : pause();
    self.next = performance.now() + wait;
    timer = setTimeout(ask, wait);
  }

  document.addEventListener("visibilitychange", ask);
  addEventListener("online", ask);
  addEventListener("offline", ask);
  return self;
}
