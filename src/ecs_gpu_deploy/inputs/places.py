"""Which cluster and which services are meant: names, ARNs, and what ECS takes where nobody says."""

from __future__ import annotations

import re

from ecs_gpu_deploy.core.defaults import CLUSTER
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.inputs.settings import required
from ecs_gpu_deploy.inputs.values import Values
from ecs_gpu_deploy.model import cluster_of, short_id

_CLUSTER = re.compile(r"arn:[a-z-]+:ecs:[a-z0-9-]+:\d{12}:cluster/[^/]+")
_SERVICE = re.compile(r"arn:[a-z-]+:ecs:[a-z0-9-]+:\d{12}:service/(?:[^/]+/)?[^/]+")


def named_cluster(values: Values) -> str:
    """Return the cluster that is meant: as given, as the ARN of the service says, or ECS's default.

    Of several services the first says it, if all of them are ARNs. Nothing is refused.
    """
    clusters = [cluster_of(service) for service in values.services]
    told = clusters[0] if clusters and all(clusters) else ""
    if told and len(distinct_services(values)) == 1:
        return told
    return values.cluster or told or CLUSTER


def checked_cluster(values: Values) -> str:
    """Return the cluster that is meant; InvalidInput where the ARN of the one service names another.

    So it is for an ARN of something else.
    """
    if values.cluster.startswith("arn:") and not _CLUSTER.fullmatch(values.cluster):
        raise InvalidInput(
            f"cluster is {values.cluster[:100]!r}, which is no ARN of a cluster.",
            hint="It is arn:aws:ecs:REGION:ACCOUNT:cluster/CLUSTER; or give the name.",
        )
    meant = named_cluster(values)
    if values.cluster and short_id(values.cluster) != short_id(meant):
        raise InvalidInput(
            f"cluster is {short_id(values.cluster)[:100]!r}, and the ARN of service names the cluster "
            f"{meant!r}.",
            hint="Leave cluster out, for the ARN gives it, or correct one of the two.",
        )
    return values.cluster or meant


def one_service(values: Values, *, command: str) -> str:
    """Return the one service of a command; InvalidInput for none, several, or an ARN of something else."""
    required(values.service, "service")
    return service_if_any(values, command=command)


def service_if_any(values: Values, *, command: str) -> str:
    """Return the service of a command that can do without, "" for none; refuse as `one_service` does."""
    services = checked_services(values)
    if len(services) > 1:
        raise InvalidInput(
            f"service names {len(services)} services, and {command} takes one.",
            hint="Run it once for each; deploy alone takes several.",
        )
    return services[0] if services else ""


def checked_services(values: Values) -> tuple[str, ...]:
    """Return the services, none twice, however it is named; InvalidInput for an ARN of something else."""
    for name in values.services:
        if name.startswith("arn:") and not _SERVICE.fullmatch(name):
            raise InvalidInput(
                f"service is {name[:100]!r}, which is no ARN of a service.",
                hint="It is arn:aws:ecs:REGION:ACCOUNT:service/CLUSTER/SERVICE; or give the name.",
            )
    return distinct_services(values)


def distinct_services(values: Values) -> tuple[str, ...]:
    """Return each service once, as it is named first."""
    found: dict[tuple[str, str], str] = {}
    for service in values.services:
        cluster = cluster_of(service) or short_id(values.cluster or CLUSTER)
        found.setdefault((cluster, short_id(service)), service)
    return tuple(found.values())
