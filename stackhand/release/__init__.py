"""From images to a verified release on ECS, or back to the one before."""
