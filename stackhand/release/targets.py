"""What the load balancer says of a service's tasks."""

from __future__ import annotations

from typing import Any

from stackhand.release.target import Service, Target

NO_TROUBLE = frozenset({"healthy", "draining", "unused"})


class Targets:
    """The target groups of an environment.

    Args:
        balancer: boto3's client for elbv2.
        target: Terraform's output.
    """

    def __init__(self, balancer: Any, target: Target) -> None:
        self.balancer, self.target = balancer, target

    def words(self, name: str) -> str:
        """Say how many of a service's tasks are healthy; nothing when it has no targets, or nobody may know."""
        from stackhand.aws.exceptions import BotoCoreError, ClientError

        try:
            found = self.of(self.target.services[name])
        except (BotoCoreError, ClientError):  # it is only progress
            return ""
        healthy = sum(each["TargetHealth"].get("State") == "healthy" for each in found)
        return f", {healthy}/{len(found)} targets healthy" if found else ""

    def troubles(self, service: Service) -> list[str]:
        """Return what is wrong with the tasks that are not healthy, three of them at most."""
        return [
            f"{each['Target']['Id']}:{each['Target'].get('Port', '')} {each['TargetHealth'].get('State')}: "
            f"{each['TargetHealth'].get('Reason', '')} {each['TargetHealth'].get('Description', '')}".rstrip(" :")
            for each in self.of(service)
            if each["TargetHealth"].get("State") not in NO_TROUBLE
        ][:3]

    def of(self, service: Service) -> list[dict[str, Any]]:
        """Return the targets of a service."""
        if not service.target_group:
            return []
        answer = self.balancer.describe_target_health(TargetGroupArn=service.target_group)
        found: list[dict[str, Any]] = answer["TargetHealthDescriptions"]
        return found
