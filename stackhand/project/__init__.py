"""What a project says: its Compose file, settings, environments, ports and state."""
