"""The engine for machines with Docker: the same services in containers."""
