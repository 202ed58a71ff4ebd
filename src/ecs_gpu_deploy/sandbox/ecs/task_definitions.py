"""The registry of task definitions: families, revisions, ACTIVE and INACTIVE, and what AWS adds to each.

Messages: Amazon ECS's own, as printed by AWS CLI users; where AWS's wording is not known, ours says the same.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ecs_gpu_deploy.core.capacity.gpus import gpu_request_of
from ecs_gpu_deploy.core.defaults import HEALTH_CHECK
from ecs_gpu_deploy.core.definition.task_definition import READ_ONLY
from ecs_gpu_deploy.sandbox.ecs.required_attributes import compatibilities, required_attributes
from ecs_gpu_deploy.sandbox.protocol.api_errors import client_exception, invalid_parameter

family_pattern = re.compile(r"[A-Za-z0-9_-]{1,255}")


@dataclass(slots=True)
class Revision:
    """One revision: the description as AWS returns it, and its tags."""

    description: dict[str, Any]
    tags: list[dict[str, str]]

    @property
    def arn(self) -> str:
        """The revision's ARN."""
        return str(self.description["taskDefinitionArn"])

    @property
    def status(self) -> str:
        """ACTIVE, INACTIVE or DELETE_IN_PROGRESS."""
        return str(self.description["status"])


class TaskDefinitions:
    """All revisions of one account and region."""

    def __init__(self, arn_prefix: str) -> None:
        """Take the prefix of the ARNs, e.g. `arn:aws:ecs:eu-central-1:123456789012:task-definition/`."""
        self._arn_prefix = arn_prefix
        self._families: dict[str, list[Revision]] = {}

    def register(self, request: Mapping[str, Any], *, at: float, by: str) -> Revision:
        """Register a revision and return it; unknown members are kept as they are."""
        check_registration(request)
        family = str(request["family"])
        revisions = self._families.setdefault(family, [])
        number = len(revisions) + 1
        description = {
            key: copy.deepcopy(value)
            for key, value in request.items()
            if key not in READ_ONLY and key != "tags" and value is not None
        }
        description["containerDefinitions"] = [
            _completed_container(container, network_mode=request.get("networkMode"))
            for container in description["containerDefinitions"]
        ]
        description.setdefault("volumes", [])
        description.setdefault("placementConstraints", [])
        description |= {
            "taskDefinitionArn": f"{self._arn_prefix}{family}:{number}",
            "revision": number,
            "status": "ACTIVE",
            "requiresAttributes": required_attributes(request),
            "compatibilities": compatibilities(request),
            "registeredAt": at,
            "registeredBy": by,
        }
        revision = Revision(description, [dict(tag) for tag in request.get("tags") or ()])
        revisions.append(revision)
        return revision

    def find(self, name: str) -> Revision | None:
        """Find a revision by ARN, `family:revision` or `family` (its newest ACTIVE one)."""
        short = name.rpartition(":task-definition/")[2]
        if name.startswith("arn:") and not name.startswith(self._arn_prefix):
            return None
        family, _, number = short.partition(":")
        revisions = self._families.get(family, [])
        if not number:
            return next((revision for revision in reversed(revisions) if revision.status == "ACTIVE"), None)
        if not number.isdigit() or not 0 < int(number) <= len(revisions):
            return None
        return revisions[int(number) - 1]

    def usable(self, name: str) -> Revision:
        """Find a revision that a service or task may start with, or raise AWS's error."""
        revision = self.find(name)
        if revision is None:
            raise client_exception("TaskDefinition not found.")
        if revision.status != "ACTIVE":
            raise client_exception("TaskDefinition is inactive")
        return revision

    def deregister(self, name: str, *, at: float) -> Revision:
        """Make a revision INACTIVE; what runs from it goes on."""
        if ":" not in name.rpartition("/")[2]:
            raise client_exception("Invalid revision number. Number: null")
        revision = self.find(name)
        if revision is None:
            raise client_exception("The specified task definition does not exist.")
        if revision.status == "ACTIVE":
            revision.description |= {"status": "INACTIVE", "deregisteredAt": at}
        return revision

    def delete(self, name: str, *, at: float) -> Revision | None:
        """Begin to delete an INACTIVE revision; None where it is not INACTIVE."""
        revision = self.find(name)
        if revision is None or revision.status == "ACTIVE":
            return None
        revision.description |= {"status": "DELETE_IN_PROGRESS", "deleteRequestedAt": at}
        return revision

    def revisions(self) -> Iterator[Revision]:
        """Yield all revisions, by family name and revision number."""
        for family in sorted(self._families):
            yield from self._families[family]

    def families(self) -> Iterator[tuple[str, Sequence[Revision]]]:
        """Yield the families by name, with their revisions."""
        yield from sorted(self._families.items())


