"""Get the image that is asked for into ECR: take the one that is there, or build and push it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.image.build_failure import FREE_DISK_HINT
from ecs_gpu_deploy.core.image.image_reference import ImageReference
from ecs_gpu_deploy.core.image.image_tags import all_tags, check_movable
from ecs_gpu_deploy.core.image.layers import size_text
from ecs_gpu_deploy.core.image.repository import Repository
from ecs_gpu_deploy.core.image.stored_image import ARCHIVED, StoredImage, archived_sentence
from ecs_gpu_deploy.core.judge.pace import IMAGE_SECONDS, RESTORE_SECONDS
from ecs_gpu_deploy.edges.aws.ecr import fetch_tagged
from ecs_gpu_deploy.edges.aws.ecr_repository import (
    create_repository,
    fetch_login,
    fetch_repository,
    fetch_taggable,
    missing_repository,
    put_tag,
    restore_image,
)
from ecs_gpu_deploy.edges.ci.source import Source, source_of
from ecs_gpu_deploy.edges.docker.config import DockerConfig
from ecs_gpu_deploy.edges.docker.docker import Build, Docker
from ecs_gpu_deploy.edges.machine.signals import Cancelled, heed_held, held_signals
from ecs_gpu_deploy.errors import InvalidInput, Refused
from ecs_gpu_deploy.facts import Changed, ImageSeen
from ecs_gpu_deploy.inputs.requests import BuildOptions
from ecs_gpu_deploy.result import Finding, Severity
from ecs_gpu_deploy.steps.look_at_scan import look_at_scan

LEAST_FREE_BYTES = 4_000_000_000
UNPACKED_FACTOR = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltImage:
    """An image that is in ECR. `was_there`: it did not have to be built.

    `further_tags` are those that it is to get besides, and does not have yet. `config` is its configuration
    as the OCI image specification has it; None where it was not built here, or cannot be read.
    """

    reference: ImageReference
    digest: str
    repository: Repository
    was_there: bool
    further_tags: tuple[str, ...] = ()
    config: Mapping[str, Any] | None = None


def build_image(
    context: Context,
    options: BuildOptions,
    *,
    default_repository: str = "",
    running: ImageReference | None = None,
    check: Callable[[ImageReference], None] = lambda _: None,
    check_built: Callable[[Mapping[str, Any]], None] = lambda _: None,
) -> BuiltImage:
    """Return the image of this commit, in ECR with its own tag; build and push it only where it must be.

    *default_repository* is taken where none is given; *running* is the image that the service runs, from
    which the size of the new one is guessed. *check* is asked before anything is built, with what the image
    will be called; *check_built* before it is pushed, with its configuration. Further tags move later
    (`move_tags`). Raise InvalidInput and Refused.
    """
    source = source_of(options.folder)
    tag = options.image_tag or source.revision
    if not tag:
        raise InvalidInput(
            "There is no commit from which the image could take its tag.",
            hint="Set image-tag, or run it in a git repository.",
        )
    if source.is_changed and not options.image_tag:
        context.record(_changed(source))
    wanted = options.repository or default_repository
    if not wanted:
        raise InvalidInput("The repository is missing.", hint="Set the input repository (flag --repository).")
    repository = fetch_repository(context.aws, wanted)
    if repository is None and not options.create_repository:
        raise missing_repository(context.aws, wanted)
    tags = all_tags(tag, options.extra_tags, latest=options.push_latest)
    image = fetch_tagged(context.aws, repository, tag) if repository is not None else None
    if repository is not None and image is not None and image.is_archived and not options.rebuild:
        image = _restored(context, repository, image, tag, restores=options.restore_archived)
    config: Mapping[str, Any] | None = None
    was_there = image is not None and not options.rebuild
    if repository is not None and image is not None and was_there:
        context.reporter.say(f"the image {repository.name}:{tag} is in ECR already: nothing is built")
        _check_tags(context, repository, [other for other in tags[1:] if other not in image.tags])
    else:
        if repository is not None:
            _check_tags(context, repository, [*([tag] if image else []), *tags[1:]])
        asked = repository or Repository.of_input(wanted, region=context.aws.region)
        check(ImageReference.from_text(f"{asked.uri or asked.name}:{tag}"))
        work = _Work(
            context=context,
            options=options,
            source=source,
            tag=tag,
            wanted=wanted,
            check_built=check_built,
        )
        repository, image, config = _pushed(work, repository, running=running)
    context.record(ImageSeen(image=f"{repository.uri}:{tag}", digest=image.digest))
    further = tuple(other for other in tags[1:] if other not in image.tags)
    try:
        look_at_scan(context, options, repository, image)
    except Cancelled:
        if further:
            context.record(tags_not_moved(repository.name, further, 0, why="The job was cancelled"))
        raise
    return BuiltImage(
        reference=ImageReference.from_text(f"{repository.uri}:{tag}"),
        digest=image.digest,
        repository=repository,
        was_there=was_there,
        further_tags=further,
        config=config,
    )


def tags_not_moved(
    name: str,
    tags: Sequence[str],
    done: int,
    *,
    why: str,
    hint: str = "Run the job again: the image is there and is not built again.",
    unclear: bool = False,
) -> Finding:
    """Return the warning that of the further *tags* of the repository *name* only the first *done* moved.

    *unclear*: whether the next one did is not known.
    """
    there = f"moved: {', '.join(tags[:done])}; " if done else ""
    there += f"not known: {tags[done]}; " if unclear else ""
    left = ", ".join(tags[done + unclear :]) or "none"
    return Finding(
        code="tags-not-moved",
        severity=Severity.WARNING,
        message=f"{why}. Further tags of {name}: {there}not moved: {left}.",
        hint=hint,
    )


def _changed(source: Source) -> Finding:
    return Finding(
        code="uncommitted-changes",
        severity=Severity.WARNING,
        message=f"The working tree differs from the commit {source.revision[:12]} whose tag the image gets.",
        hint="Commit first, or set image-tag.",
    )


def _check_tags(context: Context, repository: Repository, tags: Sequence[str]) -> None:
    """Raise InvalidInput where one of *tags* is taken and may not move; asks ECR only about those."""
    fixed = [tag for tag in tags if not repository.mutability.may_move(tag)]
    present = [tag for tag in fixed if fetch_tagged(context.aws, repository, tag) is not None]
    check_movable(fixed, present, repository.mutability, repository.name)


def _restored(
    context: Context, repository: Repository, image: StoredImage, tag: str, *, restores: bool
) -> StoredImage:
    if not restores:
        raise InvalidInput(
            archived_sentence(f"{repository.name}:{tag}"),
            hint="Set restore-archived to true (it then stays restored for 90 days at least), or rebuild to "
            "true.",
        )
    if image.status == ARCHIVED:
        context.record(Changed(subject="archive", what="ECR was told to restore the archived image"))
        restore_image(context.aws, repository, image.digest)
    context.reporter.say(f"ECR restores the archived image {repository.name}:{tag}")
    began = context.clock.now()
    while image.is_archived:
        if context.clock.now() - began > RESTORE_SECONDS:
            raise Refused(
                f"ECR has not restored {repository.name}:{tag} within {RESTORE_SECONDS / 60:.0f} minutes.",
                hint="Run the job again later, or set rebuild to true.",
            )
        context.clock.sleep(IMAGE_SECONDS)
        image = fetch_tagged(context.aws, repository, tag) or image
    return image


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """What is to be built: `tag` is the image's own, `wanted` the repository as it was given."""

    context: Context
    options: BuildOptions
    source: Source
    tag: str
    wanted: str
    check_built: Callable[[Mapping[str, Any]], None]


