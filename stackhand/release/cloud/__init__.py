"""What runs in an environment: its state, its logs, its jobs."""
