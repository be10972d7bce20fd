"""Documentation of the action release_check; its work is in ../action_plugins/release_check.py."""

DOCUMENTATION = """
module: release_check
short_description: Check that a release would not fail for what is around it
description:
  - Reads only: services, roles, secrets, log groups, target groups, network, images.
options:
  environment:
    description: The environment.
    type: str
  output:
    description: Terraform's output C(release).
    type: dict
  digests:
    description: The digest of each built image, by service.
    type: dict
"""
