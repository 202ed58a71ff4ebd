"""The deployments of 90 days that ended well: of one service with their settings, of others in brief."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Final

from ecs_gpu_deploy.core.past.calibration import PastRollout
from ecs_gpu_deploy.edges.aws.answers import reading
from ecs_gpu_deploy.edges.aws.client import Aws

_PAGE: Final = 100
_DESCRIBED: Final = 20


def fetch_successes(
    aws: Aws, cluster: str, service: str, *, since: float, most: int = _PAGE
) -> tuple[PastRollout, ...]:
    """Return the newest *most* deployments since then that succeeded, in brief; one call. Raises AwsError."""
    params: dict[str, Any] = {"cluster": cluster, "service": service, "maxResults": min(most, _PAGE)}
    params |= {"status": ["SUCCESSFUL"], "createdAt": {"after": since}}
    with reading("ecs.ListServiceDeployments"):
        listed = aws.pages("ecs", "list_service_deployments", params, "serviceDeployments")
        return tuple(PastRollout.from_api(item) for item in islice(listed, most))


def with_settings(aws: Aws, briefs: Sequence[PastRollout]) -> tuple[PastRollout, ...]:
    """Return the deployments with their settings and what they came from; twenty a call. Raises AwsError."""
    found: list[PastRollout] = []
    for at in range(0, len(briefs), _DESCRIBED):
        params = {"serviceDeploymentArns": [each.arn for each in briefs[at : at + _DESCRIBED]]}
        found += aws.read("ecs", "describe_service_deployments", params, _deployments)
    return tuple(found)


def _deployments(answer: Mapping[str, Any]) -> list[PastRollout]:
    return [PastRollout.from_api(item) for item in answer.get("serviceDeployments") or ()]


def fetch_clusters(aws: Aws) -> tuple[str, ...]:
    """Return the ARNs of the first hundred clusters; one call. Raises AwsError."""
    return tuple(islice(aws.pages("ecs", "list_clusters", {"maxResults": _PAGE}, "clusterArns"), _PAGE))


def fetch_services(aws: Aws, cluster: str, *, most: int) -> tuple[str, ...]:
    """Return the ARNs of the first *most* services of a cluster; one call. Raises AwsError."""
    params = {"cluster": cluster, "maxResults": min(most, _PAGE)}
    return tuple(islice(aws.pages("ecs", "list_services", params, "serviceArns"), most))
