"""Documentation of the action stack_prepare; its work is in ../action_plugins/stack_prepare.py."""

DOCUMENTATION = """
module: stack_prepare
short_description: Have what the services need before they start
description:
  - On embedded, renders the programs of docker-compose.yml below C(.stackhand), and has a supervisor.
  - On compose, pulls and builds images, and brings the database of an old volume in line with C(.env).
options:
  engine:
    description: The engine.
    type: str
"""
