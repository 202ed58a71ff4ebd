"""Refuse a capacity provider that the cluster does not have, before anything is registered for it."""

from __future__ import annotations

from collections.abc import Sequence

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.definition.task_request import CapacityShare
from ecs_gpu_deploy.edges.aws.answers import AwsError
from ecs_gpu_deploy.edges.aws.raw_documents import fetch_raw_cluster
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.model import short_id


def check_providers(context: Context, cluster: str, strategy: Sequence[CapacityShare]) -> None:
    """Raise InvalidInput for a capacity provider of *strategy* that *cluster* (name or ARN) does not have.

    Where the cluster may not be seen, it is left to AWS.
    """
    if not strategy:
        return
    try:
        seen = fetch_raw_cluster(context.aws, cluster)
    except AwsError:
        return
    if seen is None:
        raise InvalidInput(
            f"There is no cluster {short_id(cluster)!r} in {context.aws.region}.",
            hint="Check cluster, region and the account of the credentials.",
        )
    there = [str(name) for name in seen.get("capacityProviders") or ()]
    for share in strategy:
        if short_id(share.capacity_provider) not in there:
            raise InvalidInput(
                f"The cluster {short_id(cluster)!r} has no capacity provider {share.capacity_provider!r}.",
                hint=f"It has {', '.join(sorted(there))}." if there else "It has none.",
            )
