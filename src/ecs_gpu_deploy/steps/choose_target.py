"""Which revision `--to` means for this service: asked of its deployments, then of tags, then of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.image.stored_image import whether_in_ecr
from ecs_gpu_deploy.core.past.revisions import (
    KnownRevision,
    Lineage,
    Match,
    Revision,
    Rollout,
    TargetKind,
    TargetWish,
    known_revisions,
    lineage_of,
    main_container,
    nothing_named,
    of_commit,
    of_digest,
    of_tag,
    previous_by_tags,
    revision_told,
)
from ecs_gpu_deploy.edges.aws.codedeploy import CodeDeploy, DeploymentGroup
from ecs_gpu_deploy.edges.aws.ecr import find_digests, find_images
from ecs_gpu_deploy.edges.aws.revisions import (
    fetch_family,
    fetch_revisions,
    fetch_rollouts,
    fetch_tags,
)
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.model import Service, short_id
from ecs_gpu_deploy.result import InEcr

_NEWEST = 20
_MANY = 100
_BACK = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The revision to roll back to, as ARN or family:N; the digests that it ran, and how it was found.

    Where `by_digest`, the digests themselves are meant, whatever the tag names by now. `left` is the
    revision, family:N, that the service was rolled back from to get there, where it was already.
    """

    name: str
    how: str
    digests: Mapping[str, str] = field(default_factory=dict)
    image: str = ""
    by_digest: bool = False
    left: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What AWS lists of the service's deployments, newest first; None where it is closed to us."""

    rollouts: tuple[Rollout, ...] | None
    lineage: Lineage

    @property
    def known(self) -> tuple[Rollout, ...]:
        """Return the rollouts, none where AWS does not list them."""
        return self.rollouts or ()

    @property
    def ongoing(self) -> Rollout | None:
        """Return the deployment that is ongoing."""
        return next((r for r in self.known if not r.status.is_terminal), None)


def fetch_past(
    context: Context,
    service: Service,
    current: Revision,
    target: TargetWish,
    group: DeploymentGroup | None = None,
) -> Past:
    """Return as much of the past as *target* needs: for what is found by name, all that AWS keeps.

    *current* is the revision that the service runs, *group* that of a service which CodeDeploy deploys.
    """
    by_name = target.kind in {TargetKind.COMMIT, TargetKind.DIGEST, TargetKind.TAG}
    past = _fetch_past(context, service, current, group, most=_MANY if by_name else _NEWEST)
    short = target.kind == TargetKind.PREVIOUS and len(past.known) == _NEWEST
    if short and past.lineage.previous is None and past.lineage.left is None:
        return _fetch_past(context, service, current, group, most=_MANY)
    return past


def rollouts_of_service(
    context: Context, service: str, group: DeploymentGroup | None, *, most: int
) -> tuple[Rollout, ...] | None:
    """Return the newest *most* rollouts of the service, newest first; None where AWS does not list them.

    CodeDeploy does not say which images ran: the newest revisions tell, without their digests.
    """
    if group is None:
        return fetch_rollouts(context.aws, context.ecs.cluster, service, most=most)
    edge = CodeDeploy(context.aws)
    rollouts = edge.fetch_rollouts(group.application, group.name, most=most)
    if rollouts is None:
        return None
    names = list(dict.fromkeys(rollout.task_definition for rollout in rollouts))[:_BACK]
    named = {revision.arn: revision.images for revision in fetch_revisions(context.ecs, names)}
    return tuple(replace(each, images=named.get(each.task_definition, {})) for each in rollouts)


def _fetch_past(
    context: Context, service: Service, current: Revision, group: DeploymentGroup | None, *, most: int
) -> Past:
    rollouts = rollouts_of_service(context, service.name, group, most=most)
    lineage = lineage_of(rollouts or (), service.task_definition, told_from=current.rolled_back_from)
    return Past(rollouts=rollouts, lineage=lineage)


def choose_target(
    context: Context, service: Service, current: Revision, target: TargetWish, past: Past
) -> Chosen:
    """Return the revision that *target* means; InvalidInput where there is none, or more than one."""
    family = short_id(service.task_definition).rpartition(":")[0]
    match target.kind:
        case TargetKind.PREVIOUS:
            return _previous(context, service, current, past, family)
        case TargetKind.REVISION:
            return _revision(context, current, target, past, family)
        case TargetKind.COMMIT:
            return _commit(context, target, past, family)
        case TargetKind.DIGEST:
            found = of_digest(_known(context, past, family), target.text)
            return _chosen(found, f"it ran this digest{found.too}", by_digest=True)
        case TargetKind.TAG:
            tagged = _tagged(context, past, family, target.text)
            if tagged is None:
                raise nothing_named(target.text)
            return tagged


def _revision(context: Context, current: Revision, target: TargetWish, past: Past, family: str) -> Chosen:
    plain = target.text.isdigit()
    name = f"{family}:{target.text}" if plain else target.text
    if short_id(name).rpartition(":")[0] != family:
        raise InvalidInput(
            f"{short_id(name)} is of another family than the service's revision {short_id(current.arn)}.",
            hint=f"Roll back within {family}; to change the family, deploy --task-definition.",
        )
    own = [r for r in past.known if short_id(r.task_definition) == short_id(name)]
    ran = next((r for r in own if r.succeeded), own[0] if own else None)
    if ran is not None:
        return _of_rollout(ran, "as asked")
    if plain and short_id(name) != short_id(current.arn) and not fetch_revisions(context.ecs, [name]):
        tagged = _tagged(context, past, family, target.text)
        if tagged is not None:
            return tagged
    return Chosen(name=name, how="as asked")


