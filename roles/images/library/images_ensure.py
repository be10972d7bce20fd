"""Documentation of the action images_ensure; its work is in ../action_plugins/images_ensure.py."""

DOCUMENTATION = """
module: images_ensure
short_description: Have the images of a release in ECR
description:
  - Asks ECR first; builds and pushes what it has not. Their scans must have no finding worse than allowed.
  - Sets the fact C(images__digests), the digest of each image by the name of its service.
options:
  environment:
    description: The environment.
    type: str
  release:
    description: Terraform's output C(release).
    type: dict
  commit:
    description: The tag.
    type: str
  name:
    description: Another tag, which stays with this commit.
    type: str
  max_severity:
    description: The worst finding that may be released, or C(any).
    type: str
"""
