"""The past of a service as a table: what ran when, from which commit, by whom, and can it run again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from ecs_gpu_deploy.core.image.stored_image import StoredImage, whether_in_ecr
from ecs_gpu_deploy.core.past.records import NOT_RECORDED
from ecs_gpu_deploy.core.past.revisions import Revision, Rollout, commit_of_image, lineage_of
from ecs_gpu_deploy.core.past.scores import Score, number_kept
from ecs_gpu_deploy.core.text import markdown, plain, span, table_code
from ecs_gpu_deploy.model import ServiceDeploymentStatus, short_id
from ecs_gpu_deploy.result import InEcr, PastDeployment, PastPrediction

IN_PROGRESS: Final = "in progress"
_OUTCOMES: Final[Mapping[ServiceDeploymentStatus, str]] = {
    ServiceDeploymentStatus.SUCCESSFUL: "succeeded",
    ServiceDeploymentStatus.ROLLBACK_SUCCESSFUL: "rolled back",
    ServiceDeploymentStatus.ROLLBACK_FAILED: "rollback failed",
    ServiceDeploymentStatus.STOPPED: "stopped",
    ServiceDeploymentStatus.STOP_REQUESTED: "stopping",
    ServiceDeploymentStatus.ROLLBACK_REQUESTED: "rolling back",
    ServiceDeploymentStatus.ROLLBACK_IN_PROGRESS: "rolling back",
    ServiceDeploymentStatus.PENDING: IN_PROGRESS,
    ServiceDeploymentStatus.IN_PROGRESS: IN_PROGRESS,
}
_HEADS: Final = (
    *("", "Revision", "Commit", "Digest", "What", "Outcome", "When (UTC)", "Took", "By", "In ECR", "Why"),
)
_REGISTERED_FOR: Final = 900.0
"""Seconds after its registration in which a revision's first deployment is that of who registered it."""


def past_deployments(
    rollouts: Sequence[Rollout],
    revisions: Mapping[str, Revision],
    stored: Mapping[str, StoredImage | None],
    *,
    task_definition: str,
    is_whole: bool = True,
) -> tuple[PastDeployment, ...]:
    """Join rollouts (newest first) with what tags and ECR tell; *stored* goes by digest or image reference.

    *is_whole*: there are no older ones. *task_definition* is what the service runs; `previous` marks what ran
    before it and was not left again.
    """
    now = revisions.get(task_definition)
    scores = {score.number: score for revision in revisions.values() for score in revision.scores}
    lineage = lineage_of(rollouts, task_definition, told_from=now.rolled_back_from if now else "")
    roles = {id(lineage.current): "current", id(lineage.previous): "previous"}
    rows = []
    for number, rollout in enumerate(rollouts):
        revision = revisions.get(rollout.task_definition)
        told = _told(rollout, rollouts[number + 1 :], revision, is_whole=is_whole)
        image = next(iter(rollout.images.values()), "")
        digest = next(iter(rollout.digests.values()), "") or (revision.digest if revision else "")
        role = roles.get(id(rollout), "")
        rows.append(
            _row(
                revision,
                task_definition=rollout.task_definition,
                role=role,
                told=told,
                image=image,
                digest=digest or _digest(stored.get(image)),
                outcome=_OUTCOMES.get(rollout.status, str(rollout.status).lower()),
                created_at=rollout.created_at,
                seconds=rollout.finished_at - rollout.created_at if rollout.finished_at else None,
                in_ecr=_in_ecr(rollout, stored, digest, image),
                reason=rollout.status_reason,
                score=scores.get(number_kept(rollout.number)),
            )
        )
    return tuple(rows)


