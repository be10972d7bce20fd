"""Documentation of the action infrastructure_bucket; its work is in ../action_plugins/infrastructure_bucket.py."""

DOCUMENTATION = """
module: infrastructure_bucket
short_description: Have the bucket for the state, the lease and the releases
description:
  - Versioned, encrypted, closed to the public and to everything but TLS. One that forgets versions is refused.
options:
  environment:
    description: The environment.
    type: str
"""
