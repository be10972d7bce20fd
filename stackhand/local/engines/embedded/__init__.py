"""The engine for machines with no container engine: supervised processes."""
