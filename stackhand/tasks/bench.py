"""The measurements."""

from __future__ import annotations

from invoke.context import Context

from stackhand.tasks.verb import task


@task
def local(c: Context) -> None:
    """Measure the verbs on this machine, beside the bare programs."""
    from stackhand.development import verbs as development

    development.bench("local")


@task
def compose(c: Context) -> None:
    """Measure the verbs on containers, beside docker compose."""
    from stackhand.development import verbs as development

    development.bench("compose")


@task
def service(c: Context) -> None:
    """Measure the service, beside FastAPI, Flask and Express."""
    from stackhand.development import verbs as development

    development.bench("service")


@task
def soak(c: Context) -> None:
    """Send the service 500 requests a second for a minute."""
    from stackhand.development import verbs as development

    development.bench("service_soak")


@task
def page(c: Context) -> None:
    """Measure the status page: first paint, size, delay."""
    from stackhand.development import verbs as development

    development.bench("page")


@task
def deploy(c: Context) -> None:
    """Measure a deploy, beside the same steps by hand."""
    from stackhand.development import verbs as development

    development.bench("deploy")


@task
def adoption(c: Context) -> None:
    """Measure init and the first up of a project, beside the bare installation."""
    from stackhand.development import verbs as development

    development.bench("adoption")


@task
def many(c: Context) -> None:
    """Measure 34 services, beside the bare programs and docker compose."""
    from stackhand.development import verbs as development

    development.bench("many")


@task
def growth(c: Context) -> None:
    """Measure what a million lines of log and 320 components take."""
    from stackhand.development import verbs as development

    development.bench("growth")
