"""What a deployment changes in a task definition, and the task definition with it changed.

`rendered` never glues or guesses: an image replaces the image of the container it names and of no other, an
empty string or a zero is a value, and None means "leave it" for a field and "remove it" inside a mapping.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from ecs_gpu_deploy.core.capacity.gpus import GpuRequest
from ecs_gpu_deploy.core.defaults import HEALTH_CHECK
from ecs_gpu_deploy.core.definition.paths import Member, Path, assign, path_from_text
from ecs_gpu_deploy.core.definition.provenance import PREFIX
from ecs_gpu_deploy.core.definition.task_definition import READ_ONLY, container_definition, container_named
from ecs_gpu_deploy.core.image.image_reference import ImageReference
from ecs_gpu_deploy.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """Hold the changes to a task definition; what is None or empty is left as it is.

    `images` maps container name to image; the name "" means `container`. `container` names the container
    that the other changes go to; "" means the only one. In the mappings, None removes an entry. An empty
    `command` or `entry_point` removes it, so that the image's own is used. `gpu` with an empty request
    removes the requirement. `cpu` and `memory` are the task's, as text; the container's are in CPU units and
    MiB. Another `log_driver` drops the options of the present one; `env_files` (ARNs) replace all that are
    there. `assignments` maps a path (see `core.paths`) to a JSON value and is applied last, in order.
    """

    container: str = ""
    images: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str | None] = field(default_factory=dict)
    secrets: Mapping[str, str | None] = field(default_factory=dict)
    command: tuple[str, ...] | None = None
    entry_point: tuple[str, ...] | None = None
    container_cpu: int | None = None
    container_memory: int | None = None
    container_memory_reservation: int | None = None
    gpu: GpuRequest | None = None
    health_check: Mapping[str, object] = field(default_factory=dict)
    log_options: Mapping[str, str | None] = field(default_factory=dict)
    log_driver: str = ""
    env_files: tuple[str, ...] = ()
    docker_labels: Mapping[str, str | None] = field(default_factory=dict)
    cpu: str | None = None
    memory: str | None = None
    task_role_arn: str | None = None
    execution_role_arn: str | None = None
    tags: Mapping[str, str | None] = field(default_factory=dict)
    assignments: Mapping[str, object] = field(default_factory=dict)


def check_overrides(overrides: Overrides) -> None:
    """Raise `InvalidInput` for what is wrong in itself, whatever the task definition is."""
    check_tag_names(overrides.tags)
    _check_environment(overrides)
    unknown = [name for name in overrides.health_check if name not in {"command", *HEALTH_CHECK}]
    if unknown:
        raise InvalidInput(
            f"health-check has {unknown[0]!r}, which no health check has.",
            hint=f"It has {', '.join(('command', *HEALTH_CHECK))}.",
        )
    for image in overrides.images.values():
        ImageReference.from_text(image)
    for text in overrides.assignments:
        _path(text)


def check_tag_names(tags: Mapping[str, object]) -> None:
    """Raise `InvalidInput` for a tag that nobody may set (API Reference, Tag)."""
    for name in tags:
        if name.lower().startswith("aws:"):
            raise InvalidInput(f"The tag {name!r} cannot be set: aws: is AWS's own name space.")
        if name.startswith(PREFIX):
            raise InvalidInput(
                f"The tag {name!r} cannot be set: with {PREFIX} begin those that this program sets "
                "itself, and reads to roll back.",
                hint="Give it another name; the commit of a revision is set by commit.",
            )


def _path(text: str) -> Path:
    path = path_from_text(text)
    if isinstance(path[0], Member) and path[0].name in READ_ONLY:
        raise InvalidInput(f"The path {text!r} leads to {path[0].name}, which only AWS sets.")
    return path


def rendered(task_definition: Mapping[str, Any], overrides: Overrides) -> dict[str, Any]:
    """Give the task definition with the overrides applied; the argument stays as it is.

    Rendering the result once more changes nothing. Raise `InvalidInput` for a container that does not exist
    or is not named among several, an image that is no reference, or a path that selects nothing.
    """
    result: dict[str, Any] = copy.deepcopy(dict(task_definition))
    _set_images(result, overrides)
    if _touches_a_container(overrides):
        _set_container(container_definition(result, overrides.container), overrides)
    sizes_and_roles = {
        "cpu": overrides.cpu,
        "memory": overrides.memory,
        "taskRoleArn": overrides.task_role_arn,
        "executionRoleArn": overrides.execution_role_arn,
    }
    result.update({member: value for member, value in sizes_and_roles.items() if value is not None})
    check_tag_names(overrides.tags)
    _merge_list(result, "tags", "key", "value", overrides.tags)
    for text, value in overrides.assignments.items():
        path = _path(text)
        if text in {"cpu", "memory"} and _is_whole(value):
            value = str(value)  # noqa: PLW2901  (the task's sizes are text in the API)
        assign(result, path, value)
    return result


def removes_nothing(task_definition: Mapping[str, Any], overrides: Overrides) -> tuple[str, ...]:
    """Return what a NAME alone was to remove and is not there: `environment: NAME`, for each."""
    removed = {
        "environment": overrides.environment,
        "secrets": overrides.secrets,
        "docker-labels": overrides.docker_labels,
        "log-options": overrides.log_options,
    }
    there: dict[str, set[str]] = {"tags": _names(task_definition.get("tags"), "key")}
    if any(value is None for changes in removed.values() for value in changes.values()):
        container = container_definition(task_definition, overrides.container)
        there |= {
            "environment": _names(container.get("environment"), "name"),
            "secrets": _names(container.get("secrets"), "name"),
            "docker-labels": set(container.get("dockerLabels") or ()),
            "log-options": set((container.get("logConfiguration") or {}).get("options") or ()),
        }
    return tuple(
        f"{option}: {name}"
        for option, changes in {**removed, "tags": overrides.tags}.items()
        for name, value in changes.items()
        if value is None and name not in there[option]
    )


def _names(entries: Iterable[Mapping[str, Any]] | None, key: str) -> set[str]:
    return {str(entry.get(key)) for entry in entries or ()}


def _check_environment(overrides: Overrides) -> None:
    both = sorted(
        name
        for name, value in overrides.environment.items()
        if value is not None and overrides.secrets.get(name) is not None
    )
    if both:
        raise InvalidInput(
            f"{both[0]!r} is given as an environment variable and as a secret; ECS allows one."
        )


def _set_images(task_definition: dict[str, Any], overrides: Overrides) -> None:
    chosen: dict[str, str] = {}
    for name, image in overrides.images.items():
        container = container_named(task_definition, name or overrides.container)
        if chosen.setdefault(container, image) != image:
            raise InvalidInput(
                f"The container {container!r} is given two images: {chosen[container]!r}, {image!r}."
            )
    for container, image in chosen.items():
        ImageReference.from_text(image)
        container_definition(task_definition, container)["image"] = image


def _touches_a_container(overrides: Overrides) -> bool:
    """Tell whether a change needs to know which container is meant; a wrong name is always told."""
    return bool(
        overrides.container
        or overrides.environment
        or overrides.secrets
        or overrides.health_check
        or overrides.log_options
        or overrides.log_driver
        or overrides.env_files
        or overrides.docker_labels
    ) or any(
        value is not None
        for value in (
            overrides.command,
            overrides.entry_point,
            overrides.container_cpu,
            overrides.container_memory,
            overrides.container_memory_reservation,
            overrides.gpu,
        )
    )


def _set_container(container: dict[str, Any], overrides: Overrides) -> None:
    _check_environment(overrides)
    # A name is a variable or a secret, never both: what is set here leaves the other list.
    moved_to_secrets = {name: None for name, source in overrides.secrets.items() if source is not None}
    moved_to_environment = {name: None for name, value in overrides.environment.items() if value is not None}
    _merge_list(container, "environment", "name", "value", {**moved_to_secrets, **overrides.environment})
    _merge_list(container, "secrets", "name", "valueFrom", {**moved_to_environment, **overrides.secrets})
    for member, words in (("command", overrides.command), ("entryPoint", overrides.entry_point)):
        if words is not None:
            _set_or_remove(container, member, list(words))
    sizes = {
        "cpu": overrides.container_cpu,
        "memory": overrides.container_memory,
        "memoryReservation": overrides.container_memory_reservation,
    }
    container.update({member: size for member, size in sizes.items() if size is not None})
    if overrides.gpu is not None:
        _set_gpu(container, overrides.gpu)
    _merge_health_check(container, overrides.health_check)
    _set_log_driver(container, overrides.log_driver)
    _merge_log_options(container, overrides.log_options)
    if overrides.env_files:
        container["environmentFiles"] = [{"value": arn, "type": "s3"} for arn in overrides.env_files]
    _merge_mapping(container, "dockerLabels", overrides.docker_labels)


def _set_gpu(container: dict[str, Any], gpu: GpuRequest) -> None:
    present = _present(container, "resourceRequirements", list)
    old = next((entry for entry in present if _asks_for_gpu(entry)), {"type": "GPU"})
    position = next((at for at, entry in enumerate(present) if _asks_for_gpu(entry)), len(present))
    others = [entry for entry in present if not _asks_for_gpu(entry)]
    if gpu.requirement is not None:
        kept = {key: value for key, value in old.items() if key not in {"value", "sharingStrategy"}}
        others.insert(position, {**kept, **gpu.requirement})
    if others or "resourceRequirements" in container:
        _set_or_remove(container, "resourceRequirements", others)


def _asks_for_gpu(entry: Any) -> bool:
    return isinstance(entry, dict) and entry.get("type") == "GPU"


def _merge_health_check(container: dict[str, Any], changes: Mapping[str, Any]) -> None:
    if not changes:
        return
    _merge_mapping(container, "healthCheck", changes)
    if "healthCheck" in container and not container["healthCheck"].get("command"):
        raise InvalidInput(
            f"The container {container.get('name')!r} has no health check to change.",
            hint='Give its command too, like ["CMD", "python", "-c", "…"].',
        )


def _set_log_driver(container: dict[str, Any], driver: str) -> None:
    """Set the log driver; what was set for another one, no driver but that one understands."""
    present = container.get("logConfiguration")
    if driver and not (isinstance(present, dict) and present.get("logDriver") == driver):
        container["logConfiguration"] = {"logDriver": driver}


def _merge_log_options(container: dict[str, Any], changes: Mapping[str, str | None]) -> None:
    if not changes:
        return
    configuration = container.get("logConfiguration")
    if not isinstance(configuration, dict):
        if all(value is None for value in changes.values()):
            return
        if not all(name.startswith("awslogs-") or name in {"mode", "max-buffer-size"} for name in changes):
            raise InvalidInput(
                f"The container {container.get('name')!r} has no logConfiguration for the log options.",
                hint="Set log-driver too.",
            )
        configuration = container["logConfiguration"] = {"logDriver": "awslogs"}
    _merge_mapping(configuration, "options", changes)


def _merge_list(
    owner: dict[str, Any], member: str, key: str, value_member: str, changes: Mapping[str, str | None]
) -> None:
    """Replace by name in a list of named values, keeping the order; append what is new; None removes."""
    if not changes:
        return
    for name in changes:
        if not name:
            raise InvalidInput(f"A name in {member} is empty.")
    present = _present(owner, member, list)
    merged: list[Any] = []
    done: set[str] = set()
    for entry in present:
        own = entry.get(key) if isinstance(entry, dict) else None
        if not isinstance(own, str) or own not in changes:
            merged.append(entry)
        elif changes[own] is not None and own not in done:
            merged.append({**entry, value_member: changes[own]})
            done.add(own)
    merged.extend(
        {key: name, value_member: value}
        for name, value in changes.items()
        if value is not None and name not in done
    )
    if merged != present:
        _set_or_remove(owner, member, merged)


def _merge_mapping(owner: dict[str, Any], member: str, changes: Mapping[str, Any]) -> None:
    if not changes:
        return
    present = _present(owner, member, dict)
    merged = {**present, **changes}
    merged = {name: value for name, value in merged.items() if value is not None or name not in changes}
    if merged != present:
        _set_or_remove(owner, member, copy.deepcopy(merged))


def _present(owner: Mapping[str, Any], member: str, kind: type[list[Any]] | type[dict[str, Any]]) -> Any:
    """Return the list or mapping that is to be changed, an empty one where there is none."""
    present = owner.get(member)
    if present is None:
        return kind()
    if not isinstance(present, kind):
        raise InvalidInput(f"{member} of the task definition is no {'list' if kind is list else 'mapping'}.")
    return present


def _set_or_remove(owner: dict[str, Any], member: str, value: Any) -> None:
    if value:
        owner[member] = value
    else:
        owner.pop(member, None)


def _is_whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
