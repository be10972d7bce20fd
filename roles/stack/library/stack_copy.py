"""Documentation of the action stack_copy; its work is in ../action_plugins/stack_copy.py."""

DOCUMENTATION = """
module: stack_copy
short_description: Copy the database from the other engine
description:
  - Without C(copied), stops what runs on either engine, and keeps the database of the other one as a snapshot.
  - With it, starts PostgreSQL on the engine, and restores that snapshot; what was there is kept as another one.
options:
  engine:
    description: C(auto) or the name of the engine that the database is copied to.
    type: str
  copied:
    description: What the first call returned.
    type: dict
"""
