// What is requested when.

import * as status from "./status.js";
import * as history from "./history.js";
import { poll } from "./poll.js";

// A hanging dependency fails at its second check: within 7.1 s (PROBE_INTERVAL, two deadlines, a pause).
const INTERVAL = 1_500;
const INTERVAL_BEFORE_CHANGE = 500;

const historyPoll = poll(history.requests);
const statusPoll = poll({
  path: () => "/api/status",
  pause: () => (status.isStable() ? INTERVAL : INTERVAL_BEFORE_CHANGE),
  answered(body) {
    status.update(body);
    if (body) history.follow(body, historyPoll);
    show();
  },
  failed() {
    status.markFailed();
    show();
  },
});

function show() {
  status.show(statusPoll.next - performance.now());
  history.showAge();
}

document.addEventListener("visibilitychange", show);
setInterval(show, 1_000);
history.open(historyPoll);
statusPoll.ask();
