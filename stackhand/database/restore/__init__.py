"""Replacing a database of PostgreSQL by a dump."""
