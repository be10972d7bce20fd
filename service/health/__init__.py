"""Health of the components: looked at in the background, so that a request reads and never waits."""