def _pushed(
    work: _Work, repository: Repository | None, *, running: ImageReference | None
) -> tuple[Repository, StoredImage, Mapping[str, Any] | None]:
    """Build, create the repository where it is missing, push; return the image as ECR tells it afterwards."""
    context, tag, reporter = work.context, work.tag, work.context.reporter
    began = context.clock.now()
    asked = repository or Repository.of_input(work.wanted, region=context.aws.region)
    with DockerConfig(os.environ) as config:
        docker = Docker(config, clock=context.clock, show=reporter.block, mask=context.mask)
        docker.check()
        _look_at_disk(context, docker, asked, running)
        login = fetch_login(context.aws, asked)
        build = _build(work, f"{login.registry}/{asked.name}", context.clock.now())
        docker.check_build(build)
        docker.login(login)
        with reporter.folded(f"building {asked.name}:{tag}"):
            docker.build(build)
        built = docker.built_config(build)
        if built is not None:
            work.check_built(built)
        kept = repository or _created(context, work.wanted)
        context.record(Changed(subject="image", what=f"the image {kept.name}:{tag} may have been pushed"))
        with reporter.folded(f"pushing {asked.name}:{tag}"):
            digests = docker.push(build, renew=lambda: fetch_login(context.aws, kept))
        if docker.pushes_by_digest:
            built = _tagged(work, docker, kept, build.tag, digests)
        context.record(Changed(subject="image", what=f"the image {kept.name}:{tag} was pushed"))
        image = _confirmed(context, kept, tag, digests)
        config_of_image = built or docker.image_config(build.tag)
    took = context.clock.now() - began
    reporter.say(f"pushed {kept.name}:{tag} ({size_text(image.size)}) in {took:.0f} s: {image.digest}")
    return kept, image, config_of_image


