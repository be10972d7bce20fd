"""The services of the Compose files, as AWS runs them."""
