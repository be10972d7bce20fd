"""Documentation of the action infrastructure_destroy; its work is in ../action_plugins/infrastructure_destroy.py."""

DOCUMENTATION = """
module: infrastructure_destroy
short_description: Remove an environment
description:
  - Lifts the protection against deletion, then removes everything but the bucket; databases leave a snapshot.
  - Holds the lease meanwhile, so nobody deploys; the releases stay in the history, and are no way back any more.
options:
  environment:
    description: The environment.
    type: str
  confirmed:
    description: The environment's name once more.
    type: str
  lock_wait:
    description: Seconds to wait while somebody else has the state.
    type: float
"""
