"""Revision ↔ image ↔ commit: what a revision's tags tell, which one `--to` means, which ran before.

Everything is a function of what was seen. A *rollout* here is a deployment of the past: the service
deployment, joined with the service revision that it made (a ServiceDeployment names no task definition,
docs/aws-facts.md#deployment-identity).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Self

from ecs_gpu_deploy.core.past.records import DeploymentRecord, records_of
from ecs_gpu_deploy.core.past.scores import Score, scores_of
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.model import ServiceDeployment, ServiceDeploymentStatus, epoch, short_id

_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_REVISION = re.compile(r"[A-Za-z0-9_-]{1,255}:[1-9][0-9]{0,8}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{7,64}")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_FAILED = frozenset(
    {
        ServiceDeploymentStatus.ROLLBACK_SUCCESSFUL,
        ServiceDeploymentStatus.ROLLBACK_FAILED,
        ServiceDeploymentStatus.STOPPED,
    }
)
_TAGGED_COMMIT = re.compile(r"(?:^|[^0-9a-z])([0-9a-f]{7,64})(?:$|[^0-9a-z])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One revision of a task definition, with where it came from. `commit` is "" where nothing tells it."""

    arn: str
    number: int
    status: str = "ACTIVE"
    images: Mapping[str, str] = field(default_factory=dict)
    commit: str = ""
    digest: str = ""
    repository: str = ""
    run_url: str = ""
    actor: str = ""
    succeeded: str = ""
    rolled_back_from: str = ""
    rolled_back_by: str = ""
    records: tuple[DeploymentRecord, ...] = ()
    scores: tuple[Score, ...] = ()
    registered_at: float | None = None
    registered_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRevision:
    """What a service was to run: revision, and container → (image, digest) as ECS resolved it."""

    arn: str
    task_definition: str
    images: Mapping[str, str] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_api(cls, api: Mapping[str, Any]) -> Self:
        """Read ServiceRevision of DescribeServiceRevisions."""
        containers = api.get("containerImages") or ()
        return cls(
            arn=api.get("serviceRevisionArn", ""),
            task_definition=api.get("taskDefinition", ""),
            images={c["containerName"]: c.get("image", "") for c in containers},
            digests={c["containerName"]: c["imageDigest"] for c in containers if c.get("imageDigest")},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """A deployment of the past, or the one that is ongoing; `number` is that of its id, ecs-svc/NUMBER."""

    arn: str
    task_definition: str
    status: ServiceDeploymentStatus
    number: str = ""
    status_reason: str = ""
    created_at: float = 0.0
    finished_at: float | None = None
    images: Mapping[str, str] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)

    @property
    def succeeded(self) -> bool:
        """Say whether it ended well."""
        return self.status == ServiceDeploymentStatus.SUCCESSFUL

    @property
    def is_going_back(self) -> bool:
        """Say whether it is being rolled back now."""
        return self.status.is_going_back


def rollouts_of(
    deployments: Iterable[ServiceDeployment], revisions: Mapping[str, ServiceRevision]
) -> tuple[Rollout, ...]:
    """Join deployments with their service revisions, newest first; one without a revision is left out."""
    joined = [
        Rollout(
            arn=deployment.arn,
            task_definition=revision.task_definition,
            status=deployment.status,
            number=short_id(deployment.target_revision_arn),
            status_reason=deployment.status_reason,
            created_at=deployment.created_at,
            finished_at=deployment.finished_at,
            images=revision.images,
            digests=revision.digests,
        )
        for deployment in deployments
        if (revision := revisions.get(deployment.target_revision_arn)) is not None
    ]
    return tuple(sorted(joined, key=lambda rollout: rollout.created_at, reverse=True))


