"""The health service: what runs, whether its dependencies do, and how they have been."""

__version__ = "0.2.0"
