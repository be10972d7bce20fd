"""Settings and secrets of an environment, in SSM."""
