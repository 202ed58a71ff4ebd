"""Keep what a rollout has shown: how long its tasks took, and how right what was foreseen of it was."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.definition.provenance import told_by
from ecs_gpu_deploy.core.past.compared import compared_of, score_of
from ecs_gpu_deploy.core.past.durations import measured_after, measured_tag
from ecs_gpu_deploy.core.past.scores import Score, scored_tag, scores_of
from ecs_gpu_deploy.core.show.compared_view import ended_otherwise
from ecs_gpu_deploy.core.show.gpu_minutes import gpu_minutes
from ecs_gpu_deploy.edges.aws.answers import AwsError
from ecs_gpu_deploy.edges.aws.revisions import TAG_SECONDS
from ecs_gpu_deploy.errors import DeployError
from ecs_gpu_deploy.facts import Ending, Foretold
from ecs_gpu_deploy.result import Predicted


def measured_by_rollout(ending: Ending) -> dict[str, str]:
    """Return the tag that keeps how long the tasks of a rollout took that ended well; {} where none tells.

    Only what this rollout has shown is in it, nothing that was known before.
    """
    history = ending.history
    return measured_tag(measured_after(ending.service, (*history.live, *history.stopped, *history.gone)))


def scored(
    context: Context, predicted: Predicted, ending: Ending, *, number: str, before: Iterable[str]
) -> dict[str, str]:
    """Record *predicted* beside what came, and return the tag that keeps it; {} where its end was not seen.

    The tag goes on from those of the revisions *before* (ARNs), the oldest first, as far as AWS shows them.
    """
    history, deployment = ending.history, ending.deployment
    until = history.seen_at + (history.offset or 0.0)
    if deployment is not None and deployment.finished_at:
        until = deployment.finished_at
    held = gpu_minutes(ending.gpus, until=until, outcome=ending.verdict.outcome).held
    compared = compared_of(predicted, ending.verdict, history, deployment, gpu_minutes=held)
    context.record(Foretold(compared=compared))
    if finding := ended_otherwise(compared):
        context.record(finding)
    score = score_of(predicted, compared, history, number=number)
    return scored_tag(_scores(context, before), score) if score is not None else {}


def _scores(context: Context, arns: Iterable[str]) -> tuple[Score, ...]:
    found: tuple[Score, ...] = ()
    for arn in dict.fromkeys(arns):
        with suppress(AwsError, DeployError), context.aws.bounded(TAG_SECONDS):
            found += scores_of(told_by(context.ecs.fetch_task_definition(arn).tags))
    return found
