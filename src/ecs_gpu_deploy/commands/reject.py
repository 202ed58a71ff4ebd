"""reject: find the pause hook that waits → answer it with ROLLBACK → watch → report."""

from __future__ import annotations

from dataclasses import replace

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.edges.aws.revisions import tag_revision
from ecs_gpu_deploy.edges.machine.signals import held_signals
from ecs_gpu_deploy.facts import RollbackSent
from ecs_gpu_deploy.inputs.requests import AnswerRequest
from ecs_gpu_deploy.model import short_id
from ecs_gpu_deploy.result import Outcome
from ecs_gpu_deploy.steps.answer_pause import answer, find_paused
from ecs_gpu_deploy.steps.end_wait import ending_unseen, watch_command
from ecs_gpu_deploy.steps.follow_rollout import verdict_of, watch_to_end
from ecs_gpu_deploy.steps.register_revision import recorded
from ecs_gpu_deploy.steps.take_turns import waited


def run(context: Context, request: AnswerRequest) -> Verdict:
    """Roll the deployment back, and return how that ended: succeeded where what ran before runs again."""
    paused = find_paused(context, request)
    with held_signals():
        paused = answer(context, paused, "ROLLBACK")
        context.record(RollbackSent())
        rollout, arn = replace(paused.attached.rollout, is_way_back=True), paused.deployment.arn
        number, revision = short_id(paused.deployment.target_revision_arn), paused.attached.task_definition
        if not rollout.cancelled:
            told = recorded(context, revision, number, "stopped", reason=request.reason)
            tag_revision(context.aws, revision, told)
        if not request.waits and not rollout.cancelled:
            how = watch_command(context, rollout.service, arn)
            reason = f"AWS rolls back: {paused.where} was rejected; nobody waited for the end. "
            verdict = Verdict(outcome=Outcome.STARTED, reason=f"{reason}To watch it: {how}")
            return ending_unseen(context, rollout, verdict, arn).verdict
        ending = waited(context.clock, watch_to_end(context, request.rollout, rollout))
        verdict = verdict_of(ending)
        if verdict.outcome == Outcome.CANCELLED:
            return replace(
                verdict, reason=f"The job was cancelled; AWS rolls back: {paused.where} was rejected."
            )
        if verdict.outcome == Outcome.SUCCEEDED:
            why = f"{paused.where} was answered with ROLLBACK, and AWS completed the deployment all the same."
            return Verdict(outcome=Outcome.FAILED, reason=f"Not rolled back: {why}")
        if verdict.outcome != Outcome.ROLLED_BACK:
            return verdict
        # That the deployment was rolled back is what was asked for, and needs no cause.
        context.record(replace(ending, diagnoses=()))
        why = f" Why: {request.reason}." if request.reason else ""
        back = f"{short_id(revision)} → {short_id(rollout.previous)}"
        return Verdict(
            outcome=Outcome.SUCCEEDED, reason=f"Rejected, {back}: {paused.where} was answered.{why}"
        )
