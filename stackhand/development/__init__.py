"""The verbs for who works on this repository."""
