"""The services that the Compose files describe, typed."""
