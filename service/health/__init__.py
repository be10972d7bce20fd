"""Health of the components: background threads check them, so that a request only reads the result."""
