"""The project's Compose files, as Compose itself resolves them."""
