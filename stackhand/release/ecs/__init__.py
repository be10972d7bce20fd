"""What a release does on ECS: services, task definitions, tasks of jobs, and the verdict on a rollout."""
