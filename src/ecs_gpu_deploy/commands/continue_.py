"""continue: find the pause hook that waits → answer it with CONTINUE → watch → report."""

from __future__ import annotations

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.edges.aws.revisions import tag_revision
from ecs_gpu_deploy.edges.machine.signals import held_signals
from ecs_gpu_deploy.inputs.requests import AnswerRequest
from ecs_gpu_deploy.result import Outcome
from ecs_gpu_deploy.steps.answer_pause import answer, find_paused
from ecs_gpu_deploy.steps.end_wait import ending_unseen, watch_command
from ecs_gpu_deploy.steps.follow_rollout import verdict_of, watch_to_end
from ecs_gpu_deploy.steps.register_revision import succeeded_tag
from ecs_gpu_deploy.steps.start_deployment import check_deployable
from ecs_gpu_deploy.steps.take_turns import waited


def run(context: Context, request: AnswerRequest) -> Verdict:
    """Let the deployment go on, and return the verdict over it."""
    paused = find_paused(context, request)
    service = paused.attached.rollout.service
    check_deployable(service, allow_desired_zero=request.rollout.allow_desired_zero)
    with held_signals():
        paused = answer(context, paused, "CONTINUE")
        rollout, arn = paused.attached.rollout, paused.deployment.arn
        if not request.waits and not rollout.cancelled:
            how = watch_command(context, rollout.service, arn)
            reason = f"AWS goes on: {paused.where} was answered; nobody waited, so how it ends is not known. "
            verdict = Verdict(outcome=Outcome.STARTED, reason=f"{reason}To watch it: {how}")
            return ending_unseen(context, rollout, verdict, arn).verdict
        ending = waited(context.clock, watch_to_end(context, request.rollout, rollout))
        verdict = verdict_of(ending)
        if verdict.outcome == Outcome.SUCCEEDED and verdict.stable and rollout.service.desired_count:
            good = succeeded_tag(context, service=rollout.service.name)
            tag_revision(context.aws, paused.attached.task_definition, good)
        return verdict
