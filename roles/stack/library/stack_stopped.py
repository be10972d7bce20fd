"""Documentation of the action stack_stopped; its work is in ../action_plugins/stack_stopped.py."""

DOCUMENTATION = """
module: stack_stopped
short_description: Stop everything of this checkout, on both engines
description:
  - Ends containers, supervised services, and those that a killed supervisor left behind.
options:
  volumes:
    description: Remove the data as well, that of the other engine too.
    type: bool
"""
