"""Prices of AWS in us-east-1, in dollars, each with where and when it was read; what nobody has read is an estimate."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

REGION = "us-east-1"
HOURS = 730
"""Of a month."""
READ = "2026-11"
MEMORY = ""
"""The source of what was never looked up."""


class Price(msgspec.Struct, frozen=True):
    """What one unit costs.

    Args:
        dollars: an hour, or a month.
        source: where it was read; empty: nowhere, so that it is an estimate.
        read: the date of the source, or when it was read.
    """

    dollars: float
    source: str = MEMORY
    read: str = READ

    @property
    def estimated(self) -> bool:
        """Whether nobody has read it."""
        return self.source == MEMORY


FARGATE = "vantage.sh/blog/fargate-pricing"
NETWORK = "zacfukuda.com"
DATABASES = "infratally.com"

VCPU_HOUR = {"ARM64": Price(0.03238, FARGATE), "X86_64": Price(0.04048, FARGATE)}
GB_HOUR = {"ARM64": Price(0.00356, FARGATE), "X86_64": Price(0.004445, FARGATE)}
SPOT_SHARE = Price(0.30)
"""What Fargate Spot costs of that, about: it changes with supply."""

NODE_HOUR: Mapping[tuple[str, str], Price] = {
    ("postgres", "db.t4g.micro"): Price(0.016, DATABASES, "2026"),
    ("postgres", "db.t4g.small"): Price(0.032, DATABASES, "2026"),
    ("postgres", "db.t4g.medium"): Price(0.065, DATABASES, "2026"),
    ("valkey", "cache.t4g.micro"): Price(0.0128),
    ("valkey", "cache.t4g.small"): Price(0.0256),
    ("valkey", "cache.t4g.medium"): Price(0.052),
    ("redis", "cache.t4g.micro"): Price(0.016),
    ("redis", "cache.t4g.small"): Price(0.032),
    ("redis", "cache.t4g.medium"): Price(0.065),
}
"""By engine, for the same node costs a fifth less with Valkey than with Redis OSS."""
GP3_GB_MONTH = Price(0.115, "usage.ai", "2026-06")
ACU_HOUR = Price(0.12, "c3x.dev/blog/aws-aurora-serverless-v2-cost", "2026")
"""Of Aurora Serverless v2, with storage and requests beside it."""
AWAKE = 0.5
"""ACU that it has at least while anybody is connected."""
AURORA_GB_MONTH = Price(0.10, "awsnegotiations.com/blog/aurora-serverless-v2-pricing", "2026-05")
AURORA_GB = 10
"""What a small database stores, about: Aurora is paid by what is stored."""
CACHE_GB_HOUR = Price(0.084, "usage.ai/blogs/aws/database-savings-plans/elasticache/serverless-pricing", "2026-06")
CACHE_GB = 0.1
"""The least that a serverless Valkey is paid for; requests cost $0.0023 a million units beside it."""
NAT_HOUR = Price(0.045, NETWORK, "2026-06-01")
ENDPOINT_HOUR = Price(0.01, NETWORK, "2026-06-01")
LOAD_BALANCER_HOUR = Price(0.0225, "cloud-horizons.com", "2026-05-08")
IPV4_HOUR = Price(0.005, "factualminds.com", "2026-06-13")
KEY_MONTH = Price(1.0)
ALARM_MONTH = Price(0.10)
METRIC_MONTH = Price(0.30, "signoz.io/guides/cloudwatch-pricing", "2026-02-15")
LOGS_GB = Price(0.50, "factualminds.com/blog/amazon-cloudwatch-pricing-metrics-logs-alarms-dashboards", "2026")

INSIGHTS_CLUSTER, INSIGHTS_SERVICE, INSIGHTS_FAMILY = 13, 15, 10
"""How many metrics Container Insights writes for each cluster, service, and family of task definitions.

Counted in its table of metrics and dimensions, read 2026-11:
docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Container-Insights-metrics-ECS.html
"""
COMPONENTS = 5
"""How many components a service reports on, about: each is a metric of its own."""
FLOW_GB = 0.2
"""What the flow log of refused connections brings in a month, about: a public address is always knocked at."""
