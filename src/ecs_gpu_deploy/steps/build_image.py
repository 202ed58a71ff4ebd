"""Get the image that is asked for into ECR: take the one that is there, or build and push it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.definition.overrides import Overrides
from ecs_gpu_deploy.core.definition.task_definition import container_named, images
from ecs_gpu_deploy.core.image.docker_output import FREE_DISK_HINT
from ecs_gpu_deploy.core.image.image_reference import ImageReference
from ecs_gpu_deploy.core.image.image_tags import all_tags, check_movable
from ecs_gpu_deploy.core.image.layers import LayerDelta, layer_delta, size_text
from ecs_gpu_deploy.core.image.lifecycle_policy import rules_of, taken_away
from ecs_gpu_deploy.core.image.repository import Repository, is_ecr
from ecs_gpu_deploy.core.image.stored_image import ARCHIVED, StoredImage, archived_sentence
from ecs_gpu_deploy.core.judge.pace import IMAGE_SECONDS, RESTORE_SECONDS
from ecs_gpu_deploy.edges.aws.ecr import fetch_all_images, fetch_tagged
from ecs_gpu_deploy.edges.aws.ecr_repository import (
    create_repository,
    fetch_lifecycle_policy,
    fetch_login,
    fetch_manifests,
    fetch_repository,
    fetch_scan,
    missing_repository,
    put_tags,
    restore_image,
)
from ecs_gpu_deploy.edges.aws.revisions import fetch_family
from ecs_gpu_deploy.edges.ci.source import Source, source_of
from ecs_gpu_deploy.edges.docker.config import DockerConfig
from ecs_gpu_deploy.edges.docker.docker import Build, Docker
from ecs_gpu_deploy.errors import DeployError, InvalidInput, Refused
from ecs_gpu_deploy.facts import Changed, ImageSeen
from ecs_gpu_deploy.inputs.requests import BuildOptions, DeployRequest
from ecs_gpu_deploy.model import Service, short_id
from ecs_gpu_deploy.result import Finding, Severity
from ecs_gpu_deploy.steps.render_revision import Rendering

SEVERITIES = ("critical", "high", "medium")
SCANNED = frozenset({"COMPLETE", "ACTIVE"})
UNSCANNABLE = frozenset(
    {"FAILED", "UNSUPPORTED_IMAGE", "FINDINGS_UNAVAILABLE", "IMAGE_ARCHIVED", "IMAGE_SIZE_EXCEEDED"}
)
LEAST_FREE_BYTES = 4_000_000_000
UNPACKED_FACTOR = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltImage:
    """An image that is in ECR. `was_there`: it did not have to be built."""

    reference: ImageReference
    digest: str
    repository: Repository
    was_there: bool


def build_image(
    context: Context,
    options: BuildOptions,
    *,
    default_repository: str = "",
    running: ImageReference | None = None,
) -> BuiltImage:
    """Return the image of this commit, in ECR with all its tags; build and push it only where it must be.

    *default_repository* is taken where none is given; *running* is the image that the service runs,
    from which the size of the new one is guessed. Raise InvalidInput and Refused.
    """
    aws, say = context.aws, context.reporter.say
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
    repository = _repository(context, wanted, creates=options.create_repository)
    tags = all_tags(tag, options.extra_tags, latest=options.push_latest)
    image = fetch_tagged(aws, repository, tag)
    if image is not None and image.is_archived and not options.rebuild:
        image = _restored(context, repository, image, tag, restores=options.restore_archived)
    was_there = image is not None and not options.rebuild
    if image is not None and was_there:
        say(f"the image {repository.name}:{tag} is in ECR already: nothing is built")
        missing = [other for other in tags[1:] if other not in image.tags]
        _check_tags(context, repository, missing)
        if missing:
            context.record(Changed(subject="tags", what="further tags may have been put on the image"))
            put_tags(aws, repository, image.digest, missing)
            context.record(Changed(subject="tags", what=f"the image was tagged {', '.join(missing)}"))
    else:
        _check_tags(context, repository, [*([tag] if image else []), *tags[1:]])
        image = _pushed(context, options, repository, tags, source, running=running)
    context.record(ImageSeen(image=f"{repository.uri}:{tag}", digest=image.digest))
    _look_at_scan(context, options, repository, image)
    reference = ImageReference.from_text(f"{repository.uri}:{tag}")
    return BuiltImage(reference=reference, digest=image.digest, repository=repository, was_there=was_there)


def _changed(source: Source) -> Finding:
    return Finding(
        code="uncommitted-changes",
        severity=Severity.WARNING,
        message=f"The working tree differs from the commit {source.revision[:12]} whose tag the image gets.",
        hint="Commit first, or set image-tag.",
    )


def _repository(context: Context, wanted: str, *, creates: bool) -> Repository:
    repository = fetch_repository(context.aws, wanted)
    if repository is not None:
        return repository
    if not creates:
        raise missing_repository(context.aws, wanted)
    with DockerConfig() as config:
        Docker(config, clock=context.clock, show=context.reporter.block).check()
    context.record(Changed(subject="repository", what=f"the repository {wanted} may have been created"))
    created = create_repository(context.aws, wanted)
    context.record(Changed(subject="repository", what=f"the repository {created.name} was created"))
    context.reporter.say(
        f"the repository {created.name} is created: scan on push, immutable tags save latest"
    )
    return created


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


def _pushed(
    context: Context,
    options: BuildOptions,
    repository: Repository,
    tags: Sequence[str],
    source: Source,
    *,
    running: ImageReference | None,
) -> StoredImage:
    """Build and push, and return the image as ECR tells it afterwards."""
    reporter = context.reporter
    environment = os.environ
    began = context.clock.now()
    with DockerConfig(environment) as config:
        docker = Docker(config, clock=context.clock, show=reporter.block, environment=environment)
        docker.check()
        _look_at_disk(context, docker, repository, running)
        login = fetch_login(context.aws, repository)
        docker.login(login)
        name = f"{login.registry}/{repository.name}"
        context.record(Changed(subject="image", what="the image may have been pushed"))
        with reporter.folded(f"building {repository.name}:{tags[0]}"):
            digest = docker.build_and_push(_build(options, name, tags, source, context.clock.now()))
    context.record(Changed(subject="image", what=f"the image {repository.name}:{tags[0]} was pushed"))
    image = fetch_tagged(context.aws, repository, tags[0])
    if image is None:
        raise Refused(
            f"The image was pushed, but ECR has no {repository.name}:{tags[0]}.",
            hint="Was it deleted meanwhile, or pushed to another account? Check AWS_ENDPOINT_URL.",
        )
    if digest and digest != image.digest:
        raise Refused(
            f"The image was pushed as {digest}, but the tag {tags[0]} is {image.digest} in ECR now.",
            hint="Another run pushed the same tag: run the job again, one at a time (a concurrency group).",
        )
    took = context.clock.now() - began
    reporter.say(
        f"pushed {repository.name}:{tags[0]} ({size_text(image.size)}) in {took:.0f} s: {image.digest}"
    )
    return image


def _build(options: BuildOptions, name: str, tags: Sequence[str], source: Source, now: float) -> Build:
    cache = options.cache_image or f"{name}:buildcache"
    cache_from, cache_to = _caches(options.cache, cache)
    labels = {
        "org.opencontainers.image.revision": source.revision,
        "org.opencontainers.image.source": source.url,
        "org.opencontainers.image.created": datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return Build(
        context=options.folder,
        tags=tuple(f"{name}:{tag}" for tag in tags),
        dockerfile=options.dockerfile,
        target=options.target,
        platforms=options.platforms,
        arguments=options.arguments,
        secrets=options.secrets,
        secret_files=options.secret_files,
        labels={name: value for name, value in labels.items() if value},
        network=options.network,
        cache_from=cache_from,
        cache_to=cache_to,
        provenance=options.provenance,
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


def _look_at_scan(
    context: Context, options: BuildOptions, repository: Repository, image: StoredImage
) -> None:
    """Count what ECR's scan found; raise Refused for findings as bad as fail-on-severity says."""
    limit = options.fail_on_severity
    status, counts = image.scan_status, image.findings
    if limit != "off" and status not in SCANNED:
        status, counts = _scanned(context, options, repository, image.digest)
    found = {name: count for name in SEVERITIES if (count := counts.get(name, 0))}
    if found:
        text = ", ".join(f"{count} {name}" for name, count in found.items())
        context.record(
            Finding(
                code="image-scan",
                severity=Severity.WARNING if "critical" in found or "high" in found else Severity.INFO,
                message=f"ECR's scan of {repository.name} found {text}.",
                hint=f"aws ecr describe-image-scan-findings --repository-name {repository.name} --image-id "
                f"imageDigest={image.digest}",
            )
        )
    if limit == "off":
        return
    bad = [name for name in SEVERITIES[: SEVERITIES.index(limit) + 1] if name in found]
    if bad:
        text = ", ".join(f"{found[name]} {name}" for name in bad)
        raise Refused(
            f"ECR's scan of {repository.name} found {text}, and fail-on-severity is {limit}.",
            hint="Update the base image and the packages, or change fail-on-severity.",
        )