def _completed_container(container: dict[str, Any], *, network_mode: str | None) -> dict[str, Any]:
    """Add what AWS's description has beyond the registration."""
    completed = {key: value for key, value in container.items() if value is not None}
    completed.setdefault("cpu", 0)
    completed.setdefault("essential", True)
    for name in ("portMappings", "environment", "mountPoints", "volumesFrom", "systemControls"):
        completed.setdefault(name, [])
    for mapping in completed["portMappings"]:
        mapping.setdefault("protocol", "tcp")
        awsvpc_or_host = network_mode in ("awsvpc", "host")
        if "containerPort" in mapping:
            mapping.setdefault("hostPort", mapping["containerPort"] if awsvpc_or_host else 0)
    if check := completed.get("healthCheck"):
        for name, setting in HEALTH_CHECK.items():
            if setting.default is not None:
                check.setdefault(name, setting.default)
    return completed


def check_registration(request: Mapping[str, Any]) -> None:
    """Raise AWS's ClientException for a registration that it refuses."""
    family = request.get("family") or ""
    if not family:
        raise client_exception("Family should not be null or empty.")
    if not family_pattern.fullmatch(family):
        raise client_exception("Family contains invalid characters.")
    containers = request.get("containerDefinitions") or []
    if not containers:
        raise client_exception("Container list cannot be empty.")
    names = [container.get("name") for container in containers]
    for container in containers:
        _check_container(container, request)
    if len(set(names)) != len(names):
        raise client_exception("Container.name should be unique within a task definition.")
    volumes = {volume.get("name") for volume in request.get("volumes") or ()}
    for container in containers:
        for mount in container.get("mountPoints") or ():
            if (source := mount.get("sourceVolume")) not in volumes:
                raise client_exception(f"Unknown volume '{'null' if source is None else source}'.")
    if not any(container.get("essential", True) for container in containers):
        raise client_exception("A task definition must have at least one essential container.")
    for member in ("taskRoleArn", "executionRoleArn"):
        role = request.get(member)
        if role and role.startswith("arn:") and ":role/" not in role:
            raise client_exception("Role is not valid")
    if len(request.get("tags") or ()) > 50:
        raise invalid_parameter("The number of tags must not exceed 50.")


def check_launch_type(description: Mapping[str, Any], launch_type: str) -> None:
    """Raise InvalidParameterException where a revision cannot run on *launch_type*, "" for none.

    Source: the words are those of https://github.com/aws/aws-cli/issues/3983.
    """
    if launch_type and launch_type not in description["compatibilities"]:
        raise invalid_parameter(f"Task definition does not support launch_type {launch_type}.")


def _check_container(container: Mapping[str, Any], request: Mapping[str, Any]) -> None:
    name = container.get("name")
    if not name:
        raise client_exception("Container.name should not be null or empty.")
    if not container.get("image"):
        raise client_exception("Container.image should not be null or empty.")
    fargate = "FARGATE" in (request.get("requiresCompatibilities") or ())
    if not (request.get("memory") or container.get("memory") or container.get("memoryReservation")):
        raise client_exception(
            f"Invalid setting for container '{name}'."
            " At least one of 'memory' or 'memoryReservation' must be specified."
        )
    if container.get("secrets") and not request.get("executionRoleArn"):
        raise client_exception(
            "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'."
        )
    for requirement in container.get("resourceRequirements") or ():
        if fargate and requirement.get("type") == "GPU":
            raise client_exception(
                "Tasks using the Fargate launch type do not support GPU resource requirements."
            )
        _check_gpu_requirement(requirement)
    check = container.get("healthCheck") or {}
    for member, setting in HEALTH_CHECK.items():
        value = check.get(member)
        if value is not None and not setting.least <= value <= setting.most:
            raise client_exception(
                f"Invalid setting for container '{name}'. Health check {member} must be between"
                f" {setting.least} and {setting.most}."
            )


def _check_gpu_requirement(requirement: Mapping[str, Any]) -> None:
    if requirement.get("type") != "GPU":
        return
    value = requirement.get("value")
    if value is None and not requirement.get("sharingStrategy"):
        raise client_exception("Resource requirement value should not be null or empty.")
    with suppress(ValueError):
        if gpu_request_of(requirement).requirement is not None:
            return
    raise client_exception(f"Invalid value for GPU resource requirement: {value}")
