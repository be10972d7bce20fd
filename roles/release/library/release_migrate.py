"""Documentation of the action release_migrate; its work is in ../action_plugins/release_migrate.py."""

DOCUMENTATION = """
module: release_migrate
short_description: Bring the database up to date with the new code, in a task of its own
description:
  - Its exit code decides. No service has been touched yet.
options:
  environment:
    description: The environment.
    type: str
  manifest:
    description: The release.
    type: dict
  token:
    description: Of the lease.
    type: str
  pace:
    description: How to wait; see the role.
    type: dict
"""
