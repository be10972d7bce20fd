"""What AWS asks for what we run: list prices of us-east-1 in US dollars, read where docs/operations.md says."""

from __future__ import annotations

HOURS = 730
"""Of a month."""
READ = "2026-11"
REGION = "us-east-1"

VCPU_HOUR = {"ARM64": 0.03238, "X86_64": 0.04048}
GB_HOUR = {"ARM64": 0.00356, "X86_64": 0.004445}
SPOT_SHARE = 0.30
"""What Fargate Spot costs of that, about: it changes with supply."""

NODE_HOUR = {
    "db.t4g.micro": 0.016,
    "db.t4g.small": 0.032,
    "db.t4g.medium": 0.065,
    "cache.t4g.micro": 0.016,
    "cache.t4g.small": 0.032,
    "cache.t4g.medium": 0.065,
}
GP3_GB_MONTH = 0.115
NAT_HOUR = 0.045
ENDPOINT_HOUR = 0.01
LOAD_BALANCER_HOUR = 0.0225
IPV4_HOUR = 0.005
KEY_MONTH = 1.0
ALARM_MONTH = 0.10
ZONE_MONTH = 0.50
