"""The namespaces of verbs: db, cache, bench."""
