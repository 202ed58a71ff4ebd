"""Roll an ongoing deployment back by stopping it, instead of starting a second one over it.

While a rollback runs there is no COMPLETED deployment, so a second deployment could not be rolled back
itself (docs/aws-facts.md#rollback-candidate and #stopping-a-deployment).
"""

from __future__ import annotations

from dataclasses import replace

from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.core.past.revisions import Rollout
from ecs_gpu_deploy.core.show.report import Details
from ecs_gpu_deploy.edges.aws.answers import needed_to
from ecs_gpu_deploy.edges.aws.revisions import fetch_service_revisions
from ecs_gpu_deploy.inputs.requests import RolloutOptions
from ecs_gpu_deploy.model import Service, ServiceDeploymentStatus, short_id
from ecs_gpu_deploy.result import Outcome
from ecs_gpu_deploy.steps.context import Context
from ecs_gpu_deploy.steps.follow_rollout import attach

_GOING_BACK = frozenset(
    {ServiceDeploymentStatus.ROLLBACK_REQUESTED, ServiceDeploymentStatus.ROLLBACK_IN_PROGRESS}
)


def rolls_back_to(context: Context, ongoing: Rollout, target: str) -> bool:
    """Say whether stopping *ongoing* would bring the revision *target* back: it began from it."""
    with needed_to("describe the ongoing deployment"):
        deployment = context.ecs.observe_deployment(ongoing.arn)
        sources = tuple(fetch_service_revisions(context.aws, deployment.source_revision_arns))
    return any(short_id(source.task_definition) == short_id(target) for source in sources)


def stop_and_watch(
    context: Context, options: RolloutOptions, service: Service, ongoing: Rollout, target: str
) -> tuple[Verdict, Details]:
    """Stop *ongoing* with a rollback, and wait until *target* runs again."""
    draft = context.draft
    if ongoing.status not in _GOING_BACK:
        with needed_to("stop the ongoing deployment"):
            context.ecs.stop_deployment(ongoing.arn)
        draft.started = True
    draft.task_definition_arn = target
    context.reporter.say(f"the ongoing deployment of {short_id(ongoing.task_definition)} is rolled back")
    verdict, details = attach(context, options, service, ongoing.arn)
    if verdict.outcome == Outcome.ROLLED_BACK:
        verdict = Verdict(outcome=Outcome.SUCCEEDED, reason="The ongoing deployment was stopped for it.")
        if draft.ending is not None:
            # That the stopped deployment did not finish is what was asked for, and needs no cause.
            draft.ending = replace(draft.ending, diagnoses=())
    return verdict, details
