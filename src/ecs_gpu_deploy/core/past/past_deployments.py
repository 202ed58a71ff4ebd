"""The past of a service as a table: what ran when, from which commit, by whom, and can it run again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from ecs_gpu_deploy.core.image.stored_image import StoredImage, whether_in_ecr
from ecs_gpu_deploy.core.past.revisions import Revision, Rollout, commit_of_image, lineage_of
from ecs_gpu_deploy.core.text import markdown, plain, span, table_code
from ecs_gpu_deploy.model import ServiceDeploymentStatus, short_id
from ecs_gpu_deploy.result import InEcr, PastDeployment

_OUTCOMES: Final[Mapping[ServiceDeploymentStatus, str]] = {
    ServiceDeploymentStatus.SUCCESSFUL: "succeeded",
    ServiceDeploymentStatus.ROLLBACK_SUCCESSFUL: "rolled back",
    ServiceDeploymentStatus.ROLLBACK_FAILED: "rollback failed",
    ServiceDeploymentStatus.STOPPED: "stopped",
    ServiceDeploymentStatus.STOP_REQUESTED: "stopping",
    ServiceDeploymentStatus.ROLLBACK_REQUESTED: "rolling back",
    ServiceDeploymentStatus.ROLLBACK_IN_PROGRESS: "rolling back",
    ServiceDeploymentStatus.PENDING: "in progress",
    ServiceDeploymentStatus.IN_PROGRESS: "in progress",
}
_HEADS: Final = ("", "Revision", "Commit", "Digest", "Outcome", "When (UTC)", "Took", "By", "In ECR")


def past_deployments(
    rollouts: Sequence[Rollout],
    revisions: Mapping[str, Revision],
    stored: Mapping[str, StoredImage | None],
    *,
    task_definition: str,
) -> tuple[PastDeployment, ...]:
    """Join rollouts (newest first) with what tags and ECR tell; *stored* goes by digest or image reference.

    *task_definition* is what the service runs. `previous` marks what ran before it and was not left again.
    """
    now = revisions.get(task_definition)
    lineage = lineage_of(rollouts, task_definition, told_from=now.rolled_back_from if now else "")
    roles = {id(lineage.current): "current", id(lineage.previous): "previous"}
    rows = []
    for rollout in rollouts:
        revision = revisions.get(rollout.task_definition)
        image = next(iter(rollout.images.values()), "")
        digest = next(iter(rollout.digests.values()), "") or (revision.digest if revision else "")
        role = roles.get(id(rollout), "")
        rows.append(
            _row(
                revision,
                task_definition=rollout.task_definition,
                role=role,
                image=image,
                digest=digest or _digest(stored.get(image)),
                outcome=_OUTCOMES.get(rollout.status, str(rollout.status).lower()),
                created_at=rollout.created_at,
                seconds=rollout.finished_at - rollout.created_at if rollout.finished_at else None,
                in_ecr=whether_in_ecr(stored, digest, image),
                reason=rollout.status_reason,
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


def _digest(image: StoredImage | None) -> str:
    return image.digest if image else ""


def _row(
    revision: Revision | None,
    *,
    task_definition: str,
    role: str,
    image: str,
    digest: str,
    outcome: str,
    created_at: float,
    seconds: float | None,
    in_ecr: InEcr,
    reason: str,
) -> PastDeployment:
    commit = (revision.commit if revision else "") or commit_of_image(image)
    return PastDeployment(
        task_definition_arn=task_definition,
        role=role,
        commit=commit,
        commit_url=commit_url(revision, commit),
        image=image,
        image_digest=digest,
        outcome=outcome,
        reason=reason,
        created_at=created_at,
        seconds=seconds,
        by=_person(revision),
        run_url=revision.run_url if revision else "",
        in_ecr=in_ecr,
    )


def commit_url(revision: Revision | None, commit: str) -> str:
    """Return the address of the commit's page, "" where repository or server are unknown."""
    if revision is None or not commit or revision.repository.count("/") != 1:
        return ""
    server, found, _ = revision.run_url.partition(f"/{revision.repository}/actions/")
    return f"{server}/{revision.repository}/commit/{commit}" if found and "://" in server else ""


def _person(revision: Revision | None) -> str:
    """Return who deployed: the actor of the run, or the role's session that registered the revision."""
    if revision is None:
        return ""
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
        row.outcome,
        at,
        "" if row.seconds is None else span(row.seconds),
        plain(row.by, limit=40),
        row.in_ecr,
    )
