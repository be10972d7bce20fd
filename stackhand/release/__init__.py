"""From a commit to a release in the cloud, with a verdict."""
