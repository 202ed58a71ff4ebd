"""Read the past of a service and of its neighbours, as far as AWS shows it, in a bounded number of calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Final, TypeVar

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.past.calibration import DAYS, Calibration, PastRollout, calibration_of
from ecs_gpu_deploy.edges.aws.answers import AwsError
from ecs_gpu_deploy.edges.aws.revisions import fetch_tags
from ecs_gpu_deploy.edges.aws.service_past import (
    fetch_clusters,
    fetch_services,
    fetch_successes,
    with_settings,
)
from ecs_gpu_deploy.errors import DeployError
from ecs_gpu_deploy.model import Service
from ecs_gpu_deploy.result import Finding, Severity

T = TypeVar("T")

_OTHERS: Final = 25
"""Other services that are looked at: each is a call."""
_CLUSTERS: Final = 5
_OF_ANOTHER: Final = 20
_UNSEEN: Final = 3
"""Services that CodeDeploy deploys have none, and a role may be for one service alone."""


def calibrate(context: Context, service: Service) -> Calibration:
    """Return what the last 90 days tell of *service*; what AWS does not show is recorded, and left out.

    At most 6 calls for the service, 31 for others and 5 for tags. What AWS throttles is asked for again by
    the client; where it does so to the end, what is known by then is all.
    """
    since = context.clock.now() - DAYS * 86_400.0
    own: tuple[PastRollout, ...] = ()
    if service.deployment_controller == "ECS":
        own = _seen(context, "the service's deployments", lambda: _own(context, service, since)) or ()
    tags = _seen(context, "the tags of the revisions", lambda: fetch_tags(context.aws))
    return calibration_of(service, own, _of_others(context, service, since), tags or {})


def _own(context: Context, service: Service, since: float) -> tuple[PastRollout, ...]:
    briefs = fetch_successes(context.aws, context.ecs.cluster, service.name, since=since)
    return with_settings(context.aws, briefs)


def _of_others(context: Context, service: Service, since: float) -> Mapping[str, tuple[PastRollout, ...]]:
    """Return the rollouts of other services by their ARN; after a few that AWS does not show no more."""
    found: dict[str, tuple[PastRollout, ...]] = {}
    unseen = 0
    with suppress(AwsError, DeployError):
        for cluster, arn in _neighbours(context, service):
            try:
                listed = fetch_successes(context.aws, cluster, arn, since=since, most=_OF_ANOTHER)
                # The oldest may be its first, of which a brief does not say that no old task is in it.
                found[arn] = listed if len(listed) == _OF_ANOTHER else listed[:-1]
            except (AwsError, DeployError):
                unseen += 1
            if unseen >= _UNSEEN:
                break
    return found


def _neighbours(context: Context, service: Service) -> Iterator[tuple[str, str]]:
    """Yield the cluster and the ARN of other services of the account: first those of the same cluster."""
    clusters = [service.cluster_arn]
    with suppress(AwsError, DeployError):
        clusters += [each for each in fetch_clusters(context.aws) if each != service.cluster_arn]
    left = _OTHERS
    for cluster in clusters[:_CLUSTERS]:
        for arn in fetch_services(context.aws, cluster, most=left + 1):
            if arn != service.arn and left:
                left -= 1
                yield cluster, arn
        if not left:
            return


def _seen(context: Context, what: str, ask: Callable[[], T | None]) -> T | None:
    """Return what AWS shows; None, and recorded, where it does not."""
    try:
        if (found := ask()) is not None:
            return found
        why = "it is denied"
    except (AwsError, DeployError) as error:
        why = str(error).rstrip(".")
    context.record(
        Finding(
            code="not-checked",
            severity=Severity.WARNING,
            message=f"Not calibrated by {what}: AWS does not show us them: {why}.",
            hint="Allow ecs:ListServiceDeployments, ecs:DescribeServiceDeployments and tag:GetResources.",
        )
    )
    return None
