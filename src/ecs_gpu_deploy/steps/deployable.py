"""Which services can be deployed to."""

from __future__ import annotations

from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.inputs.settings import Settings
from ecs_gpu_deploy.model import Service


def check_deployable(service: Service, settings: Settings) -> None:
    """Raise InvalidInput for a service that no deployment of ours can change, or that runs nothing."""
    if service.deployment_controller != "ECS":
        raise InvalidInput(
            f"The service {service.name!r} is deployed by {service.deployment_controller}, not by ECS.",
            hint="Only services with the deployment controller ECS can be deployed by this program.",
        )
    if service.status == "DRAINING":
        raise InvalidInput(f"The service {service.name!r} is being deleted (DRAINING).")
    if service.desired_count == 0 and not settings.allow_desired_zero:
        raise InvalidInput(
            f"The desired count of the service {service.name!r} is 0: no task would run, so nothing would be "
            "verified.",
            hint="Scale the service up, or set allow-desired-zero to true.",
        )
