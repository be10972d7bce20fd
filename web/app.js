// What is asked when.

import * as now from "./now.js";
import * as past from "./history.js";
import { poll } from "./poll.js";

// What hangs fails at its second look: within 7.1 s (PROBE_INTERVAL, two deadlines, a pause).
const TICK = 1_500;
const TICK_NEAR_NEWS = 500;

const asked = poll(past.questions);
const state = poll({
  path: () => "/api/status",
  pause: () => (now.isSettled() ? TICK : TICK_NEAR_NEWS),
  answered(body) {
    now.hear(body);
    if (body) past.follow(body, asked);
    show();
  },
  failed() {
    now.hearNothing();
    show();
  },
});

function show() {
  now.show(state.next - performance.now());
  past.tellAge();
}

document.addEventListener("visibilitychange", show);
setInterval(show, 1_000);
past.open(asked);
state.ask();
