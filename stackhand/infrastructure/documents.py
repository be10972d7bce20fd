"""What Terraform prints as JSON, as far as it is read.

Plans and states: https://developer.hashicorp.com/terraform/internals/json-format
What happens meanwhile: https://developer.hashicorp.com/terraform/internals/machine-readable-ui
"""

from __future__ import annotations

from typing import Any

import msgspec


class Effect(msgspec.Struct, frozen=True):
    """What a plan does, and the values of a resource before and after; there are none where it is not there."""

    actions: list[str] = []
    before: Any = None
    after: Any = None
    after_unknown: Any = None


class Resource(msgspec.Struct, kw_only=True):
    """A resource of a state, or a change of a plan; the index is that of `for_each` or `count`."""

    address: str
    type: str
    name: str = ""
    mode: str = "managed"
    index: str | int | None = None
    values: dict[str, Any] = {}
    change: Effect = Effect()


class TerraformOutput(msgspec.Struct):
    """An output; one that is known only when the plan is applied has no value yet."""

    value: Any = None


class Module(msgspec.Struct):
    """The resources of a module; all of ours are in the root."""

    resources: list[Resource] = []


class Values(msgspec.Struct):
    """What a state has; nothing, when it is empty."""

    root_module: Module = msgspec.field(default_factory=Module)
    outputs: dict[str, TerraformOutput] = {}

    def managed(self) -> list[Resource]:
        """Return the resources without what is only looked up."""
        return [each for each in self.root_module.resources if each.mode == "managed"]

    def known(self) -> dict[str, Any]:
        """Return the values of the outputs that are known."""
        return {name: each.value for name, each in self.outputs.items() if each.value is not None}


class TerraformState(msgspec.Struct):
    """A state."""

    values: Values = msgspec.field(default_factory=Values)


class TerraformPlan(msgspec.Struct):
    """A plan: what it changes, what comes of it, and what was there."""

    resource_changes: list[Resource] = []
    output_changes: dict[str, Effect] = {}
    planned_values: Values = msgspec.field(default_factory=Values)
    prior_state: TerraformState = msgspec.field(default_factory=TerraformState)


class Point(msgspec.Struct):
    """A place in a file."""

    line: int


class Span(msgspec.Struct):
    """What a diagnostic is about, in a file."""

    filename: str
    start: Point


class Diagnostic(msgspec.Struct):
    """An error or a warning; the address is of a resource."""

    summary: str = ""
    detail: str = ""
    address: str = ""
    range: Span | None = None

    def line(self) -> str:
        """Return where and what, without why."""
        place = self.address or (f"{self.range.filename}, line {self.range.start.line}" if self.range else "")
        return ": ".join(filter(None, (place, self.summary)))


class Changes(msgspec.Struct):
    """How many resources a plan or an apply changes."""

    add: int = 0
    change: int = 0
    remove: int = 0
    operation: str = ""


class Hook(msgspec.Struct):
    """What is done with a resource."""

    action: str = ""


class TerraformEvent(msgspec.Struct):
    """One line of what a command prints with `-json`."""

    type: str = ""
    level: str = msgspec.field(default="", name="@level")
    message: str = msgspec.field(default="", name="@message")
    diagnostic: Diagnostic | None = None
    changes: Changes = msgspec.field(default_factory=Changes)
    hook: Hook = msgspec.field(default_factory=Hook)


def event(line: str) -> TerraformEvent:
    """Return what a line tells; an event without a type where it is none."""
    try:
        return msgspec.json.decode(line, type=TerraformEvent)
    except ValueError:
        return TerraformEvent()
