"""From inputs to the revision that is to run: read the source, render it, look its images up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.definition.diff import Change, diff_text, difference, identical
from ecs_gpu_deploy.core.definition.overrides import Overrides, removes_nothing, rendered
from ecs_gpu_deploy.core.definition.references import impossible_reference
from ecs_gpu_deploy.core.definition.secret_text import hidden
from ecs_gpu_deploy.core.definition.task_definition import (
    container_named,
    images,
    registrable,
)
from ecs_gpu_deploy.core.image.image_reference import ImageReference, with_registry_of
from ecs_gpu_deploy.core.image.repository import Repository
from ecs_gpu_deploy.core.image.stored_image import StoredImage
from ecs_gpu_deploy.edges.aws.ecr import fetch_image
from ecs_gpu_deploy.edges.aws.ecr_repository import fetch_platforms
from ecs_gpu_deploy.edges.aws.ecs import RawTaskDefinition
from ecs_gpu_deploy.edges.machine.reporter import Reporter
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.facts import ImageSeen
from ecs_gpu_deploy.inputs.requests import RevisionWish
from ecs_gpu_deploy.result import Finding, Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """The revision to run. `existing_arn` is set where it is registered already.

    `digests` maps containers to the digests of which their tasks must report one: the image's, and of an
    index those of its images. `changes` is the difference to `compared_with`, the ARN of the revision that
    the service runs, without one of the newest, "" for none. `looked_up` are the images that it is about,
    each with its digest, "" where that is not known. `current` is what the service runs, where it was asked.
    """

    definition: Mapping[str, Any]
    existing_arn: str
    compared_with: str
    changes: tuple[Change, ...]
    image: str
    image_digest: str
    digests: Mapping[str, tuple[str, ...]]
    running_images: Mapping[str, str]
    looked_up: tuple[tuple[str, str], ...] = ()
    current: RawTaskDefinition | None = None


def render_revision(context: Context, wish: RevisionWish, overrides: Overrides, *, runs: str) -> Rendering:
    """Return what is to run, after every named thing was seen to exist. Changes nothing in AWS.

    *runs* is the revision that the service runs, "" without a service: then the newest of the family is what
    is compared with.
    """
    planned = plan_revision(context, wish, overrides, runs=runs)
    definition = planned.definition
    before = _raw(planned.known[0]) if planned.known else {}
    for finding in _oddities(planned.start, overrides, definition, before):
        context.record(finding)
    seen = _look_up_images(context, definition, overrides, pin=wish.pin)
    if wish.pin == "digest" and seen.pinned:
        definition = rendered(definition, replace(Overrides(), images=seen.pinned))
    existing = (raw.arn for raw in planned.known if identical(_raw(raw), definition))
    context.record(ImageSeen(image=seen.image, digest=seen.digest))
    return Rendering(
        current=planned.known[0] if runs and planned.known else None,
        definition=definition,
        existing_arn=next(existing, ""),
        compared_with=planned.known[0].arn if planned.known else "",
        changes=difference(before, definition) if before else (),
        image=seen.image,
        image_digest=seen.digest,
        digests=seen.digests,
        running_images=images(before),
        looked_up=seen.looked_up,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A revision as far as it is known without its images: raw, where it starts from, and what is there.

    `known` are the revisions that may be the same: first what runs, or where nothing runs the newest.
    """

    definition: Mapping[str, Any]
    start: Mapping[str, Any]
    known: tuple[RawTaskDefinition, ...]


def plan_revision(context: Context, wish: RevisionWish, overrides: Overrides, *, runs: str) -> Planned:
    """Return what is to run; raise InvalidInput where its source or what is set in it cannot be."""
    source = wish.source
    names = [runs] if runs else []
    if source.document is None and source.name:
        names.append(source.name)
    known = tuple(context.ecs.fetch_task_definition(name) for name in names)
    start = context.ecs.checked_task_definition(source.document or _raw(known[-1]))
    definition = _with_changes(context, wish, start, overrides)
    if not runs:
        known = tuple(raw for raw in (*known, *_newest(context, definition)) if _is_active(raw))
    return Planned(definition=definition, start=start, known=known)


def render_file(context: Context, wish: RevisionWish) -> Mapping[str, Any]:
    """Return what a file says with its changes, without asking AWS; raise InvalidInput as `plan_revision`."""
    start = context.ecs.checked_task_definition(wish.source.document or {})
    for finding in _oddities(start, wish.overrides, start, {}):
        context.record(finding)
    return _with_changes(context, wish, start, wish.overrides)


def show_changes(reporter: Reporter, rendering: Rendering) -> None:
    """Show what differs from the revision that was compared with."""
    if rendering.changes:
        reporter.block(diff_text(rendering.changes), title="what changes in the task definition")
    elif rendering.existing_arn:
        reporter.say("the task definition stays the same: no new revision")


def _with_changes(
    context: Context, wish: RevisionWish, start: Mapping[str, Any], overrides: Overrides
) -> Mapping[str, Any]:
    definition = context.ecs.checked_task_definition(rendered(start, overrides))
    if wrong := impossible_reference(definition, allow_placeholders=wish.allow_placeholders):
        raise InvalidInput(wrong, hint="Correct the file of task-definition, or the input that names it.")
    return definition


def _newest(context: Context, definition: Mapping[str, Any]) -> Iterator[RawTaskDefinition]:
    """Yield the newest revision of the family, where there is one."""
    with suppress(InvalidInput):
        yield context.ecs.fetch_task_definition(definition["family"])


def _is_active(raw: RawTaskDefinition) -> bool:
    return raw.body.get("status") != "INACTIVE"


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
    digests: Mapping[str, tuple[str, ...]]
    pinned: Mapping[str, str]
    looked_up: tuple[tuple[str, str], ...]


def _look_up_images(
    context: Context, definition: Mapping[str, Any], overrides: Overrides, *, pin: Literal["tag", "digest"]
) -> _Seen:
    """Look up the images that were asked for; of a revision without any, the main container's."""
    given = images(definition)
    main = _main_container(definition, overrides)
    wanted = {name or main: uri for name, uri in overrides.images.items()} or {main: given.get(main, "")}
    digests: dict[str, tuple[str, ...]] = {}
    pinned: dict[str, str] = {}
    shown, shown_digest = "", ""
    looked_up: list[tuple[str, str]] = []
    for container, uri in wanted.items():
        reference = ImageReference.from_text(given.get(container) or uri)
        seen, finding = fetch_image(context.aws, reference)
        if finding:
            context.record(finding)
        if told := digests_of(context, reference, seen):
            digests[container] = told
        looked_up.append((str(reference), seen.digest))
        if seen.digest:
            pinned[container] = str(reference.with_digest(seen.digest))
        if not shown:
            shown, shown_digest = str(reference), seen.digest
    if pin == "digest" and main in pinned:
        shown = pinned.get(next(iter(wanted)), shown)
    return _Seen(image=shown, digest=shown_digest, digests=digests, pinned=pinned, looked_up=tuple(looked_up))


def digests_of(context: Context, reference: ImageReference, image: StoredImage) -> tuple[str, ...]:
    """Return the digests of which a task that runs the image reports one; none where that is not known.

    Of an index that is its own, or that of the image in it that the host pulled.
    """
    if not image.is_index:
        return (image.digest,) if image.digest else ()
    repository = Repository.of_image(reference)
    found = fetch_platforms(context.aws, repository, image.digest) if repository is not None else ()
    return (image.digest, *found) if found else ()


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
