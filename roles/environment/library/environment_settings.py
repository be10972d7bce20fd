"""Documentation of the action environment_settings; its work is in ../action_plugins/environment_settings.py."""

DOCUMENTATION = """
module: environment_settings
short_description: Make or complete C(.env)
description:
  - Creates C(.env) from C(.env.example) with generated secrets, or appends the keys that appeared there since.
  - Never overwrites a value; fails naming every wrong one.
options: {}
"""
