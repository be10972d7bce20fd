"""The verb that rehearses a whole deploy on this machine."""

from __future__ import annotations

from invoke.context import Context

from stackhand.tasks.verb import task


@task(
    help={
        "keep": "leave the last good release running and print its address",
        "restore": "also destroy the environment and restore it with its data from its last snapshot",
        "stop": "instead: stop what --keep left running",
        "verbose": "show all output of the verbs, not only their changes",
    }
)
def rehearse(c: Context, keep: bool = False, restore: bool = False, stop: bool = False, verbose: bool = False) -> None:
    """Rehearse a deploy on this machine, on an AWS emulator."""
    from stackhand.rehearsal import rehearse as module

    module.stop() if stop else module.rehearse(keep=keep, restore=restore, verbose=verbose)
