"""Documentation of the action stack_containers; its work is in ../action_plugins/stack_containers.py."""

DOCUMENTATION = """
module: stack_containers
short_description: Start the containers and wait until the services in them can be used
description:
  - Runs M(community.docker.docker_compose_v2), and watches the containers meanwhile.
  - Fails as soon as one stops or gets unhealthy, with its last health check and log lines, and leaves it there.
options:
  docker_host:
    description: The address of the container engine; the module knows nothing of contexts.
    type: str
  timeout:
    description: Seconds they may take.
    type: float
"""
