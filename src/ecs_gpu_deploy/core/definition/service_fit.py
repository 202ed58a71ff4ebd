"""What UpdateService refuses of a task definition for reasons that its service shows beforehand.

RegisterTaskDefinition takes such a revision all the same, so it would be left over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ecs_gpu_deploy.core.definition.task_definition import network_mode
from ecs_gpu_deploy.model import Service


def misfit(definition: Mapping[str, Any], service: Service) -> str:
    """Return why *service* cannot run the raw *definition*, as a sentence; "" where nothing tells.

    Source: API Reference, UpdateService and CreateService, "networkConfiguration" and "launchType".
    """
    if service.is_express and (why := _express_misfit(definition)):
        return why
    mode = network_mode(definition)
    if mode == "awsvpc" and service.has_network is False:
        return (
            "The task definition has the network mode awsvpc, and the service has no network configuration."
        )
    if mode != "awsvpc" and service.has_network:
        return f"The service has a network configuration, and the network mode {mode} takes none."
    if not runs_on_fargate(service.launch_type, service.capacity_providers):
        return ""
    lack = lacks_for_fargate(definition)
    return f"The service runs on Fargate, and the task definition{lack}." if lack else ""


def lacks_for_fargate(definition: Mapping[str, Any]) -> str:
    """Return what keeps the raw *definition* from Fargate, as words behind "the task definition"; "" if none.

    Source: API Reference, RegisterTaskDefinition, "networkMode", "cpu", "memory", "requiresCompatibilities".
    """
    mode = network_mode(definition)
    if mode != "awsvpc":
        return f" has the network mode {mode} instead of awsvpc"
    lacking = [member for member in ("cpu", "memory") if not definition.get(member)]
    if lacking:
        return f" has no {' and no '.join(lacking)}"
    if "FARGATE" not in (definition.get("requiresCompatibilities") or ["FARGATE"]):
        return "'s requiresCompatibilities lacks FARGATE"
    return ""


def _express_misfit(definition: Mapping[str, Any]) -> str:
    """Return why a service of Express Mode cannot run it (API Reference, UpdateExpressGatewayService)."""
    containers = definition.get("containerDefinitions") or ()
    main = next((each for each in containers if each.get("name") == "Main"), None)
    ports = list((main or {}).get("portMappings") or [])
    if len(ports) == 1 and ports[0].get("containerPort") and ports[0].get("name"):
        return ""
    return (
        "The service is one of Express Mode, and the task definition has no container named Main with a "
        "single port mapping that has a name."
    )


def runs_on_fargate(launch_type: str, providers: Sequence[str]) -> bool:
    """Say whether tasks of this launch type, or of these capacity providers alone, run on Fargate.

    Source: API Reference, CapacityProviderStrategyItem (FARGATE and FARGATE_SPOT are AWS's own providers).
    """
    return launch_type == "FARGATE" or (
        bool(providers) and all(name.startswith("FARGATE") for name in providers)
    )
