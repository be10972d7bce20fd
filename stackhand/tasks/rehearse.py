"""The verb that plays a whole deploy through on this machine."""

from __future__ import annotations

from invoke.context import Context

from stackhand.tasks.verb import task


@task(
    help={
        "keep": "leave the last good release running, and say where",
        "restore": "also destroy the environment, and bring it back from the snapshot that it left, with its data",
        "stop": "instead: end what --keep left running",
        "verbose": "show all output of the verbs, not only what they changed",
    }
)
def rehearse(c: Context, keep: bool = False, restore: bool = False, stop: bool = False, verbose: bool = False) -> None:
    """Rehearse a deploy on this machine, against an AWS emulator with real containers."""
    from stackhand.rehearsal import rehearse as module

    module.stop() if stop else module.rehearse(keep=keep, restore=restore, verbose=verbose)
