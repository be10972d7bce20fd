"""Documentation of the action release_resume; its work is in ../action_plugins/release_resume.py."""

DOCUMENTATION = """
module: release_resume
short_description: Go on waiting for a release that was left rolling
description:
  - Orders nothing; judges as M(release_roll) does.
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
