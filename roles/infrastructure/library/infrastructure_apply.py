"""Documentation of the action infrastructure_apply; its work is in ../action_plugins/infrastructure_apply.py."""

DOCUMENTATION = """
module: infrastructure_apply
short_description: Apply what was planned
description:
  - Sets the fact C(infrastructure_release) to the output of that name.
options:
  environment:
    description: The environment.
    type: str
  plan:
    description: What infrastructure_plan reported.
    type: dict
  outputs:
    description: The outputs as infrastructure_plan knows them; they are used when nothing changes.
    type: dict
  may_lose_data:
    description: Also when something is deleted that holds data.
    type: bool
  restore:
    description: What infrastructure_plan reported of the databases that start from a snapshot.
    type: dict
  lock_wait:
    description: Seconds to wait while somebody else has the state.
    type: float
"""
