"""`python -m stackhand` is `./inv` without the making of its environment."""

import gc
import os
import signal

gc.set_threshold(20_000)  # a verb is over before there is much garbage: looking for it took a twentieth


def _leave(*_: object) -> None:
    os._exit(130)  # as an interrupted verb ends, but nothing is begun yet, and there is nothing to tell


for _number in (signal.SIGINT, signal.SIGTERM):
    if signal.getsignal(_number) is not signal.SIG_IGN:
        signal.signal(_number, _leave)

from stackhand.tasks.program import main  # noqa: E402 - takes longest, and an interruption of it would be a traceback

main()
