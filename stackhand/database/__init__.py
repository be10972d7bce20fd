"""The verbs on the database and the cache."""
