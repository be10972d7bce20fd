"""Bring the database to the schema of service/migrations: `python -m service migrate`."""
