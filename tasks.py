"""The verbs, for a plain `invoke` in this folder; `./inv` runs the same ones (stackhand/tasks/)."""

from stackhand.tasks import ns

__all__ = ["ns"]
