// The page: asks what is true now every second or so, and for the past every minute, and shows both.

import * as answers from "./answers.js";
import * as history from "./history.js";
import * as now from "./now.js";
import { poll } from "./poll.js";

// Something that hangs fails at its second look, up to 7.1 s after it began to (PROBE_INTERVAL, its deadline, a retry).
const TICK = 1_500;
const TICK_WHEN_UNSETTLED = 500;

const present = poll({
  path: () => "/api/status",
  pause: () => (now.settled() ? TICK : TICK_WHEN_UNSETTLED),
  answered(body) {
    const answer = body && answers.status(body);
    now.heardFrom(answer);
    if (answer) history.follow(answer, past);
    render();
  },
  failed() {
    now.heardNothing();
    render();
  },
});

const past = poll(history.questions);

function render() {
  now.show(Math.max(0, present.next - performance.now()));
  history.mark(now.isKnown());
}

document.addEventListener("visibilitychange", render);
setInterval(render, 1_000);
history.openWindow(past);
present.ask();
