"""Documentation of the action stack_service; its work is in ../action_plugins/stack_service.py."""

DOCUMENTATION = """
module: stack_service
short_description: Start one service of the embedded engine and wait until it can be used
description:
  - Does nothing to a healthy service that runs from the same program.
options:
  engine:
    description: The engine.
    type: str
  service:
    description: Its name in docker-compose.yml.
    type: str
  timeout:
    description: Seconds it may take.
    type: float
"""
