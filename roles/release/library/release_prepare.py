"""Documentation of the action release_prepare; its work is in ../action_plugins/release_prepare.py."""

DOCUMENTATION = """
module: release_prepare
short_description: Register the task definitions that differ from what runs
description:
  - Terraform's template with the images by digest. What means the same as what runs is not registered again.
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
  commit:
    description: What the release is called, and its images say they are.
    type: str
  name:
    description: What else its images are called.
    type: str
  migrations:
    description: The folder of the migrations, from the checkout's root.
    type: str
  token:
    description: Of the lease.
    type: str
"""
