"""Documentation of the action stack_engine; its work is in ../action_plugins/stack_engine.py."""

DOCUMENTATION = """
module: stack_engine
short_description: Choose the engine, and have the ports free
description:
  - Returns what the other tasks need to know of it, and the services it will start, in their order.
  - Fails when the engine cannot be used, or somebody else holds a port.
options:
  engine:
    description: C(auto) or the name of an engine.
    type: str
  free_ports:
    description: Move all ports to a free block when one is taken, and keep it in C(.env).
    type: bool
  copy_data:
    description: Whether the database of the other engine is copied, and needs no mention.
    type: bool
"""
