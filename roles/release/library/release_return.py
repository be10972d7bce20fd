"""Documentation of the action release_return; its work is in ../action_plugins/release_return.py."""

DOCUMENTATION = """
module: release_return
short_description: Prepare the return to an earlier release
description:
  - Refuses one that was never good, does not work with the database any more, or needs what is gone or scaled to 0.
options:
  environment:
    description: The environment.
    type: str
  manifest:
    description: The release to return to.
    type: dict
  token:
    description: Of the lease.
    type: str
"""