def _commit(context: Context, target: TargetWish, past: Past, family: str) -> Chosen:
    try:
        found = of_commit(_known(context, past, family), target.text)
    except InvalidInput:
        tagged = _tagged(context, past, family, target.text)
        if tagged is None:
            raise
        return tagged
    return _chosen(found, f"it was built from {found.text[:12]}{found.too}")


def _tagged(context: Context, past: Past, family: str, tag: str) -> Chosen | None:
    """Return what ran an image of this tag, as rollouts, the newest revisions, or else ECR tell."""
    found = of_tag(known_revisions(past.known, ()), tag)
    if found is not None:
        return _chosen(found, f"its image has the tag {tag}{found.too}")
    arns = fetch_family(context.aws, family, most=_NEWEST) or ()
    revisions = fetch_revisions(context.ecs, arns)
    found = of_tag(known_revisions((), revisions), tag)
    if found is not None:
        return _chosen(found, f"its image has the tag {tag}{found.too}")
    known = (*known_revisions(past.known, revisions), *_known(context, past, family))
    images = [image for one in known for image in one.images.values()]
    found = of_tag(known, tag, digests=find_digests(context.aws, images, tag))
    return _chosen(found, f"its image has the tag {tag} in ECR{found.too}", by_digest=True) if found else None


def _chosen(found: Match, how: str, *, by_digest: bool = False) -> Chosen:
    known = found.known
    return Chosen(
        name=known.task_definition,
        how=how,
        digests=known.digests,
        image=next(iter(known.images.values()), ""),
        by_digest=by_digest,
    )


def _of_rollout(rollout: Rollout, how: str, *, by_digest: bool = False, left: str = "") -> Chosen:
    return Chosen(
        name=rollout.task_definition,
        how=how,
        digests=rollout.digests,
        image=next(iter(rollout.images.values()), ""),
        by_digest=by_digest,
        left=left,
    )


def _known(context: Context, past: Past, family: str) -> tuple[KnownRevision, ...]:
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


def _previous(context: Context, service: Service, current: Revision, past: Past, family: str) -> Chosen:
    back = _back_already(service, current, past)
    if back is not None:
        return back
    rollout = past.lineage.previous
    if rollout is not None:
        again = rollout.task_definition == service.task_definition
        how = "the newest deployment before the current one that succeeded"
        return _of_rollout(
            rollout, f"{how}, of the same revision with another digest" if again else how, by_digest=again
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


def _back_already(service: Service, current: Revision, past: Past) -> Chosen | None:
    """Return what the service runs, where it was rolled back to that, or is just now; else None.

    A rollback that is asked for twice (its job was killed and run again) must not roll forward.
    """
    ongoing, lineage = past.ongoing, past.lineage
    if ongoing and ongoing.is_going_back and ongoing.task_definition != service.task_definition:
        how = f"a rollback from {short_id(ongoing.task_definition)} to it is under way"
        return Chosen(name=service.task_definition, how=how)
    left = short_id(lineage.left.task_definition) if lineage.left else ""
    if not left and past.rollouts is None:
        left = current.rolled_back_from
    if not left:
        return None
    who = _who_went_back(current, lineage.current, left)
    how = f"already rolled back from {left}{f', by {who}' if who else ''}"
    if lineage.current is not None:
        return _of_rollout(lineage.current, how, left=left)
    return Chosen(name=service.task_definition, how=how, left=left)


def _who_went_back(current: Revision, rollout: Rollout | None, left: str) -> str:
    """Return who rolled the service back from *left* to *current*: by tags, else by *rollout*'s record."""
    if current.rolled_back_from == left and current.rolled_back_by:
        return current.rolled_back_by
    number = rollout.number if rollout else ""
    return next((r.actor for r in current.records if r.number == number and r.kind == "rollback"), "")


def _newest_there(context: Context, service: Service, revisions: Sequence[Revision]) -> Revision | None:
    """Return the newest of *revisions* whose images differ from the current ones and are in ECR."""
    current = fetch_revisions(context.ecs, [service.task_definition])
    images = dict(current[0].images) if current else {}
    others = [revision for revision in revisions if dict(revision.images) != images]
    stored = find_images(context.aws, [(image, "") for r in others for image in r.images.values()])
    for revision in sorted(others, key=lambda revision: revision.number, reverse=True):
        seen = [whether_in_ecr(stored, image) for image in revision.images.values() if image in stored]
        if seen and all(there is InEcr.YES for there in seen):
            return revision
    return None


def runnable(context: Context, past: Past, *, but: str) -> str:
    """Return the nearest revisions whose images are still in ECR, for an error text; "" for none."""
    good = [k for k in known_revisions(past.known, ()) if k.succeeded and k.task_definition != but]
    pairs = [(image, k.digests.get(name, "")) for k in good for name, image in k.images.items()]
    stored = find_images(context.aws, pairs)

    def is_there(known: KnownRevision) -> bool:
        keys = [known.digests.get(name) or image for name, image in known.images.items()]
        return bool(keys) and all(whether_in_ecr(stored, key) in {InEcr.YES, InEcr.UNKNOWN} for key in keys)

    names = dict.fromkeys(k.told for k in good if is_there(k))
    return ", ".join(list(names)[:3])
