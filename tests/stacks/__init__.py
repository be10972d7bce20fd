"""Compose files in the shapes that people have, written for these tests."""
