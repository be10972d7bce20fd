"""Documentation of the action preflight_lease; its work is in ../action_plugins/preflight_lease.py."""

DOCUMENTATION = """
module: preflight_lease
short_description: Check who we are and what is to be released, and take the lease of the environment
description:
  - A process of its own holds the lease until this playbook ends, however it ends.
options:
  environment:
    description: The environment.
    type: str
  state:
    description: C(released), C(resumed) or C(returned).
    type: str
  tag:
    description: A commit whose images are there, or another name for what is checked out.
    type: str
  dirty:
    description: Let changes go along that are not committed.
    type: bool
  allow_older:
    description: Let a commit be released that is older than what runs, or whose age nobody can tell.
    type: bool
  lock_wait:
    description: Seconds to wait for the lease.
    type: float
  to:
    description: The release to return to; the last good one before this, when empty.
    type: str
"""
