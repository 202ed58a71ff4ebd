"""A container instance as DescribeContainerInstances shows it: what it has, what is free, is it well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from ecs_gpu_deploy.core.capacity.fit import Room, room_of
from ecs_gpu_deploy.model import short_id


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerInstance:
    """One instance. `room` is what is free on it now, `whole` what it has when no task runs there.

    `impaired` names the parts whose health AWS reports as IMPAIRED: CONTAINER_RUNTIME, ACCELERATED_COMPUTE,
    DAEMON or AGENT_CONNECTIVITY (docs/aws-facts.md#gpus-of-an-instance). Where AWS does not say what an
    instance has, `shows_resources` is False and nothing can be said of its room.
    """

    arn: str
    ec2_instance_id: str = ""
    instance_type: str = ""
    capacity_provider: str = ""
    status: str = ""
    agent_connected: bool = True
    impaired: tuple[str, ...] = ()
    shows_resources: bool = True
    room: Room
    whole: Room

    @property
    def id(self) -> str:
        """Return what a person knows it by: the EC2 instance, else the container instance id."""
        return self.ec2_instance_id or short_id(self.arn)

    @property
    def is_external(self) -> bool:
        """Say whether it is a machine of ours (ECS Anywhere), on which only the launch type EXTERNAL runs.

        Source: API Reference, ContainerInstance (ec2InstanceId: for external instances the id that Systems
        Manager gave) and CreateService (launchType).
        """
        return self.ec2_instance_id.startswith("mi-")

    @classmethod
    def from_api(cls, api: Mapping[str, Any]) -> Self:
        """Read ContainerInstance."""
        attributes = {
            str(each.get("name")): str(each.get("value") or "") for each in api.get("attributes", ())
        }
        empty = {
            **api,
            "remainingResources": _all_free(api.get("registeredResources") or ()),
            "gpuDevices": [_unused(device) for device in api.get("gpuDevices") or ()],
        }
        health = (api.get("healthStatus") or {}).get("details") or ()
        return cls(
            arn=api.get("containerInstanceArn", ""),
            ec2_instance_id=api.get("ec2InstanceId", ""),
            instance_type=attributes.get("ecs.instance-type", ""),
            capacity_provider=api.get("capacityProviderName", ""),
            status=api.get("status", ""),
            agent_connected=bool(api.get("agentConnected", True)),
            impaired=tuple(str(each.get("type")) for each in health if each.get("status") == "IMPAIRED"),
            shows_resources=bool(api.get("registeredResources")),
            room=room_of(api),
            whole=room_of(empty),
        )


def _unused(device: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a GPU as it is without tasks: all its memory free, shared in no way yet."""
    total = device.get("totalMemoryInMiB") or device.get("remainingMemoryInMiB")
    return {"gpuId": device.get("gpuId"), "remainingMemoryInMiB": total}


def _all_free(registered: Any) -> list[Mapping[str, Any]]:
    """Return the resources of an instance without tasks; of the ports, those reserved stay in use."""
    return [each for each in registered if isinstance(each, Mapping)]
