"""Documentation of the action verification_record; its work is in ../action_plugins/verification_record.py."""

DOCUMENTATION = """
module: verification_record
short_description: Record the release as the last known good one, and give the lease back
description:
  - Returns the report of C(./inv deploy --json).
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
  keeper:
    description: The process that holds the lease.
    type: int
"""
