"""The verbs on the secrets that you give an environment."""

from __future__ import annotations

from invoke.context import Context

from stackhand.tasks.environment import ENVIRONMENT
from stackhand.tasks.verb import task


@task(name="set", help={"environment": ENVIRONMENT, "name": "the variable; its value is read from stdin or a prompt"})
def set_value(c: Context, environment: str, name: str) -> None:
    """Store the value of a secret that you were given."""
    from stackhand.infrastructure import secret_values as module

    module.set_value(environment=environment, name=name)


@task(name="list", help={"environment": ENVIRONMENT, "json": "one JSON document on stdout"})
def show(c: Context, environment: str, json: bool = False) -> None:
    """Show an environment's secrets, never their values."""
    from stackhand.infrastructure import secret_values as module

    module.show(environment=environment, json=json)


@task(help={"environment": ENVIRONMENT, "name": "the variable", "yes": "do not ask for the secret's name"})
def unset(c: Context, environment: str, name: str, yes: bool = False) -> None:
    """Delete a secret that you were given."""
    from stackhand.infrastructure import secret_values as module

    module.unset(environment=environment, name=name, yes=yes)
