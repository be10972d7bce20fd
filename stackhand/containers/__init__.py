"""The container engine of this machine: its command, its API, its images."""
