"""What EC2's GPU instance types cost and how many network interfaces they take, by dated public lists.

Prices are on demand, Linux, in USD an hour (gpu_prices.json, written by tools/gpu_prices.py); a Region that
is not there has no known price. Sources: github.com/aws/karpenter-provider-aws at 1d927085,
pkg/providers/pricing (AWS's Price List; us-east-1 and us-gov) and pkg/providers/instancetype
(DescribeInstanceTypes); github.com/aws/amazon-vpc-resource-controller-k8s at b8d42511,
pkg/aws/vpc/limits.go (interfaces behind a trunk, 2026-03-20); github.com/tsaol/aws-gpu at 77fcd9fe,
data/all_gpu_instances.js (AWS's Price List by way of instances.vantage.sh; all other Regions).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, Final


@cache
def _regions() -> Mapping[str, Mapping[str, Any]]:
    """Read the prices; a release has them as a module (tools/bundle.py)."""
    table: Mapping[str, Mapping[str, Any]]
    try:
        from ecs_gpu_deploy.core.capacity.gpu_prices import TABLE  # type: ignore[import-not-found]  # noqa: PLC0415
    except ImportError:
        from importlib.resources import files  # noqa: PLC0415

        text = files("ecs_gpu_deploy.core.capacity").joinpath("gpu_prices.json").read_text(encoding="utf-8")
        table = json.loads(text)
    else:
        table = TABLE
    return table


def price_of(instance_type: str, region: str) -> tuple[float, str] | None:
    """Return what an instance costs, in USD an hour, and when AWS said so; None where the list lacks it.

    The date is in ISO 8601. Source: AWS's Price List, as the module's docstring has it.
    """
    prices = _regions().get(region, {})
    known = prices.get("usd", {}).get(instance_type)
    return None if known is None else (float(known), str(prices["date"]))


NETWORK_INTERFACES: Final[Mapping[str, int]] = {
    "g4dn.12xlarge": 8,
    "g4dn.16xlarge": 4,
    "g4dn.2xlarge": 3,
    "g4dn.4xlarge": 3,
    "g4dn.8xlarge": 4,
    "g4dn.metal": 15,
    "g4dn.xlarge": 3,
    "g5.12xlarge": 15,
    "g5.16xlarge": 8,
    "g5.24xlarge": 15,
    "g5.2xlarge": 4,
    "g5.48xlarge": 7,
    "g5.4xlarge": 8,
    "g5.8xlarge": 8,
    "g5.xlarge": 4,
    "g5g.16xlarge": 15,
    "g5g.2xlarge": 4,
    "g5g.4xlarge": 8,
    "g5g.8xlarge": 8,
    "g5g.metal": 15,
    "g5g.xlarge": 4,
    "g6.12xlarge": 8,
    "g6.16xlarge": 15,
    "g6.24xlarge": 15,
    "g6.2xlarge": 4,
    "g6.48xlarge": 15,
    "g6.4xlarge": 8,
    "g6.8xlarge": 8,
    "g6.xlarge": 4,
    "g6e.12xlarge": 10,
    "g6e.16xlarge": 15,
    "g6e.24xlarge": 20,
    "g6e.2xlarge": 4,
    "g6e.48xlarge": 40,
    "g6e.4xlarge": 8,
    "g6e.8xlarge": 8,
    "g6e.xlarge": 4,
    "g6f.2xlarge": 4,
    "g6f.4xlarge": 8,
    "g6f.large": 2,
    "g6f.xlarge": 4,
    "g7.12xlarge": 12,
    "g7.24xlarge": 24,
    "g7.2xlarge": 4,
    "g7.48xlarge": 24,
    "g7.4xlarge": 8,
    "g7.8xlarge": 10,
    "g7e.12xlarge": 10,
    "g7e.24xlarge": 20,
    "g7e.2xlarge": 4,
    "g7e.48xlarge": 40,
    "g7e.4xlarge": 8,
    "g7e.8xlarge": 8,
    "gr6.4xlarge": 8,
    "gr6.8xlarge": 8,
    "gr6f.4xlarge": 8,
    "p3.16xlarge": 8,
    "p3.2xlarge": 4,
    "p3.8xlarge": 8,
    "p3dn.24xlarge": 15,
    "p4d.24xlarge": 60,
    "p4de.24xlarge": 60,
    "p5.48xlarge": 64,
    "p5.4xlarge": 4,
    "p5e.48xlarge": 64,
    "p5en.48xlarge": 64,
    "p6-b200.48xlarge": 32,
    "p6-b300.48xlarge": 68,
}

BRANCH_INTERFACES: Final[Mapping[str, int]] = {
    "g4dn.12xlarge": 54,
    "g4dn.16xlarge": 118,
    "g4dn.2xlarge": 39,
    "g4dn.4xlarge": 59,
    "g4dn.8xlarge": 58,
    "g4dn.metal": 107,
    "g4dn.xlarge": 39,
    "g5.12xlarge": 107,
    "g5.16xlarge": 114,
    "g5.24xlarge": 107,
    "g5.2xlarge": 17,
    "g5.48xlarge": 115,
    "g5.4xlarge": 34,
    "g5.8xlarge": 84,
    "g5.xlarge": 4,
    "g5g.16xlarge": 107,
    "g5g.2xlarge": 38,
    "g5g.4xlarge": 54,
    "g5g.8xlarge": 54,
    "g5g.metal": 107,
    "g5g.xlarge": 18,
    "g6.12xlarge": 114,
    "g6.16xlarge": 107,
    "g6.24xlarge": 107,
    "g6.2xlarge": 38,
    "g6.48xlarge": 107,
    "g6.4xlarge": 54,
    "g6.8xlarge": 84,
    "g6.xlarge": 18,
    "g6e.12xlarge": 112,
    "g6e.16xlarge": 107,
    "g6e.24xlarge": 102,
    "g6e.2xlarge": 38,
    "g6e.48xlarge": 82,
    "g6e.4xlarge": 54,
    "g6e.8xlarge": 84,
    "g6e.xlarge": 18,
    "g6f.2xlarge": 38,
    "g6f.4xlarge": 54,
    "g6f.large": 10,
    "g6f.xlarge": 18,
    "g7e.12xlarge": 120,
    "g7e.24xlarge": 120,
    "g7e.2xlarge": 120,
    "g7e.48xlarge": 120,
    "g7e.4xlarge": 120,
    "g7e.8xlarge": 120,
    "gr6.4xlarge": 54,
    "gr6.8xlarge": 84,
    "gr6f.4xlarge": 54,
    "p3dn.24xlarge": 107,
    "p4d.24xlarge": 62,
    "p4de.24xlarge": 62,
    "p5.48xlarge": 120,
    "p5.4xlarge": 58,
    "p5e.48xlarge": 120,
    "p5en.48xlarge": 120,
    "p6-b200.48xlarge": 120,
    "p6-b300.48xlarge": 120,
}
"""How many network interfaces for tasks a trunk adds; a type that is not here takes none, or is not known."""
