"""Running a playbook, and what the actions in it share."""
