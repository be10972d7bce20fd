"""Documentation of the action environment_machine; its work is in ../action_plugins/environment_machine.py."""

DOCUMENTATION = """
module: environment_machine
short_description: Check that this machine can run the stack
description:
  - Reads only. Fails when the disk is nearly full.
options: {}
"""
