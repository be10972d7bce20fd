"""Documentation of the action infrastructure_plan; its work is in ../action_plugins/infrastructure_plan.py."""

DOCUMENTATION = """
module: infrastructure_plan
short_description: Say what would change
description:
  - Its report has the changes by concern, which is the file of terraform/ that a resource stands in, and the cost.
options:
  environment:
    description: The environment.
    type: str
  refresh:
    description: Compare with what is there, not only with the state.
    type: bool
  cost:
    description: Also say what it costs when nothing changes, which takes Terraform a moment more.
    type: bool
  from_snapshot:
    description: The snapshot that a database starts from, as NAME or SERVICE=NAME.
    type: str
  replace_database:
    description: Also where there is a database already.
    type: bool
  lock_wait:
    description: Seconds to wait while somebody else has the state.
    type: float
"""
