"""Documentation of the action stack_start; its work is in ../action_plugins/stack_start.py."""

DOCUMENTATION = """
module: stack_start
short_description: Start the services and wait until they can be used
description:
  - Does nothing to a healthy service that runs as the current settings want it.
  - Fails as soon as one stops or becomes unhealthy, with its last health check and log lines, and leaves it there.
options:
  engine:
    description: The engine.
    type: str
  timeout:
    description: Seconds each service has to become healthy.
    type: float
"""
