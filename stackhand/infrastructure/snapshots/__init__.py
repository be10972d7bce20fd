"""Snapshots of an environment's databases."""
