"""Documentation of the action release_roll; its work is in ../action_plugins/release_roll.py."""

DOCUMENTATION = """
module: release_roll
short_description: Replace the services, all of them or none
description:
  - Decides on the deployments that UpdateService returned. When one fails, all return to the last known good release.
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
