"""Documentation of the action stack_verify; its work is in ../action_plugins/stack_verify.py."""

DOCUMENTATION = """
module: stack_verify
short_description: Check that what answers at the addresses is this stack, and wait until all of it is healthy
description:
  - Reads only. Returns the report of C(./inv up --json).
options:
  engine:
    description: The engine.
    type: str
  started:
    description: The steps of M(stack_start), for their times.
    type: list
    elements: dict
  timeout:
    description: Seconds until the overall health, where a service reports it, has to be C(pass).
    type: float
"""
