"""The pull-request comment that is kept up to date: one for each service, found again by its mark."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from ecs_gpu_deploy.core.show.report import Details, subject_of
from ecs_gpu_deploy.core.show.summary import summary_head
from ecs_gpu_deploy.model import short_id
from ecs_gpu_deploy.result import Result

_LONGEST = 60_000
"""GitHub takes comments of up to 65,536 characters (its answer 422 "body is too long" says so)."""
_ARN_COLONS = 5
"""arn:partition:service:region:account:resource."""
_OWN_ASSOCIATIONS = frozenset({"OWNER", "MEMBER", "COLLABORATOR"})


_LOOKS_AHEAD = frozenset({"Plan", "Preflight"})


def comment_mark(result: Result, *, region: str = "", role_arn: str = "") -> str:
    """Return the hidden line that tells the comment: one for each service and cluster, or family of tasks.

    Clusters of one name in two accounts or Regions have two: the account is that of the role that was asked
    for, which stands before anything is known, else of what the result names. What was planned has a comment
    of its own: it stays beside what then became of it.
    """
    known = (role_arn, result.cluster, result.task_definition_arn, result.previous_task_definition_arn)
    account = next((arn.split(":")[4] for arn in known if arn.count(":") >= _ARN_COLONS), "")
    names = (account, region, short_id(result.cluster), subject_of(result))
    place = "/".join(quote(name, safe="") for name in names)
    kind = {"run-task": "task", "plan": "plan"}.get(result.command, "service")
    return f"<!-- ecs-gpu-deploy {kind} {place} -->"


def comment_text(result: Result, details: Details, *, mark: str) -> str:
    """Return the comment: its *mark*, and the head of the summary, cut at the end of a line.

    With it what plan foresees, or a preflight that ended the run; of any other only its rollout counts.
    """
    ahead = [text for title, text in details.sections.items() if title in _LOOKS_AHEAD]
    head = "\n\n".join([summary_head(result, details), *ahead])
    if len(head) > _LONGEST:
        head = (
            whole_blocks(head[:_LONGEST].rpartition("\n")[0]) + "\n\n… cut; the job summary has everything."
        )
    return f"{mark}\n{head}\n"


def whole_blocks(text: str) -> str:
    """Return Markdown that was cut at the end of a line, with the fenced block closed that was open."""
    fence = ""
    for line in text.splitlines():
        ticks = line[: len(line) - len(line.lstrip("`"))]
        if not fence and len(ticks) >= len("```"):
            fence = ticks
        elif fence and line == fence:
            fence = ""
    return f"{text}\n{fence}" if fence else text


def is_comment_of(comment: Mapping[str, Any], mark: str) -> bool:
    """Say whether it is the comment with *mark*, written by an app or by one of the repository's own people.

    Whoever may comment could write the mark as well, and have us write over that. A browser in which
    somebody edits it ends its lines with a carriage return too.
    Source: GitHub "REST API endpoints for issue comments" (user.type, author_association).
    """
    author = comment.get("user") or {}
    is_trusted = author.get("type") == "Bot" or comment.get("author_association") in _OWN_ASSOCIATIONS
    return is_trusted and str(comment.get("body") or "").startswith((f"{mark}\n", f"{mark}\r\n"))


def pull_request_in(event: Any) -> int | None:
    """Return the number of the pull request that an event is about; None where it is about none.

    Source: GitHub "Webhook events and payloads" (pull_request, issue_comment, workflow_run).
    """
    if not isinstance(event, Mapping):
        return None
    issue = event.get("issue")
    runs = event.get("workflow_run")
    listed = runs.get("pull_requests") if isinstance(runs, Mapping) else None
    about = [
        event.get("pull_request"),
        issue if isinstance(issue, Mapping) and issue.get("pull_request") else None,
        *(listed if isinstance(listed, list) else ()),
    ]
    numbers = [each.get("number") for each in about if isinstance(each, Mapping)]
    return next((number for number in numbers if type(number) is int and number > 0), None)
