"""What people see of everything: failures and exit codes, the screen, streams."""
