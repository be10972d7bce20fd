"""Take Stackhand into a project, and out of it again."""
