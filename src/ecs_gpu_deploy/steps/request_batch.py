"""From the request of run-task to RunTask's: overrides, network, where to run, tags, volume."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ecs_gpu_deploy.core.definition.service_fit import lacks_for_fargate, runs_on_fargate
from ecs_gpu_deploy.core.definition.task_definition import network_mode
from ecs_gpu_deploy.core.definition.task_request import (
    TaskRequest,
    TaskVolume,
    awsvpc_of,
    late_volumes,
    overrides_of,
)
from ecs_gpu_deploy.edges.aws.ecs import RawTaskDefinition
from ecs_gpu_deploy.edges.aws.ecs_tasks import LaunchSettings
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.inputs.requests import RunTaskRequest


def request_tasks(
    request: RunTaskRequest, launch: LaunchSettings | None, definition: RawTaskDefinition
) -> TaskRequest:
    """Return RunTask's request, without a mark; *launch* is how the service would start its tasks.

    InvalidInput names the input that does not go with it.
    """
    launch_type = request.launch_type
    strategy = tuple(share.to_api() for share in request.strategy)
    if not (launch_type or strategy) and launch is not None:
        launch_type, strategy = launch.launch_type, tuple(dict(item) for item in launch.strategy)
    providers = [str(share.get("capacityProvider")) for share in strategy]
    if runs_on_fargate(launch_type, providers) and (lack := lacks_for_fargate(definition.body)):
        raise InvalidInput(
            f"The task would run on Fargate, and the task definition{lack}.",
            hint="Set launch-type or capacity-providers for its instances, or change the task definition.",
        )
    volume = request.volume
    if volume is not None:
        volume.check(definition.body)
    elif launch is not None:
        late = late_volumes(definition.body)
        volume = next(
            (TaskVolume.from_api(each) for each in launch.volumes if each.get("name") in late), None
        )
    return TaskRequest(
        task_definition=definition.arn,
        launch_type="" if strategy else launch_type,
        strategy=strategy,
        network=_network(request, launch, definition.body),
        overrides=overrides_of(request.overrides, definition.body),
        tags=request.tags,
        volume=volume,
        propagate_tags=request.propagate_tags,
        managed_tags=request.managed_tags,
    )


def _network(
    request: RunTaskRequest, launch: LaunchSettings | None, definition: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the network configuration, which awsvpc needs and any other network mode refuses."""
    mode = network_mode(definition)
    if mode != "awsvpc":
        given = {
            "subnets": request.subnets,
            "security-groups": request.security_groups,
            "assign-public-ip": request.assign_public_ip,
        }
        if name := next((name for name, value in given.items() if value), ""):
            raise InvalidInput(
                f"The task definition has the network mode {mode}, which takes no {name}.",
                hint=f"Leave {name} out, or run a task definition with awsvpc.",
            )
        return {}
    network = awsvpc_of(
        launch.network if launch else None,
        subnets=request.subnets,
        security_groups=request.security_groups,
        public_ip=request.assign_public_ip,
    )
    if not network:
        raise InvalidInput(
            "The task definition has the network mode awsvpc, and nothing says in which subnets to run.",
            hint="Set subnets (flag --subnets) and security-groups, or service to take them from a service.",
        )
    return network
