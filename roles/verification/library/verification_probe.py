"""Documentation of the action verification_probe; its work is in ../action_plugins/verification_probe.py."""

DOCUMENTATION = """
module: verification_probe
short_description: Ask the release through the load balancer
description:
  - Several times in a row it must be healthy, be this release, and be quick; else all services return.
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
