"""Roll an ongoing deployment back by stopping it, instead of starting a second one over it.

While a rollback runs there is no COMPLETED deployment, so a second deployment could not be rolled back
itself (docs/aws-facts.md#rollback-candidate and #stopping-a-deployment).
"""

from __future__ import annotations

from dataclasses import replace

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.judge.options import RolloutOptions
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.core.past.revisions import Rollout
from ecs_gpu_deploy.edges.aws.answers import needed_to
from ecs_gpu_deploy.edges.aws.codedeploy import CodeDeploy
from ecs_gpu_deploy.edges.aws.revisions import fetch_service_revisions
from ecs_gpu_deploy.edges.machine.signals import heed_held, held_signals
from ecs_gpu_deploy.facts import ImageSeen, RevisionChosen, RollbackSent
from ecs_gpu_deploy.model import Service, short_id
from ecs_gpu_deploy.result import Outcome
from ecs_gpu_deploy.steps.attach_rollout import attach_any
from ecs_gpu_deploy.steps.choose_target import Chosen
from ecs_gpu_deploy.steps.follow_rollout import verdict_of, watch_to_end
from ecs_gpu_deploy.steps.take_turns import waited


def rolls_back_to(context: Context, service: Service, ongoing: Rollout, target: str) -> bool:
    """Say whether stopping *ongoing* would bring the revision *target* back: it began from it."""
    if ongoing.arn.startswith("d-"):
        before = (each for each in service.deployments if each.external_id != ongoing.arn)
        return any(short_id(each.task_definition) == short_id(target) for each in before)
    with needed_to("describe the ongoing deployment"):
        deployment = context.ecs.observe_deployment(ongoing.arn)
        sources = tuple(fetch_service_revisions(context.aws, deployment.source_revision_arns))
    return any(short_id(source.task_definition) == short_id(target) for source in sources)


def stop_and_watch(
    context: Context, options: RolloutOptions, service: Service, ongoing: Rollout, target: Chosen
) -> Verdict:
    """Stop *ongoing* with a rollback, and wait until *target* runs again."""
    if not ongoing.is_going_back:
        with held_signals():
            with needed_to("stop the ongoing deployment"):
                if ongoing.arn.startswith("d-"):
                    CodeDeploy(context.aws).stop(ongoing.arn)
                else:
                    context.ecs.stop_deployment(ongoing.arn)
            context.record(RollbackSent())
        heed_held()
    context.record(RevisionChosen(arn=target.name))
    context.record(ImageSeen(image=target.image, digest=next(iter(target.digests.values()), "")))
    context.reporter.say(f"the ongoing deployment of {short_id(ongoing.task_definition)} is rolled back")
    attached = attach_any(context, options, service, ongoing.arn)
    ending = waited(context.clock, watch_to_end(context, options, attached.rollout))
    verdict = verdict_of(ending)
    if verdict.outcome != Outcome.ROLLED_BACK:
        return verdict
    # That the stopped deployment did not finish is what was asked for, and needs no cause.
    context.record(replace(ending, diagnoses=()))
    return Verdict(outcome=Outcome.SUCCEEDED, reason="The ongoing deployment was stopped for it.")
