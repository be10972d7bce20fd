"""Stackhand in a repository that people already have: what it puts there, renews and takes out again."""
