"""From inputs to the revision that is to run: read the source, render it, look its images up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

from ecs_gpu_deploy.core.capacity.gpus import GpuRequest
from ecs_gpu_deploy.core.definition.diff import Change, difference, identical
from ecs_gpu_deploy.core.definition.overrides import Overrides, rendered
from ecs_gpu_deploy.core.definition.task_definition import (
    container_named,
    images,
    read_task_definition,
    registrable,
)
from ecs_gpu_deploy.core.image.image_reference import ImageReference
from ecs_gpu_deploy.edges.aws.client import Aws
from ecs_gpu_deploy.edges.aws.ecr import fetch_image
from ecs_gpu_deploy.edges.aws.ecs import Ecs, RawTaskDefinition
from ecs_gpu_deploy.edges.machine.files import read_text
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.inputs.settings import Settings
from ecs_gpu_deploy.model import Service
from ecs_gpu_deploy.result import Finding

_FILE_SUFFIXES = {".json", ".yml", ".yaml", ".js", ".mjs", ".cjs", ".ts", ".txt", ".tpl", ".j2"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """The revision to run. `existing_arn` is set where it is registered already.

    `digests` maps containers to the digest that their tasks must report; `changes` is the difference to
    the revision that the service runs now.
    """

    definition: Mapping[str, Any]
    existing_arn: str
    changes: tuple[Change, ...]
    image: str
    image_digest: str
    digests: Mapping[str, str]
    findings: tuple[Finding, ...]
    running_images: Mapping[str, str]


def overrides_from(settings: Settings) -> Overrides:
    """Return the overrides that the inputs ask for."""
    if settings.gpu is not None and settings.gpu_sharing is not None:
        raise InvalidInput("gpu and gpu-sharing exclude each other.", hint="Leave one of them out.")
    gpu = settings.gpu_sharing if settings.gpu_sharing is not None else settings.gpu
    return Overrides(
        container=settings.container or "",
        images=settings.image or {},
        environment=settings.environment or {},
        secrets=settings.secrets or {},
        command=_tuple(settings.command_override),
        entry_point=_tuple(settings.entry_point),
        container_cpu=settings.cpu,
        container_memory=settings.memory,
        container_memory_reservation=settings.memory_reservation,
        gpu=None if gpu is None else GpuRequest.from_value(gpu),
        health_check=settings.health_check or {},
        log_options=settings.log_options or {},
        docker_labels=settings.docker_labels or {},
        cpu=settings.task_cpu,
        memory=settings.task_memory,
        task_role_arn=settings.task_role_arn,
        execution_role_arn=settings.execution_role_arn,
        tags=settings.tags or {},
        assignments=settings.set or {},
    )


def _tuple(words: list[str] | None) -> tuple[str, ...] | None:
    return None if words is None else tuple(words)


def file_of(source: str | None) -> str | None:
    """Return *source* where it names a file and not a family, revision or ARN."""
    if not source or source.startswith("arn:"):
        return None
    is_file = PurePath(source).suffix.lower() in _FILE_SUFFIXES or "/" in source or "\\" in source
    return source if is_file else None


def read_source(settings: Settings) -> dict[str, Any] | None:
    """Return the task definition of the file that task-definition names; None where it names none."""
    path = file_of(settings.task_definition)
    if path is None:
        return None
    if PurePath(path).suffix.lower() in {".js", ".mjs", ".cjs", ".ts"}:
        raise InvalidInput(
            f"The task definition {path!r} is a program, and programs are not run for it.",
            hint="Give a JSON or YAML file.",
        )
    return read_task_definition(read_text(path, what="task definition"), name=path)


def rendering_of(aws: Aws, ecs: Ecs, settings: Settings, service: Service) -> Rendering:
    """Return what is to run, after every named thing was seen to exist. Changes nothing in AWS."""
    overrides = overrides_from(settings)
    from_file = read_source(settings)
    running = ecs.fetch_task_definition(service.task_definition)
    latest: RawTaskDefinition | None = None
    if from_file is None and settings.task_definition:
        latest = ecs.fetch_task_definition(settings.task_definition)
    source = from_file if from_file is not None else _raw(latest or running)
    definition = rendered(source, overrides)
    seen = _images_seen(aws, settings, definition, overrides)
    if settings.pin == "digest" and seen.pinned:
        definition = rendered(definition, replace(Overrides(), images=seen.pinned))
    before = _raw(running)
    existing = ""
    if identical(before, definition):
        existing = running.arn
    elif latest is not None and identical(_raw(latest), definition):
        existing = latest.arn
    return Rendering(
        definition=definition,
        existing_arn=existing,
        changes=difference(before, definition),
        image=seen.image,
        image_digest=seen.digest,
        digests=seen.digests,
        findings=seen.findings,
        running_images=images(before),
    )


def _raw(definition: RawTaskDefinition) -> dict[str, Any]:
    return registrable({"taskDefinition": definition.body, "tags": list(definition.tags)})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    image: str
    digest: str
    digests: Mapping[str, str]
    pinned: Mapping[str, str]
    findings: tuple[Finding, ...]


def _images_seen(aws: Aws, settings: Settings, definition: Mapping[str, Any], overrides: Overrides) -> _Seen:
    """Look up the images that were asked for; of a revision without any, the main container's."""
    given = images(definition)
    main = _main_container(definition, overrides)
    wanted = {name or main: uri for name, uri in (settings.image or {}).items()} or {
        main: given.get(main, "")
    }
    digests: dict[str, str] = {}
    pinned: dict[str, str] = {}
    findings: list[Finding] = []
    shown, shown_digest = "", ""
    for container, uri in wanted.items():
        reference = ImageReference.from_text(given.get(container) or uri)
        seen = fetch_image(aws, reference)
        if seen.finding:
            findings.append(seen.finding)
        if seen.digest and not seen.is_index:
            digests[container] = seen.digest
        if seen.digest:
            pinned[container] = str(reference.with_digest(seen.digest))
        if not shown:
            shown, shown_digest = str(reference), seen.digest
    if settings.pin == "digest" and main in pinned:
        shown = pinned.get(next(iter(wanted)), shown)
    return _Seen(image=shown, digest=shown_digest, digests=digests, pinned=pinned, findings=tuple(findings))


def _main_container(definition: Mapping[str, Any], overrides: Overrides) -> str:
    """Return the container that an image without a name is for, or the first essential one."""
    if overrides.container or "" in overrides.images:
        return container_named(definition, overrides.container)
    named = next(iter(overrides.images), "")
    if named:
        return named
    containers = definition["containerDefinitions"]
    essential = (c["name"] for c in containers if c.get("essential", True))
    return str(next(essential, containers[0]["name"]))
