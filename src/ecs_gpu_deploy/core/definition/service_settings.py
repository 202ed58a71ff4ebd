"""What a deployment sets in its service beside the revision; what nobody gave stays as the service has it.

The members are those of the API Reference, "UpdateService".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ecs_gpu_deploy.core.definition.task_request import CapacityShare, TaskVolume, late_volumes
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.model import Service


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """What UpdateService is to set: "", None or empty stays as it is."""

    propagate_tags: str = ""
    managed_tags: bool | None = None
    strategy: tuple[CapacityShare, ...] = ()
    volume: TaskVolume | None = None

    def check(self, definition: Mapping[str, Any], service: Service) -> None:
        """Raise InvalidInput for what the *service* or the raw task *definition* does not go with.

        Source: API Reference, UpdateService, and UpdateExpressGatewayService, which has none of it.
        """
        given = {
            "propagate-tags": bool(self.propagate_tags),
            "enable-ecs-managed-tags": self.managed_tags is not None,
            "capacity-providers": bool(self.strategy),
            "volume": self.volume is not None,
        }
        name = next((name for name, is_given in given.items() if is_given), "")
        if name and (service.is_express or service.deployment_controller != "ECS"):
            how = "one of Express Mode" if service.is_express else "deployed by CodeDeploy"
            raise InvalidInput(
                f"The service {service.name!r} is {how}, and its deployment cannot set {name}.",
                hint=f"Leave {name} out, and set it at the service.",
            )
        if self.volume is not None:
            self.volume.check(definition)

    def to_api(self, definition: Mapping[str, Any], service: Service) -> dict[str, Any]:
        """Write the members of UpdateService.

        A service that has volumes loses them with a raw task *definition* that leaves none to the launch: an
        empty list takes them away (API Reference, UpdateService, "volumeConfigurations").
        """
        members: dict[str, Any] = {
            "propagateTags": self.propagate_tags,
            "capacityProviderStrategy": [share.to_api() for share in self.strategy],
            "volumeConfigurations": [self.volume.to_api()] if self.volume else [],
        }
        set_now = {member: value for member, value in members.items() if value}
        if self.managed_tags is not None:
            set_now["enableECSManagedTags"] = self.managed_tags
        if service.has_volumes and not late_volumes(definition):
            set_now["volumeConfigurations"] = []
        return set_now
