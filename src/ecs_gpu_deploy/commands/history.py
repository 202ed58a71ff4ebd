"""history: the deployments of a service, with commit, image, outcome, and what can still run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.core.past.past_deployments import (
    IN_PROGRESS,
    history_markdown,
    history_table,
    past_deployments,
    past_revisions,
    previous_good,
)
from ecs_gpu_deploy.core.past.revisions import Revision, named_images, revision_told
from ecs_gpu_deploy.core.past.scores import record_of
from ecs_gpu_deploy.core.show.predicted_view import predicted_markdown, predicted_table, record_sentence
from ecs_gpu_deploy.core.text import count
from ecs_gpu_deploy.edges.aws.codedeploy import DeploymentGroup
from ecs_gpu_deploy.edges.aws.ecr import find_images
from ecs_gpu_deploy.edges.aws.revisions import fetch_family, fetch_revisions, fetch_tags
from ecs_gpu_deploy.facts import HistoryRead, PreviousRevision, RevisionChosen, Section, ServiceSeen
from ecs_gpu_deploy.inputs.requests import HistoryRequest
from ecs_gpu_deploy.model import short_id
from ecs_gpu_deploy.result import Finding, Outcome, PastDeployment, Severity
from ecs_gpu_deploy.steps.choose_target import rollouts_of_service
from ecs_gpu_deploy.steps.start_codedeploy import group_of

_DESCRIBED = 10


def run(context: Context, request: HistoryRequest) -> Verdict:
    """Read the history, show it, and put it into the result. Changes nothing in AWS."""
    service = context.ecs.fetch_service(request.service)
    context.record(ServiceSeen(name=service.name))
    context.record(RevisionChosen(arn=service.task_definition))
    is_codedeploy = service.deployment_controller == "CODE_DEPLOY"
    group = group_of(context, request.codedeploy, service) if is_codedeploy else None
    rows = _rows(context, request, service.task_definition, group)
    record = (
        record_of(row.predicted for row in rows if row.predicted is not None) if request.predicted else None
    )
    context.record(HistoryRead(deployments=rows, record=record))
    before = next((row for row in rows if row.role == "previous"), None)
    previous = previous_good(rows)
    context.record(PreviousRevision(arn=previous.task_definition_arn if previous else ""))
    shown = predicted_markdown(rows, record) if record is not None else history_markdown(rows)
    context.record(Section(title="History", text=shown))
    context.reporter.show(predicted_table(rows, record) if record is not None else history_table(rows))
    back = f"; the previous good one is {short_id(previous.task_definition_arn)}" if previous else ""
    if before is not None and before is not previous:
        gone = f"; an image of {short_id(before.task_definition_arn)}, which ran before, is {before.in_ecr}"
        back = f"{gone}{back}" if previous else f"{gone}, and no older one shown here can run again"
    goes_on = any(row.role == "current" and row.outcome == IN_PROGRESS for row in rows)
    runs = "is being deployed to" if goes_on else "runs"
    return Verdict(
        outcome=Outcome.SUCCEEDED,
        reason=f"{service.name} {runs} {short_id(service.task_definition)}{back}; "
        f"{count(len(rows), 'deployment')} shown.{f' {record_sentence(record)}' if record else ''}",
    )


def _rows(
    context: Context, request: HistoryRequest, current: str, group: DeploymentGroup | None
) -> tuple[PastDeployment, ...]:
    aws, most = context.aws, request.limit
    rollouts = rollouts_of_service(context, request.service, group, most=most)
    if rollouts is None:
        context.record(
            Finding(
                code="cannot-see",
                severity=Severity.WARNING,
                message="AWS does not show us the service deployments; here are the family's revisions.",
                hint="Allow ecs:ListServiceDeployments and ecs:DescribeServiceRevisions."
                if group is None
                else "Allow codedeploy:ListDeployments and codedeploy:BatchGetDeployments.",
            )
        )
        family = short_id(current).rpartition(":")[0]
        arns = (fetch_family(aws, family, most=most) or (current,))[:most]
        revisions = _revisions(context, arns)
        pairs = [
            (image, r.digest if n == 0 else "")
            for r in revisions.values()
            for n, image in enumerate(r.images.values())
        ]
        stored = find_images(aws, pairs)
        return past_revisions(tuple(revisions.values()), stored, task_definition=current)
    revisions = _revisions(context, [rollout.task_definition for rollout in rollouts])
    stored = find_images(aws, named_images(rollouts))
    is_whole = len(rollouts) < most
    return past_deployments(rollouts, revisions, stored, task_definition=current, is_whole=is_whole)


def _revisions(context: Context, arns: Sequence[str]) -> Mapping[str, Revision]:
    """Return what the revisions' tags tell; of many, a hundred a call where AWS lets us."""
    names = list(dict.fromkeys(arns))
    found: dict[str, Revision] = {}
    if len(names) > _DESCRIBED:
        tags = fetch_tags(context.aws)
        if tags is not None:
            return {arn: revision_told(arn, tags.get(arn, {})) for arn in names}
        context.record(
            Finding(
                code="cannot-see",
                severity=Severity.INFO,
                message=f"Commit and person are shown for the newest {_DESCRIBED} revisions only.",
                hint="Allow tag:GetResources.",
            )
        )
    for revision in fetch_revisions(context.ecs, names[:_DESCRIBED]):
        found[revision.arn] = revision
    return found
