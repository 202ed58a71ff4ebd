"""Answer the model's questions about images, target groups and task definitions from the sandbox's state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from ecs_gpu_deploy.ecs_model import ContainerScript
from ecs_gpu_deploy.model import TargetGroup
from ecs_gpu_deploy.sandbox.ecs.task_definitions import TaskDefinitions
from ecs_gpu_deploy.sandbox.neighbours.images import DEFAULT_LAYERS, MB, Image, Reference, sha256
from ecs_gpu_deploy.sandbox.neighbours.neighbours import Neighbours

SCRIPT_MEMBERS = frozenset(
    {
        "pull_error",
        "pull_error_after",
        "init_error",
        "start_seconds",
        "load_seconds",
        "unhealthy_status",
        "container_check_works",
        "exit_code",
        "exit_after",
        "exit_reason",
        "stop_seconds",
        "stop_exit_code",
    }
)
NOT_FOUND = (
    "CannotPullContainerError: The task can’t pull the image. Check whether the image exists."
    " Error response from daemon: manifest for {image} not found: manifest unknown: Requested image not found"
)
NO_REPOSITORY = (
    "CannotPullContainerError: The task can’t pull the image. Check whether the image exists."
    " Error response from daemon: name unknown: The repository with name '{repository}' does not exist"
    " in the registry with id '{account}'"
)
NO_LOG_GROUP = (
    "ResourceInitializationError: failed to initialize logging driver: failed to create Cloudwatch log"
    " stream: operation error CloudWatch Logs: CreateLogStream, ResourceNotFoundException:"
    " The specified log group does not exist."
)
NOT_PULLED = (
    "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval"
    " failed: "
)
NOT_IN_SECRETS_MANAGER = (
    "unable to retrieve secret from asm: service call has been retried 1 time(s): failed to fetch secret"
    " {name} from secrets manager: ResourceNotFoundException: Secrets Manager can't find the specified"
    " secret."
)
NOT_IN_PARAMETER_STORE = (
    "unable to retrieve secrets from ssm: service call has been retried 1 time(s): invalid ssm"
    " parameters: {name}"
)


class SandboxSurroundings:
    """What the scheduler of one cluster sees of the world around it."""

    def __init__(self, *, task_definitions: TaskDefinitions, neighbours: Neighbours) -> None:
        self._task_definitions = task_definitions
        self._neighbours = neighbours

    def task_definition(self, arn: str) -> Mapping[str, Any]:
        """Give the raw task definition of an ARN."""
        revision = self._task_definitions.find(arn)
        if revision is None:
            raise LookupError(f"no task definition {arn}")
        return revision.description

    def target_group(self, arn: str) -> TargetGroup | None:
        """Give a target group's settings as they are now."""
        return self._neighbours.target_group(arn)

    def script(
        self, task_definition: Mapping[str, Any], container_name: str, image: str, attempt: int
    ) -> ContainerScript:
        """Give a container's behaviour: the image's, unless image, secret or log group are not there."""
        reference = Reference.from_text(image)
        own = reference.registry == self._neighbours.images.own_registry
        found = self._neighbours.image_in_ecr(reference) if own else None
        container = _container(task_definition, container_name)
        if self._neighbours.images.run_by_docker(reference, found[0] if found else None):
            return ContainerScript(reported=True, init_error=self._missing_resource(container))
        described = self._neighbours.images.described(reference, found[0] if found else None)
        members = _script_members(described, attempt, container.get("command") or ())
        if found is not None:
            digest, layers = found
        else:
            digest = described.digest if described else sha256(image)
            layers = described.layers if described else _default_layers(image)
        if own and found is None and not members.get("pull_error"):
            members["pull_error"] = self._missing_image(reference, image)
        if not members.get("init_error"):
            members["init_error"] = self._missing_resource(container)
        return ContainerScript(image_digest=digest, layers=layers, **members)

    def _missing_image(self, reference: Reference, image: str) -> str:
        if not self._neighbours.repository_exists(reference.repository):
            return NO_REPOSITORY.format(repository=reference.repository, account=self._neighbours.account_id)
        return NOT_FOUND.format(image=image)

    def _missing_resource(self, container: Mapping[str, Any]) -> str | None:
        for secret in container.get("secrets") or ():
            name = str(secret.get("valueFrom", ""))
            if ":secretsmanager:" in name:
                if not self._neighbours.secret_exists(name):
                    return NOT_PULLED + NOT_IN_SECRETS_MANAGER.format(name=name)
            elif not self._neighbours.parameter_exists(name):
                return NOT_PULLED + NOT_IN_PARAMETER_STORE.format(name=name)
        destination = log_destination(container, default_region=self._neighbours.region)
        if destination is not None:
            region, group, creates = destination
            if not creates and not self._neighbours.log_group_exists(group, region=region):
                return NO_LOG_GROUP
        return None


def log_destination(container: Mapping[str, Any], *, default_region: str) -> tuple[str, str, bool] | None:
    """Return (region, log group, whether the driver creates it) of the awslogs driver; None without it."""
    configuration: Mapping[str, Any] = container.get("logConfiguration") or {}
    options: Mapping[str, str] = configuration.get("options") or {}
    if configuration.get("logDriver") != "awslogs" or "awslogs-group" not in options:
        return None
    creates = options.get("awslogs-create-group", "false").lower() == "true"
    return options.get("awslogs-region", default_region), options["awslogs-group"], creates


def _container(task_definition: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    containers = task_definition.get("containerDefinitions", ())
    return next((container for container in containers if container.get("name") == name), {})


def _default_layers(image: str) -> tuple[tuple[str, int], ...]:
    return tuple(
        (sha256(f"{image}#{layer['name']}"), round(float(str(layer["mb"])) * MB)) for layer in DEFAULT_LAYERS
    )


def _script_members(image: Image | None, attempt: int, command: Sequence[str]) -> dict[str, Any]:
    behaviour: dict[str, Any] = dict(image.behaviour) if image else {"load_seconds": 5.0}
    attempts = behaviour.pop("attempts", ())
    if 0 < attempt <= len(attempts):
        behaviour |= attempts[attempt - 1]
    for pattern, difference in behaviour.pop("commands", {}).items():
        if fnmatchcase(" ".join(command), pattern):
            behaviour |= difference
    members = {name: value for name, value in behaviour.items() if name in SCRIPT_MEMBERS}
    if "logs" in behaviour:
        members["logs"] = tuple(
            (0.0, line) if isinstance(line, str) else (float(line.get("after", 0.0)), str(line["text"]))
            for line in behaviour["logs"]
        )
    if "unhealthy_windows" in behaviour:
        members["unhealthy_windows"] = tuple((begin, end) for begin, end in behaviour["unhealthy_windows"])
    return members
