"""`python -m stackhand` is `./inv` without the making of its environment."""

import gc
import os
import signal
import sys

gc.set_threshold(20_000)  # a verb is over before there is much garbage: looking for it took a twentieth


def _leave(*_: object) -> None:
    os._exit(130)  # as an interrupted verb ends, but nothing is begun yet, and there is nothing to tell


for _number in (signal.SIGINT, signal.SIGTERM):
    if signal.getsignal(_number) is not signal.SIG_IGN:
        signal.signal(_number, _leave)

os.umask(os.umask(0o022) | 0o022)  # what Python compiles is run again, so nobody else may write it

from stackhand.ansible import process  # noqa: E402 - takes long, and an interruption of it would be a traceback

process.begin(sys.argv[1:])  # before what the verb itself needs is imported: that takes half as long again

from stackhand.tasks.program import main  # noqa: E402 - likewise

main()
