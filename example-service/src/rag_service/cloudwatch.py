"""Tell CloudWatch how many requests are being answered: a line on stdout in the embedded metric format.

CloudWatch Logs makes the metric out of the line (CloudWatch User Guide, "Specification: Embedded metric
format"); no agent, no call, no permission beside the log driver's own. It is what the service is scaled by: a
request counts from its headers to the end of its answer, however long that is streamed.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rag_service.lines import write_line
from rag_service.settings import Settings

NAMESPACE = "RagService"
METRIC = "rag_requests_in_flight"


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """Name the ECS service that this task belongs to."""

    cluster: str
    service: str


class InFlight:
    """Count what is being answered, and what that was on average; times are the caller's, in seconds."""

    def __init__(self, now: float) -> None:
        self.count = 0
        self._began = self._changed = now
        self._area = 0.0

    def change(self, by: int, now: float) -> None:
        """Note that a request came (1) or was answered (-1)."""
        self._area += self.count * (now - self._changed)
        self.count, self._changed = self.count + by, now

    def take_mean(self, now: float) -> float:
        """Give the mean since it was last taken: a look at one moment would miss what came between."""
        self.change(0, now)
        seconds = now - self._began
        mean = self._area / seconds if seconds > 0 else float(self.count)
        self._began, self._area = now, 0.0
        return mean


def home_of(cluster: str, service: str, task: Mapping[str, Any]) -> Home | None:
    """Name the service by the settings, else by ECS's task metadata; None where neither tells both.

    The metadata has the cluster's ARN or name; the service's name is in it on EC2, not on Fargate (ECS
    Developer Guide, "Amazon ECS task metadata V4 JSON response").
    """
    cluster = cluster or str(task.get("Cluster") or "").rpartition("/")[2]
    service = service or str(task.get("ServiceName") or "")
    return Home(cluster=cluster, service=service) if cluster and service else None


def metric_of(home: Home, mean: float, *, at: float) -> dict[str, Any]:
    """Write the metric; `at` in seconds since 1970."""
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [["ClusterName", "ServiceName"]],
        "Metrics": [{"Name": METRIC, "Unit": "Count"}],
    }
    return {
        "_aws": {"Timestamp": int(at * 1000), "CloudWatchMetrics": [directive]},
        "ClusterName": home.cluster,
        "ServiceName": home.service,
        METRIC: round(mean, 3),
    }


async def find_home(settings: Settings) -> Home | None:
    """Look the service up once; None where there is none, or where its metadata cannot be had."""
    known = home_of(settings.cluster_name, settings.service_name, {})
    metadata = os.environ.get("ECS_CONTAINER_METADATA_URI_V4", "")
    if known is not None or not metadata.startswith("http://"):
        return known
    import httpx

    try:
        async with httpx.AsyncClient(timeout=2, trust_env=False) as client:
            task = (await client.get(f"{metadata}/task")).raise_for_status().json()
    except (httpx.HTTPError, ValueError):
        return None
    return home_of(settings.cluster_name, settings.service_name, task if isinstance(task, dict) else {})


async def publish(settings: Settings, in_flight: InFlight) -> None:
    """Write a line every METRIC_SECONDS until cancelled; none at all outside of an ECS service."""
    in_flight.take_mean(time.monotonic())
    home = await find_home(settings)
    while settings.cluster_name or settings.service_name or "ECS_CONTAINER_METADATA_URI_V4" in os.environ:
        await asyncio.sleep(settings.metric_seconds)
        home = home or await find_home(settings)
        mean = in_flight.take_mean(time.monotonic())
        if home is not None:
            write_line(metric_of(home, mean, at=time.time()))
