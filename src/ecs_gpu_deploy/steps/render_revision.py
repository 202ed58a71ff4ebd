"""From inputs to the revision that is to run: read the source, render it, look its images up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.definition.diff import Change, difference, identical
from ecs_gpu_deploy.core.definition.overrides import Overrides, removes_nothing, rendered
from ecs_gpu_deploy.core.definition.references import impossible_reference
from ecs_gpu_deploy.core.definition.secret_text import hidden
from ecs_gpu_deploy.core.definition.task_definition import (
    container_named,
    images,
    registrable,
)
from ecs_gpu_deploy.core.image.image_reference import ImageReference, with_registry_of
from ecs_gpu_deploy.edges.aws.ecr import fetch_image
from ecs_gpu_deploy.edges.aws.ecs import RawTaskDefinition
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.facts import ImageSeen
from ecs_gpu_deploy.inputs.requests import DeployRequest
from ecs_gpu_deploy.model import Service
from ecs_gpu_deploy.result import Finding, Severity


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
    running_images: Mapping[str, str]


def render_revision(
    context: Context, request: DeployRequest, service: Service, overrides: Overrides
) -> Rendering:
    """Return what is to run, after every named thing was seen to exist. Changes nothing in AWS."""
    pin = request.pin
    planned = plan_revision(context, request, service, overrides)
    definition, running, latest = planned.definition, planned.running, planned.latest
    for finding in _oddities(planned.start, overrides, definition, _raw(running)):
        context.record(finding)
    seen = _look_up_images(context, definition, overrides, pin=pin)
    if pin == "digest" and seen.pinned:
        definition = rendered(definition, replace(Overrides(), images=seen.pinned))
    before = _raw(running)
    existing = ""
    if identical(before, definition):
        existing = running.arn
    elif latest is not None and identical(_raw(latest), definition):
        existing = latest.arn
    context.record(ImageSeen(image=seen.image, digest=seen.digest))
    return Rendering(
        definition=definition,
        existing_arn=existing,
        changes=difference(before, definition),
        image=seen.image,
        image_digest=seen.digest,
        digests=seen.digests,
        running_images=images(before),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A revision as far as it is known without its images: raw, where it starts from, and what runs now."""

    definition: Mapping[str, Any]
    start: Mapping[str, Any]
    running: RawTaskDefinition
    latest: RawTaskDefinition | None


def plan_revision(
    context: Context, request: DeployRequest, service: Service, overrides: Overrides
) -> Planned:
    """Return what is to run; raise InvalidInput where its source or what is set in it cannot be."""
    ecs, source = context.ecs, request.source
    running = ecs.fetch_task_definition(service.task_definition)
    latest: RawTaskDefinition | None = None
    if source.document is None and source.name:
        latest = ecs.fetch_task_definition(source.name)
    start = source.document if source.document is not None else _raw(latest or running)
    start = ecs.checked_task_definition(start)
    definition = ecs.checked_task_definition(rendered(start, overrides))
    if wrong := impossible_reference(definition, allow_placeholders=request.allow_placeholders):
        raise InvalidInput(wrong, hint="Correct the file of task-definition, or the input that names it.")
    return Planned(definition=definition, start=start, running=running, latest=latest)


def _oddities(
    start: Mapping[str, Any], overrides: Overrides, definition: Mapping[str, Any], running: Mapping[str, Any]
) -> Iterator[Finding]:
    """Yield what is allowed, and what nobody may have meant."""
    if unseen := removes_nothing(start, overrides):
        yield Finding(
            code="removes-nothing",
            severity=Severity.WARNING,
            message=f"A name alone removes it, and what {', '.join(map(hidden, unseen))} names is not there.",
            hint="Write NAME=VALUE to set it; check the name, and the container.",
        )
    runs = images(running)
    for container, image in images(definition).items():
        if full := with_registry_of(image, runs.get(container, "")):
            yield Finding(
                code="image-without-registry",
                severity=Severity.WARNING,
                message=f"The image {image} of {container!r} has no registry, so that it comes from Docker "
                f"Hub; the service runs {full.partition('/')[0]}'s.",
                hint=f"Is {full} meant?",
            )


def _raw(definition: RawTaskDefinition) -> dict[str, Any]:
    return registrable({"taskDefinition": definition.body, "tags": list(definition.tags)})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    image: str
    digest: str
    digests: Mapping[str, str]
    pinned: Mapping[str, str]


def _look_up_images(
    context: Context, definition: Mapping[str, Any], overrides: Overrides, *, pin: Literal["tag", "digest"]
) -> _Seen:
    """Look up the images that were asked for; of a revision without any, the main container's."""
    given = images(definition)
    main = _main_container(definition, overrides)
    wanted = {name or main: uri for name, uri in overrides.images.items()} or {main: given.get(main, "")}
    digests: dict[str, str] = {}
    pinned: dict[str, str] = {}
    shown, shown_digest = "", ""
    for container, uri in wanted.items():
        reference = ImageReference.from_text(given.get(container) or uri)
        seen, finding = fetch_image(context.aws, reference)
        if finding:
            context.record(finding)
        if seen.digest and not seen.is_index:
            digests[container] = seen.digest
        if seen.digest:
            pinned[container] = str(reference.with_digest(seen.digest))
        if not shown:
            shown, shown_digest = str(reference), seen.digest
    if pin == "digest" and main in pinned:
        shown = pinned.get(next(iter(wanted)), shown)
    return _Seen(image=shown, digest=shown_digest, digests=digests, pinned=pinned)


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
