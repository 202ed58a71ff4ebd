"""A container definition of ECS as what Docker is asked to create. Pure: nothing here talks to Docker.

Source: API Reference, ContainerDefinition, which names Docker's own setting for most members.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ecs_gpu_deploy.core.defaults import health_check_number

Settings = dict[str, Any]
NANOSECONDS = 1_000_000_000
FEWEST_CPU_SHARES = 2
LOG_FILES = {"Type": "json-file", "Config": {"max-size": "20m", "max-file": "2"}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Surrounding:
    """What the machine gives a container: its network, its ports there, devices, folders and labels.

    `ports` maps container ports to ports of the machine. On the machine's own network (`shares_network`) the
    container is told of them in PORT; else Docker publishes them, 0 is one of its own choice. `volumes` maps
    names of task volumes to folders or to names of Docker's volumes.
    """

    shares_network: bool
    ports: Mapping[int, int] = field(default_factory=dict)
    gpus: tuple[str, ...] = ()
    volumes: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


def overridden(definition: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Apply the containerOverrides of RunTask to a container definition."""
    changed = dict(definition)
    for override in overrides.get("containerOverrides") or ():
        if override.get("name") == definition.get("name"):
            plain = ("command", "cpu", "memory", "memoryReservation")
            changed |= {name: override[name] for name in plain if override.get(name)}
            changed["environment"] = [
                *(definition.get("environment") or ()),
                *(override.get("environment") or ()),
            ]
    return changed


def port_variables(definition: Mapping[str, Any], ports: Mapping[int, int]) -> dict[str, str]:
    """Tell a container on the machine's network where to listen: PORT, and PORT_8080 for each."""
    wanted = [int(each["containerPort"]) for each in definition.get("portMappings") or ()]
    told = {f"PORT_{port}": str(ports[port]) for port in wanted}
    return {"PORT": str(ports[wanted[0]]), **told} if wanted else {}


def create_arguments(
    definition: Mapping[str, Any],
    *,
    environment: Mapping[str, str],
    surrounding: Surrounding,
    task_memory: int | None = None,
) -> Settings:
    """Return the named arguments of docker-py's `containers.create`, but for image and name.

    `environment` is whole, secrets included: it goes to Docker's API, so no process list shows it.
    """
    linux: Mapping[str, Any] = definition.get("linuxParameters") or {}
    memory = definition.get("memory") or task_memory
    capabilities: Mapping[str, Any] = linux.get("capabilities") or {}
    arguments: Settings = {
        "command": definition.get("command") or None,
        "entrypoint": definition.get("entryPoint") or None,
        "environment": dict(environment),
        "working_dir": definition.get("workingDirectory"),
        "user": definition.get("user"),
        "mem_limit": f"{memory}m" if memory else None,
        "mem_reservation": f"{definition['memoryReservation']}m"
        if definition.get("memoryReservation")
        else None,
        "cpu_shares": max(FEWEST_CPU_SHARES, int(definition.get("cpu") or 0)),
        "ulimits": [
            {"Name": each["name"], "Soft": each["softLimit"], "Hard": each["hardLimit"]}
            for each in definition.get("ulimits") or ()
        ],
        "init": bool(linux.get("initProcessEnabled")) or None,
        "shm_size": f"{linux['sharedMemorySize']}m" if linux.get("sharedMemorySize") else None,
        "tmpfs": {
            each["containerPath"]: ",".join((f"size={each['size']}m", *(each.get("mountOptions") or ())))
            for each in linux.get("tmpfs") or ()
        },
        "cap_add": list(capabilities.get("add") or ()),
        "cap_drop": list(capabilities.get("drop") or ()),
        "read_only": bool(definition.get("readonlyRootFilesystem")),
        "privileged": bool(definition.get("privileged")),
        "security_opt": list(definition.get("dockerSecurityOptions") or ()),
        "tty": bool(definition.get("pseudoTerminal")),
        "stdin_open": bool(definition.get("interactive")),
        "labels": {**(definition.get("dockerLabels") or {}), **surrounding.labels},
        "healthcheck": _health_check(definition, surrounding),
        "volumes": [
            f"{surrounding.volumes[each['sourceVolume']]}:{each['containerPath']}"
            f":{'ro' if each.get('readOnly') else 'rw'}"
            for each in definition.get("mountPoints") or ()
            if each.get("sourceVolume") in surrounding.volumes
        ],
        "extra_hosts": {each["hostname"]: each["ipAddress"] for each in definition.get("extraHosts") or ()},
        "log_config": LOG_FILES,
        "detach": True,
    }
    if surrounding.gpus:
        arguments["device_requests"] = [
            {"Driver": "", "DeviceIDs": list(surrounding.gpus), "Capabilities": [["gpu"]], "Options": {}}
        ]
    if surrounding.shares_network:
        arguments["network_mode"] = "host"
    else:
        arguments["extra_hosts"]["host.docker.internal"] = "host-gateway"
        arguments["ports"] = {
            f"{each['containerPort']}/{each.get('protocol') or 'tcp'}": (
                "127.0.0.1",
                surrounding.ports.get(int(each["containerPort"])) or None,
            )
            for each in definition.get("portMappings") or ()
        }
    return {name: value for name, value in arguments.items() if value not in (None, [], {}, "")}


def _health_check(definition: Mapping[str, Any], surrounding: Surrounding) -> Settings:
    """Give the task definition's check: ECS ignores the one of the image (API Reference, HealthCheck)."""
    check: Mapping[str, Any] = definition.get("healthCheck") or {}
    if not check:
        return {"test": ["NONE"]}
    command: Sequence[str] = check.get("command") or ("NONE",)
    if command[0] not in {"CMD", "CMD-SHELL", "NONE"}:
        command = ("CMD", *command)
    ports = surrounding.ports if surrounding.shares_network else {}
    return {
        "test": [_with_ports(word, ports) for word in command],
        "interval": health_check_number(check, "interval") * NANOSECONDS,
        "timeout": health_check_number(check, "timeout") * NANOSECONDS,
        "retries": health_check_number(check, "retries"),
        "start_period": health_check_number(check, "startPeriod") * NANOSECONDS,
    }


def _with_ports(word: str, ports: Mapping[int, int]) -> str:
    """Have a check ask where the container really listens: it may not have the port that it would have."""
    for wanted, given in ports.items():
        if wanted != given:
            word = re.sub(rf"(localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\]):{wanted}\b", rf"\1:{given}", word)
    return word