def past_revisions(
    revisions: Sequence[Revision], stored: Mapping[str, StoredImage | None], *, task_definition: str
) -> tuple[PastDeployment, ...]:
    """Return the revisions instead, newest first: for where AWS shows us no deployments."""
    rows = []
    for revision in sorted(revisions, key=lambda revision: revision.number, reverse=True):
        image = next(iter(revision.images.values()), "")
        rows.append(
            _row(
                revision,
                task_definition=revision.arn,
                role="current" if revision.arn == task_definition else "",
                told=_registered_by(revision),
                image=image,
                digest=revision.digest or _digest(stored.get(image)),
                outcome="succeeded" if revision.succeeded else "unknown",
                created_at=revision.registered_at or 0.0,
                seconds=None,
                in_ecr=whether_in_ecr(stored, revision.digest, image),
                reason="",
            )
        )
    return tuple(rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What is told of one deployment: what it was, who did it in which run, and why."""

    kind: str = ""
    by: str = NOT_RECORDED
    run_url: str = ""
    why: str = ""


def _told(rollout: Rollout, older: Sequence[Rollout], revision: Revision | None, *, is_whole: bool) -> _Told:
    """Return what is told of *rollout*, after *older* ones (newest first): by a record, else its revision.

    The revision's own tags tell of the deployment that it was registered for: its first one.
    """
    records = [each for each in (revision.records if revision else ()) if each.number == rollout.number]
    done = next((each for each in records if each.kind != "stopped"), None)
    stopped = next((each for each in records if each.kind == "stopped"), None)
    kind = _kind(rollout, older, is_whole=is_whole)
    if done is not None:
        told = _Told(kind=done.kind, by=done.who, run_url=done.run, why=done.reason)
    elif revision is not None and _is_registrars(rollout, older, revision, is_whole=is_whole):
        told = replace(_registered_by(revision), kind="deploy")
    else:
        told = _Told(kind=kind)
    if stopped is None:
        return told
    by = f" by {stopped.actor}" if stopped.actor else ""
    because = f": {stopped.reason}" if stopped.reason else ""
    return replace(told, why=f"{told.why} (stopped{by}{because})".strip())


def _kind(rollout: Rollout, older: Sequence[Rollout], *, is_whole: bool) -> str:
    """Say what a deployment was, by what ran before it; "" where that is not known."""
    ran = next((each for each in older if each.succeeded), None)
    again = [each for each in older if each.task_definition == rollout.task_definition]
    if ran is not None and ran.task_definition == rollout.task_definition:
        return "redeploy"
    if any(each.succeeded for each in again):
        return "rollback"
    if again:
        return "redeploy"
    if ran is not None and _is_older(rollout.task_definition, ran.task_definition):
        return "rollback"
    return "deploy" if is_whole or ran is not None else ""


def _is_older(one: str, other: str) -> bool:
    (family, _, number), (others, _, highest) = (short_id(name).rpartition(":") for name in (one, other))
    return family == others and number.isdigit() and highest.isdigit() and int(number) < int(highest)


def _is_registrars(rollout: Rollout, older: Sequence[Rollout], revision: Revision, *, is_whole: bool) -> bool:
    """Say whether the revision was registered for this deployment."""
    if any(each.task_definition == rollout.task_definition for each in older):
        return False
    if revision.registered_at is None:
        return is_whole
    return abs(rollout.created_at - revision.registered_at) <= _REGISTERED_FOR


def _registered_by(revision: Revision) -> _Told:
    return _Told(by=_person(revision) or NOT_RECORDED, run_url=revision.run_url)


def _in_ecr(rollout: Rollout, stored: Mapping[str, StoredImage | None], digest: str, image: str) -> InEcr:
    """Say whether the images can be pulled: one that is gone, or archived, is enough that they cannot."""
    every = [
        whether_in_ecr(stored, rollout.digests.get(name, ""), each) for name, each in rollout.images.items()
    ]
    bad = next((there for there in (InEcr.GONE, InEcr.ARCHIVED) if there in every), None)
    return bad or whether_in_ecr(stored, digest, image)


def previous_good(rows: Sequence[PastDeployment]) -> PastDeployment | None:
    """Return what can be gone back to: what ran before, or where that cannot be pulled, the newest before it.

    *rows* are newest first. An image that is gone or archived cannot be pulled; one that we may not look up
    is taken for one that can.
    """
    at = next((number for number, row in enumerate(rows) if row.role == "previous"), None)
    if at is None:
        return None
    current = next((row.task_definition_arn for row in rows if row.role == "current"), "")
    before = [rows[at], *(row for row in rows[at + 1 :] if row.outcome == "succeeded")]
    there = (row for row in before if row.in_ecr not in {InEcr.GONE, InEcr.ARCHIVED})
    return next((row for row in there if row is rows[at] or row.task_definition_arn != current), None)


def _digest(image: StoredImage | None) -> str:
    return image.digest if image else ""


def _row(
    revision: Revision | None,
    *,
    task_definition: str,
    role: str,
    told: _Told,
    image: str,
    digest: str,
    outcome: str,
    created_at: float,
    seconds: float | None,
    in_ecr: InEcr,
    reason: str,
    score: Score | None = None,
) -> PastDeployment:
    commit = (revision.commit if revision else "") or commit_of_image(image)
    return PastDeployment(
        task_definition_arn=task_definition,
        role=role,
        kind=told.kind,
        commit=commit,
        commit_url=commit_url(revision, commit),
        image=image,
        image_digest=digest,
        outcome=outcome,
        reason=reason,
        created_at=created_at,
        seconds=seconds,
        by=told.by,
        run_url=told.run_url,
        why=told.why,
        in_ecr=in_ecr,
        predicted=_past_prediction(score) if score else None,
    )


def _past_prediction(score: Score) -> PastPrediction:
    return PastPrediction(
        ends=score.foreseen,
        ended=score.ended,
        seconds=score.predicted,
        actual_seconds=score.actual,
        within_interval=score.lay_within,
    )


def commit_url(revision: Revision | None, commit: str) -> str:
    """Return the address of the commit's page, "" where repository or server are unknown."""
    if revision is None or not commit or revision.repository.count("/") != 1:
        return ""
    server, found, _ = revision.run_url.partition(f"/{revision.repository}/actions/")
    return f"{server}/{revision.repository}/commit/{commit}" if found and "://" in server else ""


def _person(revision: Revision) -> str:
    """Return who registered the revision: the actor of the run, or the role's session."""
    if revision.actor:
        return revision.actor
    return revision.registered_by.rpartition(":")[2].removeprefix("assumed-role/")


def history_table(rows: Sequence[PastDeployment]) -> str:
    """Return the rows for a terminal or a log, a line each, in columns."""
    cells = [_HEADS, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_HEADS))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells)
    return "\n".join(line.rstrip() for line in lines)


def history_markdown(rows: Sequence[PastDeployment]) -> str:
    """Return the rows as a Markdown table whose commits are links."""
    lines = [f"| {' | '.join(_HEADS)} |", "|" + "---|" * len(_HEADS)]
    for row in rows:
        role, revision, commit, digest, *rest = _cells(row)
        shown = table_code(commit) if commit else ""
        linked = f"[{shown}]({row.commit_url})" if shown and row.commit_url else shown
        cells = (
            markdown(role),
            table_code(revision),
            linked,
            table_code(digest) if digest else "",
            *(markdown(cell) for cell in rest),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _cells(row: PastDeployment) -> tuple[str, ...]:
    at = f"{datetime.fromtimestamp(row.created_at, UTC):%Y-%m-%d %H:%M}" if row.created_at else ""
    return (
        row.role,
        plain(short_id(row.task_definition_arn)),
        plain(row.commit)[:12],
        plain(row.image_digest)[:19],
        "" if row.kind == "deploy" else row.kind,
        row.outcome,
        at,
        "" if row.seconds is None else span(row.seconds),
        plain(row.by, limit=40),
        row.in_ecr,
        plain(row.why, limit=80),
    )
