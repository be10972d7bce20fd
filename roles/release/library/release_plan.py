"""Documentation of the action release_plan; its work is in ../action_plugins/release_plan.py."""

DOCUMENTATION = """
module: release_plan
short_description: Say what a release of this commit would change
description:
  - Reads only. Task definitions, images, migrations, and what differs by now from what was released.
options:
  environment:
    description: The environment.
    type: str
  output:
    description: Terraform's output C(release), as it would be; that of the newest release, when empty.
    type: dict
  migrations:
    description: The folder of the migrations, from the checkout's root.
    type: str
  report:
    description: The report of Terraform's plan.
    type: dict
"""