def _scanned(
    context: Context, options: BuildOptions, repository: Repository, digest: str
) -> tuple[str, Mapping[str, int]]:
    """Wait for the scan to end; raise Refused where it does not, for then nothing is known."""
    began = context.clock.now()
    status = ""
    while context.clock.now() - began <= options.scan_timeout:
        status, counts = fetch_scan(context.aws, repository, digest)
        if status in SCANNED:
            return status, counts
        if status in UNSCANNABLE:
            break
        context.clock.sleep(IMAGE_SECONDS)
    told = f"its status is {status}" if status else "there is none"
    raise Refused(
        f"ECR's scan of {repository.name} has no result ({told}), and fail-on-severity is "
        f"{options.fail_on_severity}.",
        hint="Turn on scan on push for the repository or the registry, raise scan-timeout, or set "
        "fail-on-severity to off.",
    )


ROLLBACK_TARGETS = 4


def with_built_image(context: Context, request: DeployRequest, service: Service) -> Overrides:
    """Return the overrides with the image that is built for them; as they are where nothing is to build."""
    overrides, options = request.overrides, request.build
    if options is None:
        return overrides
    running = context.ecs.fetch_task_definition(service.task_definition)
    given = images(running.body)
    reference = ImageReference.from_text(given[container_named(running.body, overrides.container)])
    if not options.repository and not is_ecr(reference.registry):
        raise InvalidInput(
            f"The service runs {reference}, which is not in ECR, so where to push is not known.",
            hint="Set the input repository.",
        )
    built = build_image(context, options, default_repository=reference.name, running=reference)
    for finding in _lifecycle_findings(context, built, service, overrides.container):
        context.record(finding)
    return replace(overrides, images={"": str(built.reference)})