def named_images(rollouts: Iterable[Rollout]) -> list[tuple[str, str]]:
    """Return every image that the rollouts ran, as written, with the digest that ran ("" where unknown)."""
    return [(image, r.digests.get(name, "")) for r in rollouts for name, image in r.images.items()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """What a service runs, what it was rolled back from to get there, and what it ran before."""

    current: Rollout | None = None
    left: Rollout | None = None
    previous: Rollout | None = None


def lineage_of(rollouts: Sequence[Rollout], task_definition: str, *, told_from: str = "") -> Lineage:
    """Follow the rollouts (newest first) that succeeded to what the service runs now, *task_definition*.

    A rollout of what ran before is a way back: what came after it was left, and is no previous one. The
    same revision with another digest (its tag was moved) is another thing that ran. *told_from* is the
    revision, family:N, that the tags on the current one say it was rolled back from: it tells of a way back
    to a revision that was registered again, and of a deployment that was stopped.
    """
    ran, left = _unwound(_that_count(rollouts, task_definition))
    at = next((n for n in reversed(range(len(ran))) if ran[n].task_definition == task_definition), None)
    if at is None:
        return Lineage(previous=ran[-1] if ran else None)
    current, before = ran[at], ran[:at]
    if at < len(ran) - 1:
        left = ran[-1]
    if left is None and told_from:
        if before and short_id(before[-1].task_definition) == told_from:
            left = before.pop()
            while before and before[-1].digests and before[-1].digests == current.digests:
                before.pop()
        elif short_id(rollouts[0].task_definition) == told_from and rollouts[0].status in _FAILED:
            left = rollouts[0]
    return Lineage(current=current, left=left, previous=before[-1] if before else None)


def same_images(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Say whether no container is known to have two digests (container → digest)."""
    return all(other.get(container, digest) == digest for container, digest in one.items())


def failed_before(
    rollouts: Sequence[Rollout], task_definition: str, digests: Mapping[str, str]
) -> Rollout | None:
    """Return the newest rollout of the revision, where none of it ended well and it did not."""
    own = [
        r
        for r in rollouts
        if short_id(r.task_definition) == short_id(task_definition) and same_images(r.digests, digests)
    ]
    return None if any(r.succeeded for r in own) else next((r for r in own if r.status in _FAILED), None)


def _that_count(rollouts: Sequence[Rollout], task_definition: str) -> list[Rollout]:
    """Return those that succeeded, oldest first, and the newest one of what the service runs as it is."""
    good = [r for r in reversed(rollouts) if r.succeeded]
    newest = next((r for r in rollouts if r.task_definition == task_definition), None)
    stays = newest is not None and newest.status != ServiceDeploymentStatus.ROLLBACK_SUCCESSFUL
    if newest is not None and stays and (not good or newest.created_at > good[-1].created_at):
        good.append(newest)
    return good


def _unwound(rollouts: Iterable[Rollout]) -> tuple[list[Rollout], Rollout | None]:
    """Return what ran without what was left again, oldest first, and what the last way back left."""
    ran: list[Rollout] = []
    left: Rollout | None = None
    for rollout in rollouts:
        at = next((n for n in reversed(range(len(ran))) if _is_the_same(ran[n], rollout)), None)
        if at is None:
            ran.append(rollout)
            left = None
        else:
            left = ran[-1] if at < len(ran) - 1 else left
            ran[at:] = [rollout]
    return ran, left


def _is_the_same(one: Rollout, other: Rollout) -> bool:
    return one.task_definition == other.task_definition and same_images(one.digests, other.digests)


def previous_by_tags(revisions: Sequence[Revision], current: int) -> Revision | None:
    """Return the newest revision below number *current* that our tags call good, else one that has them.

    For where AWS lists no deployment that succeeded: it keeps them for 90 days, or denies them to us.
    """
    older = sorted((r for r in revisions if r.number < current), key=lambda r: r.number, reverse=True)
    good = next((r for r in older if r.succeeded), None)
    return good or next((r for r in older if r.commit or r.run_url), None)


def commit_of_image(image: str) -> str:
    """Return the commit that an image's tag names, such as `rag:4f2a9c1` or `rag:main-4f2a9c1`; else ""."""
    name, _, _ = image.partition("@")
    _, colon, tag = name.rpartition("/")[2].partition(":")
    if not colon:
        return ""
    found = [match for match in _TAGGED_COMMIT.findall(tag.lower()) if not match.isdigit()]
    return max(found, key=len, default="")


class TargetKind(StrEnum):
    """What the text of `--to` names."""

    PREVIOUS = "previous"
    REVISION = "revision"
    COMMIT = "commit"
    DIGEST = "digest"
    TAG = "tag"


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetWish:
    """What `--to` asks for: `text` is N, family:N or the ARN, the commit or its prefix, digest or tag."""

    kind: TargetKind
    text: str


def target_from(text: str) -> TargetWish:
    """Read `--to`. Seven digits or more are a commit's prefix: no family has a million revisions.

    Digits alone, and a commit, may be an image's tag as well: what was deployed tells.
    """
    value = text.strip()
    lower = value.lower()
    if lower == "previous":
        return TargetWish(kind=TargetKind.PREVIOUS, text=lower)
    if re.fullmatch(r"[1-9][0-9]{0,5}", value, re.ASCII):
        return TargetWish(kind=TargetKind.REVISION, text=value)
    if ":task-definition/" in value and _REVISION.fullmatch(short_id(value)):
        return TargetWish(kind=TargetKind.REVISION, text=value)
    if _DIGEST.fullmatch(lower):
        return TargetWish(kind=TargetKind.DIGEST, text=lower)
    if _COMMIT.fullmatch(lower):
        return TargetWish(kind=TargetKind.COMMIT, text=lower)
    if _REVISION.fullmatch(value) and not lower.startswith("sha256:"):
        return TargetWish(kind=TargetKind.REVISION, text=value)
    if _TAG.fullmatch(value):
        return TargetWish(kind=TargetKind.TAG, text=value)
    raise nothing_named(value)


def nothing_named(value: str) -> InvalidInput:
    """Return the error for a `--to` that names nothing."""
    shown = value if len(value) <= 80 else value[:77] + "..."
    return InvalidInput(
        f"to is {shown!r}, which names nothing to roll back to.",
        hint="Give previous, a revision (42 or family:42), a commit SHA (7 characters or more), an image "
        "digest (sha256:… with 7 digits or more) or the tag of an image that the service ran.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownRevision:
    """A revision that the service ran or could run: from a rollout, from its tags, or from both."""

    task_definition: str
    commits: tuple[str, ...] = ()
    digests: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    succeeded: bool = False
    at: float = 0.0

    @property
    def number(self) -> int:
        """Return the number of the revision."""
        tail = self.task_definition.rpartition(":")[2]
        return int(tail) if tail.isdigit() else 0

    @property
    def told(self) -> str:
        """Return what a person recognises: `rag:4 (commit 4f2a9c1d)`."""
        commit = f" (commit {self.commits[0][:12]})" if self.commits else ""
        return f"{short_id(self.task_definition)}{commit}"


def known_revisions(rollouts: Sequence[Rollout], revisions: Sequence[Revision]) -> tuple[KnownRevision, ...]:
    """Join what rollouts and tags tell of each revision: those that succeeded first, then the newest.

    A revision that ran with different digests (its tag was moved) stands there once for each.
    """
    by_arn = {revision.arn: revision for revision in revisions}
    runs: dict[tuple[str, tuple[tuple[str, str], ...]], list[Rollout]] = {}
    for rollout in rollouts:
        runs.setdefault((rollout.task_definition, tuple(sorted(rollout.digests.items()))), []).append(rollout)
    known = [_known(own, by_arn.get(name)) for (name, _), own in runs.items()]
    ran = {name for name, _ in runs}
    shown = {(name, digest) for name, digests in runs for _, digest in digests}
    known += [
        _known((), revision)
        for revision in revisions
        if revision.arn not in ran or (revision.digest and (revision.arn, revision.digest) not in shown)
    ]
    return tuple(sorted(known, key=lambda k: (k.succeeded, k.at, k.number), reverse=True))


def _known(rollouts: Sequence[Rollout], revision: Revision | None) -> KnownRevision:
    good = next((rollout for rollout in rollouts if rollout.succeeded), None)
    seen = good or next(iter(rollouts), None)
    images = dict(seen.images if seen else {}) or dict(revision.images if revision else {})
    digests = dict(seen.digests if seen else {})
    if revision and revision.digest and not digests:
        digests = {main_container(images): revision.digest}
    tagged = map(commit_of_image, images.values())
    commits = dict.fromkeys(c for c in (revision.commit if revision else "", *tagged) if c)
    registered = revision.registered_at if revision else None
    return KnownRevision(
        task_definition=seen.task_definition if seen else revision.arn if revision else "",
        commits=tuple(commits),
        digests=digests,
        images=images,
        succeeded=good is not None or bool(revision and revision.succeeded),
        at=seen.created_at if seen else registered or 0.0,
    )


def main_container(images: Mapping[str, str]) -> str:
    """Return the container of which the digest on a revision's tags speaks: the first."""
    return next(iter(images), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """What ran what was asked for, in full (a commit, a digest, a tag); `others` did as well, family:N."""

    known: KnownRevision
    text: str
    others: tuple[str, ...] = ()

    @property
    def too(self) -> str:
        """Return what names the others after a clause, "" where there are none."""
        return f" ({', '.join(self.others[:3])} too)" if self.others else ""


def _match(found: Sequence[tuple[KnownRevision, str]]) -> Match:
    (best, text), *rest = found
    names = dict.fromkeys(short_id(k.task_definition) for k, _ in rest)
    names.pop(short_id(best.task_definition), None)
    return Match(known=best, text=text, others=tuple(names))


def of_commit(known: Sequence[KnownRevision], commit: str) -> Match:
    """Return what ran *commit* (full or a prefix). InvalidInput where several commits, or none, match."""
    found = [(k, c) for k in known for c in k.commits if c.startswith(commit) or commit.startswith(c)]
    commits = [c for _, c in found]
    distinct = [c for c in dict.fromkeys(commits) if not any(o != c and o.startswith(c) for o in commits)]
    if len(distinct) > 1:
        named = dict.fromkeys(f"{c[:12]} ({short_id(k.task_definition)})" for k, c in found if c in distinct)
        raise InvalidInput(
            f"The commit {commit!r} is ambiguous: {', '.join(named)}.",
            hint="Give more characters, or the revision.",
        )
    if found:
        return _match(found)
    every = {c: k for k in reversed(known) for c in k.commits}
    near = difflib.get_close_matches(commit, list(every), n=3, cutoff=0.6)
    newest = [c for k in sorted(known, key=lambda k: k.at, reverse=True) for c in k.commits]
    shown = list(dict.fromkeys((*near, *newest)))[:5]
    listed = ", ".join(f"{c[:12]} ({short_id(every[c].task_definition)})" for c in shown)
    raise InvalidInput(
        f"The commit {commit!r} was never deployed, as far as images and tags tell.",
        hint=f"Known commits: {listed}." if listed else "No revision names a commit: give a revision.",
    )


def of_tag(known: Sequence[KnownRevision], tag: str, *, digests: Collection[str] = ()) -> Match | None:
    """Return what ran an image of this *tag*, or one of *digests*, which have it now; None: nothing did."""
    found = [
        (k, tag)
        for k in known
        if any(_tag_of(image) == tag for image in k.images.values()) or any(d in digests for d in _digests(k))
    ]
    return _match(found) if found else None


def _tag_of(image: str) -> str:
    return image.partition("@")[0].rpartition("/")[2].partition(":")[2]


def of_digest(known: Sequence[KnownRevision], digest: str) -> Match:
    """Return what ran the image *digest* (full or a prefix). InvalidInput where several, or none, match."""
    found = [(k, d) for k in known for d in _digests(k) if d.startswith(digest)]
    distinct = list(dict.fromkeys(d for _, d in found))
    if len(distinct) > 1:
        names = ", ".join(f"{d[:19]}… ({short_id(k.task_definition)})" for k, d in found)
        raise InvalidInput(f"The digest {digest!r} is ambiguous: {names}.", hint="Give it in full.")
    if found:
        return _match(found)
    listed = ", ".join(
        f"{d[:19]}… ({short_id(k.task_definition)})" for k in known[:5] for d in _digests(k)[:1]
    )
    raise InvalidInput(
        f"No revision of the service is known to have run {digest}.",
        hint=f"Known digests: {listed}." if listed else "Give a revision instead.",
    )


def _digests(known: KnownRevision) -> tuple[str, ...]:
    pinned = (image.partition("@")[2] for image in known.images.values())
    return tuple(dict.fromkeys(d for d in (*known.digests.values(), *pinned) if d))


def revision_told(arn: str, about: Mapping[str, str]) -> Revision:
    """Return a revision of which only ARN and provenance tags (*about*, by short key) are known."""
    number = short_id(arn).rpartition(":")[2]
    return Revision(
        arn=arn,
        number=int(number) if number.isdigit() else 0,
        commit=about.get("commit", ""),
        digest=about.get("digest", ""),
        repository=about.get("repository", ""),
        run_url=about.get("run", ""),
        actor=about.get("actor", ""),
        succeeded=about.get("succeeded", ""),
        rolled_back_from=about.get("rolled-back-from", ""),
        rolled_back_by=about.get("rolled-back-by", ""),
        records=records_of(about),
        scores=scores_of(about),
    )


def revision_from_api(
    body: Mapping[str, Any], *, images: Mapping[str, str], about: Mapping[str, str]
) -> Revision:
    """Read a task definition as AWS describes it; without a tag, an image's tag tells the commit."""
    told = revision_told(str(body.get("taskDefinitionArn", "")), about)
    return replace(
        told,
        status=str(body.get("status", "")),
        images=images,
        commit=told.commit or next((c for c in map(commit_of_image, images.values()) if c), ""),
        registered_at=epoch(body.get("registeredAt")),
        registered_by=str(body.get("registeredBy", "")),
    )
