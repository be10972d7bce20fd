"""Documentation of the action infrastructure_check; its work is in ../action_plugins/infrastructure_check.py."""

DOCUMENTATION = """
module: infrastructure_check
short_description: Find out what would stop Terraform
description:
  - C(x-aws) in docker-compose.yml, Terraform and its version, the account one is logged in to, the bucket.
  - Notes which keys of docker-compose.yml AWS ignores or does otherwise.
options:
  environment:
    description: The environment.
    type: str
"""