def _lifecycle_findings(
    context: Context, built: BuiltImage, service: Service, container: str
) -> tuple[Finding, ...]:
    """Warn of images that the lifecycle policy takes away although a rollback or a restart needs them."""
    rules = rules_of(fetch_lifecycle_policy(context.aws, built.repository))
    if not rules:
        return ()
    stored = fetch_all_images(context.aws, built.repository)
    taken = taken_away(rules, stored, now=context.clock.now())
    if not taken:
        return ()
    findings = []
    for revision, reference in _referenced(context, service, container).items():
        image = _image_of(reference, built.repository, stored)
        if image is None or image.digest not in taken:
            continue
        use = "runs" if revision == service.task_definition else "may be rolled back to"
        findings.append(
            Finding(
                code="lifecycle-policy",
                severity=Severity.WARNING,
                message=f"ECR's lifecycle policy takes away {reference} by its {taken[image.digest].name}, "
                f"and {short_id(revision)}, which {use}, needs it: a new task then cannot pull it.",
                hint="Raise the rule's count, or protect tags in use with a rule of higher priority.",
            )
        )
    return tuple(findings)


def _referenced(context: Context, service: Service, container: str) -> Mapping[str, ImageReference]:
    """Return revision → image for the running revision and those before it, as far as they can be read."""
    family = short_id(service.task_definition).partition(":")[0]
    arns = [service.task_definition]
    with suppress(DeployError):
        newest = fetch_family(context.aws, family, most=ROLLBACK_TARGETS) or ()
        arns += [arn for arn in newest if arn not in arns]
    references: dict[str, ImageReference] = {}
    for arn in arns[:ROLLBACK_TARGETS]:
        try:
            definition = context.ecs.fetch_task_definition(arn).body
            name = container_named(definition, container)
            references[arn] = ImageReference.from_text(images(definition)[name])
        except DeployError:
            continue
    return references


def _image_of(
    reference: ImageReference, repository: Repository, stored: tuple[StoredImage, ...]
) -> StoredImage | None:
    if reference.name != repository.uri:
        return None
    tag = reference.tag or "latest"
    return next(
        (
            image
            for image in stored
            if (image.digest == reference.digest if reference.digest else tag in image.tags)
        ),
        None,
    )


def compare_layers(context: Context, rendering: Rendering, *, platform: str) -> LayerDelta | None:
    """Return what hosts have to pull, and tell it; None where the images cannot be compared.

    One or two calls; an image that stays the same needs none.
    """
    if not rendering.image_digest:
        return None
    new = ImageReference.from_text(rendering.image)
    repository = Repository.of_image(new)
    old = _running_image(rendering, new)
    if repository is None or old is None or str(old) == str(new):
        return None
    found = fetch_manifests(
        context.aws,
        repository,
        [rendering.image_digest, old.digest or old.tag or "latest"],
        platform=platform,
    )
    manifest = found.get(rendering.image_digest)
    if manifest is None or not manifest.layers:
        return None
    delta = layer_delta(found.get(old.digest or old.tag or "latest"), manifest)
    text = str(delta)
    context.reporter.say(text)
    context.record(
        Finding(code="image-layers", severity=Severity.INFO, message=f"{text[:1].upper()}{text[1:]}.")
    )
    return delta


def _running_image(rendering: Rendering, new: ImageReference) -> ImageReference | None:
    """Return the image of the same repository that runs now."""
    for text in rendering.running_images.values():
        try:
            reference = ImageReference.from_text(text)
        except InvalidInput:
            continue
        if reference.name == new.name:
            return reference
    return None
