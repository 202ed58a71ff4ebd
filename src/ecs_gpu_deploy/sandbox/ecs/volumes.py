"""The volumes that a service or a task configures at launch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ecs_gpu_deploy.sandbox.protocol.api_errors import invalid_parameter


def check_volumes(request: Mapping[str, Any], task_definition: Mapping[str, Any]) -> None:
    """Raise AWS's error for a volume that the task definition does not leave to the launch; our own words."""
    late = {
        each.get("name") for each in task_definition.get("volumes") or () if each.get("configuredAtLaunch")
    }
    for volume in request.get("volumeConfigurations") or ():
        if volume.get("name") not in late:
            raise invalid_parameter(
                f"The volume {volume.get('name')} is not configured at launch in the task definition."
            )
