"""Which revision `--to` means for this service: asked of its deployments, then of tags, then of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ecs_gpu_deploy.core.image.stored_image import whether_in_ecr
from ecs_gpu_deploy.core.past.revisions import (
    Known,
    Revision,
    Rollout,
    Target,
    TargetKind,
    known_revisions,
    main_container,
    of_commit,
    of_digest,
    previous_by_tags,
    previous_of,
    revision_told,
)
from ecs_gpu_deploy.edges.aws.ecr import find_images
from ecs_gpu_deploy.edges.aws.revisions import (
    GOOD_OR_ONGOING,
    fetch_family,
    fetch_revisions,
    fetch_rollouts,
    fetch_tags,
)
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.model import Service, short_id
from ecs_gpu_deploy.steps.context import Context

_NEWEST = 20
_MANY = 100
_BACK = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The revision to roll back to, as ARN or family:N; the digests that it ran, and how it was found."""

    name: str
    how: str
    digests: Mapping[str, str] = field(default_factory=dict)
    image: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What AWS lists of the service's deployments, newest first; None where it is closed to us."""

    rollouts: tuple[Rollout, ...] | None

    @property
    def known(self) -> tuple[Rollout, ...]:
        """Return the rollouts, none where AWS does not list them."""
        return self.rollouts or ()

    @property
    def ongoing(self) -> Rollout | None:
        """Return the deployment that is ongoing."""
        return next((r for r in self.known if not r.status.is_terminal), None)


def fetch_past(context: Context, service: Service, target: Target) -> Past:
    """Return as much of the past as *target* needs: for a commit or a digest, all that AWS keeps."""
    by_name = target.kind in {TargetKind.COMMIT, TargetKind.DIGEST}
    cluster = context.ecs.cluster
    most = _MANY if by_name else _NEWEST
    rollouts = fetch_rollouts(context.aws, cluster, service.name, most=most, statuses=GOOD_OR_ONGOING)
    short = target.kind == TargetKind.PREVIOUS and rollouts is not None and len(rollouts) == most
    if short and previous_of(rollouts or (), service.task_definition) is None:
        rollouts = fetch_rollouts(context.aws, cluster, service.name, most=_MANY, statuses=GOOD_OR_ONGOING)
    return Past(rollouts=rollouts)


def choose_target(context: Context, service: Service, target: Target, past: Past) -> Chosen:
    """Return the revision that *target* means; InvalidInput where there is none, or more than one."""
    family = short_id(service.task_definition).rpartition(":")[0]
    match target.kind:
        case TargetKind.PREVIOUS:
            return _previous(context, service, past, family)
        case TargetKind.REVISION:
            name = f"{family}:{target.text}" if target.text.isdigit() else target.text
            if short_id(name).rpartition(":")[0] != family:
                raise InvalidInput(
                    f"{short_id(name)} is of another family than the service's revision "
                    f"{short_id(service.task_definition)}.",
                    hint=f"Roll back within {family}; to change the family, deploy --task-definition.",
                )
            ran = next((r for r in past.known if short_id(r.task_definition) == short_id(name)), None)
            return Chosen(
                name=ran.task_definition if ran else name,
                how="as asked",
                digests=ran.digests if ran else {},
                image=next(iter(ran.images.values()), "") if ran else "",
            )
        case TargetKind.COMMIT:
            found = of_commit(_known(context, past, family), target.text)
            how = f"it was built from {found.commits[0][:12]}"
        case TargetKind.DIGEST:
            found = of_digest(_known(context, past, family), target.text)
            how = "it ran this digest"
    return Chosen(
        name=found.task_definition,
        how=how,
        digests=found.digests,
        image=next(iter(found.images.values()), ""),
    )


def _known(context: Context, past: Past, family: str) -> tuple[Known, ...]:
    """Return all that is known of the family's revisions: their tags a hundred a call, else one by one."""
    tags = fetch_tags(context.aws)
    if tags:
        own = [
            revision_told(arn, about)
            for arn, about in tags.items()
            if short_id(arn).rpartition(":")[0] == family
        ]
        return known_revisions(past.known, own)
    arns = fetch_family(context.aws, family, most=_NEWEST) or ()
    ran = [rollout.task_definition for rollout in past.known]
    names = list(dict.fromkeys((*arns, *ran)))[: 2 * _NEWEST]
    return known_revisions(past.known, fetch_revisions(context.ecs, names))


def _previous(context: Context, service: Service, past: Past, family: str) -> Chosen:
    rollout = previous_of(past.known, service.task_definition)
    if rollout is not None:
        return Chosen(
            name=rollout.task_definition,
            how="the newest deployment before the current one that succeeded",
            digests=rollout.digests,
            image=next(iter(rollout.images.values()), ""),
        )
    number = int(short_id(service.task_definition).rpartition(":")[2])
    arns = fetch_family(context.aws, family, most=_MANY) or ()
    older = [arn for arn in arns if int(arn.rpartition(":")[2]) < number][:_BACK]
    revisions = fetch_revisions(context.ecs, older)
    tagged = previous_by_tags(revisions, number)
    if tagged is not None:
        digests = {main_container(tagged.images): tagged.digest} if tagged.digest else {}
        how = "AWS lists no earlier deployment; its tags say that it " + (
            f"succeeded ({tagged.succeeded})" if tagged.succeeded else f"came from {tagged.commit[:12]}"
        )
        return Chosen(name=tagged.arn, how=how, digests=digests)
    there = _newest_there(context, service, revisions)
    if there is None:
        raise InvalidInput(
            f"There is no revision before {short_id(service.task_definition)} to roll back to.",
            hint="AWS lists no earlier deployment that succeeded (it keeps 90 days), and no older revision "
            "with another image that is still in ECR. Name one with to.",
        )
    how = "AWS lists no earlier deployment; the newest older revision with another image that is in ECR"
    return Chosen(name=there.arn, how=how)


def _newest_there(context: Context, service: Service, revisions: Sequence[Revision]) -> Revision | None:
    """Return the newest of *revisions* whose images differ from the current ones and are in ECR."""
    current = fetch_revisions(context.ecs, [service.task_definition])
    images = dict(current[0].images) if current else {}
    others = [revision for revision in revisions if dict(revision.images) != images]
    stored = find_images(context.aws, [(image, "") for r in others for image in r.images.values()])
    for revision in sorted(others, key=lambda revision: revision.number, reverse=True):
        seen = [whether_in_ecr(stored, image) for image in revision.images.values() if image in stored]
        if seen and all(there == "yes" for there in seen):
            return revision
    return None


def runnable(context: Context, past: Past, *, but: str) -> str:
    """Return the nearest revisions whose images are still in ECR, for an error text; "" for none."""
    good = [k for k in known_revisions(past.known, ()) if k.succeeded and k.task_definition != but]
    pairs = [(image, k.digests.get(name, "")) for k in good for name, image in k.images.items()]
    stored = find_images(context.aws, pairs)

    def is_there(known: Known) -> bool:
        keys = [known.digests.get(name) or image for name, image in known.images.items()]
        return bool(keys) and all(whether_in_ecr(stored, key) in {"yes", "unknown"} for key in keys)

    names = dict.fromkeys(k.told for k in good if is_there(k))
    return ", ".join(list(names)[:3])