def _tagged(
    work: _Work, docker: Docker, repository: Repository, reference: str, digests: frozenset[str]
) -> Mapping[str, Any] | None:
    """Give what was pushed by its digest its tag, once it is known to be good; return its configuration.

    A later run takes what has the tag, so an image that is refused gets none.
    """
    context = work.context
    if len(digests) != 1:
        raise Refused(
            "buildx did not tell the digest of what it pushed, so it gets no tag.",
            hint="Use a newer buildx (docker/setup-buildx-action).",
        )
    [digest] = digests
    what = f"an image without a tag was pushed to {repository.name} ({digest[:19]}…)"
    context.record(Changed(subject="image", what=what))
    config = docker.image_config(f"{reference.rpartition(':')[0]}@{digest}")
    if config is not None:
        work.check_built(config)
    manifest = fetch_taggable(context.aws, repository, digest)
    heed_held()
    with held_signals():
        context.record(Changed(subject="image", what=f"{what}, which may have the tag {work.tag}"))
        put_tag(context.aws, repository, digest, work.tag, manifest=manifest)
    return config


def _created(context: Context, wanted: str) -> Repository:
    context.record(Changed(subject="repository", what=f"the repository {wanted} may have been created"))
    created = create_repository(context.aws, wanted)
    context.record(Changed(subject="repository", what=f"the repository {created.name} was created"))
    context.reporter.say(
        f"the repository {created.name} is created: scan on push, immutable tags save latest"
    )
    return created


def _confirmed(context: Context, repository: Repository, tag: str, digests: frozenset[str]) -> StoredImage:
    """Return the image that has the *tag* in ECR now, which is one of those that the push told."""
    image = fetch_tagged(context.aws, repository, tag)
    if image is None:
        raise Refused(
            f"The image was pushed, but ECR has no {repository.name}:{tag}.",
            hint="Was it deleted meanwhile, or pushed to another account? Check AWS_ENDPOINT_URL.",
        )
    if digests and image.digest not in digests:
        told = " or ".join(sorted(digests))
        raise Refused(
            f"The image was pushed as {told}, but the tag {tag} is {image.digest} in ECR now.",
            hint="Another run pushed the same tag: run the job again, one at a time (a concurrency group).",
        )
    return image


def _build(work: _Work, name: str, now: float) -> Build:
    options, source = work.options, work.source
    cache = options.cache_image or f"{name}:buildcache"
    cache_from, cache_to = _caches(options.cache, cache)
    labels = {
        "org.opencontainers.image.revision": source.revision,
        "org.opencontainers.image.source": source.url,
        "org.opencontainers.image.created": datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return Build(
        context=options.folder,
        tag=f"{name}:{work.tag}",
        dockerfile=options.dockerfile,
        target=options.target,
        platforms=options.platforms,
        arguments=options.arguments,
        secrets=options.secrets,
        secret_files=options.secret_files,
        labels={name: value for name, value in labels.items() if value} | dict(options.labels),
        network=options.network,
        cache_from=cache_from,
        cache_to=cache_to,
        contexts=options.contexts,
        annotations=options.annotations,
        ssh=options.ssh,
        flags=options.flags,
        provenance=options.provenance,
        sbom=options.sbom,
    )


def _caches(kind: str, image: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return --cache-from and --cache-to, in a form that ECR takes (docs/aws-facts.md#registry-cache)."""
    match kind:
        case "registry":
            to = f"type=registry,ref={image},mode=max,image-manifest=true,oci-mediatypes=true"
            return (f"type=registry,ref={image}",), (to,)
        case "gha":
            return ("type=gha",), ("type=gha,mode=max",)
        case _:
            return (), ()


def _look_at_disk(
    context: Context, docker: Docker, repository: Repository, running: ImageReference | None
) -> None:
    """Warn where the disk may not hold the build; guessed from the image that runs, unpacked and packed."""
    free, folder = docker.free_bytes()
    if not folder:
        return
    size = 0
    if running is not None and running.repository == repository.name and running.tag:
        before = fetch_tagged(context.aws, repository, running.tag)
        size = before.size if before else 0
    needed = max(LEAST_FREE_BYTES, UNPACKED_FACTOR * size)
    if free < needed:
        finding = Finding(
            code="low-disk",
            severity=Severity.WARNING,
            message=f"{folder} has {size_text(free)} free, and the build may need {size_text(needed)}.",
            hint=FREE_DISK_HINT,
        )
        context.record(finding)
        context.reporter.say(f"warning: {finding.message}")
