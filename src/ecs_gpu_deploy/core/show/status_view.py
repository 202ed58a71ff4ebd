"""What a service is and does now, on one screen: for a terminal or log, and for the job summary."""

from __future__ import annotations

from collections.abc import Iterator

from ecs_gpu_deploy.core.capacity.holders import held_by
from ecs_gpu_deploy.core.text import count, harmless, indented, markdown, short_arns, span, table_code
from ecs_gpu_deploy.model import short_id
from ecs_gpu_deploy.result import RunningRevision, ServiceStatus

_SHORT_COMMIT = 12
_SHORT_DIGEST = 19
"""Characters that are shown of a commit, and of a digest with its sha256: before."""


def status_sentence(status: ServiceStatus, *, service: str) -> str:
    """Return what the service wants and has, in one sentence: tasks of another revision are told apart.

    Source: Amazon ECS API Reference, "Deployment" (status, rolloutState).
    """
    primary = next((each for each in status.revisions if each.status == "PRIMARY"), None)
    wants = f"{service} wants {count(status.desired, 'task')}"
    if primary is None:
        has = f" and has {status.running} running, {status.pending} pending"
    else:
        others = [each for each in status.revisions if each is not primary and each.running]
        beside = ", ".join(f"{each.running} of {short_id(each.task_definition_arn)}" for each in others)
        has = (
            f" of {short_id(primary.task_definition_arn)} and has {primary.running} running, "
            f"{primary.pending} pending" + (f", beside {beside}" if beside else "")
        )
    if status.ongoing:
        does = "a deployment is under way"
    elif primary is not None and primary.state == "FAILED":
        does = "its last deployment failed, and none is under way"
    else:
        does = "no deployment is under way"
    return f"{wants}{has}; {does}."


def status_text(status: ServiceStatus, *, service: str) -> str:
    """Return the screen: revisions with their images, the deployment under way, GPUs, events."""
    return "\n".join(harmless(indented(line)) for line in _lines(status, service))


def _lines(status: ServiceStatus, service: str) -> Iterator[str]:
    for revision in status.revisions:
        yield _revision_line(revision, now=status.at)
        for image in revision.images:
            runs = ", ".join(digest[:_SHORT_DIGEST] for digest in image.digests) or "no task runs it"
            yield f"    {image.container}  {image.image}  {runs}"
    if status.ongoing:
        yield f"under way: {status.ongoing}"
        if status.stop:
            yield f"    to stop it and go back: {status.stop}"
    if status.gpus:
        yield f"GPUs held in the cluster: {held_by(status.gpus)}"
    if status.events:
        yield "events:"
    for event in status.events:
        yield f"    {span(status.at - event.at)} ago  {_event(event.message, service)}"


def _event(message: str, service: str) -> str:
    return short_arns(message.removeprefix(f"(service {service}) "))


def _revision_line(revision: RunningRevision, *, now: float) -> str:
    parts = [f"{revision.running} of {count(revision.desired, 'task')} run"]
    parts += [f"{revision.healthy} healthy"] if revision.healthy else []
    parts += [f"{revision.pending} pending"] if revision.pending else []
    parts += [f"{revision.failed} failed"] if revision.failed else []
    parts += [revision.state] if revision.state else []
    parts += [f"began {span(now - revision.created_at)} ago"] if revision.created_at else []
    parts += [f"commit {revision.commit[:_SHORT_COMMIT]}"] if revision.commit else []
    return f"{revision.status} {short_id(revision.task_definition_arn)}: {', '.join(parts)}"


def status_markdown(status: ServiceStatus, *, service: str) -> str:
    """Return the same for the job summary; everything foreign is escaped."""
    rows = ["| Revision | Tasks | State | Commit | Images that run |", "|---|---|---|---|---|"]
    for revision in status.revisions:
        images = "<br>".join(
            f"{table_code(image.image)} {table_code(', '.join(d[:_SHORT_DIGEST] for d in image.digests))}"
            for image in revision.images
        )
        rows.append(
            f"| {table_code(short_id(revision.task_definition_arn))} | {revision.running} of "
            f"{revision.desired} | {markdown(f'{revision.status} {revision.state}'.strip())} "
            f"| {table_code(revision.commit[:_SHORT_COMMIT])} | {images} |"
        )
    parts = ["\n".join(rows)]
    parts += [f"Under way: {markdown(status.ongoing)}"] if status.ongoing else []
    parts += [f"GPUs held in the cluster: {markdown(held_by(status.gpus))}"] if status.gpus else []
    events = [
        f"- {span(status.at - event.at)} ago: {markdown(_event(event.message, service))}"
        for event in status.events
    ]
    parts += ["\n".join(events)] if events else []
    return "\n\n".join(parts)
