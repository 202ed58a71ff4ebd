"""The preflight of deploy and rollback: what plan says, before anything is changed for the rollout."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from ecs_gpu_deploy import __version__
from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.core.show.plan_view import plan_markdown, plan_text
from ecs_gpu_deploy.edges.aws.answers import AwsError
from ecs_gpu_deploy.errors import DeployError, InternalError, InvalidInput
from ecs_gpu_deploy.facts import PlanMade, Section
from ecs_gpu_deploy.inputs.requests import Preflight
from ecs_gpu_deploy.model import Service
from ecs_gpu_deploy.result import Finding, Outcome, Severity
from ecs_gpu_deploy.steps.follow_rollout import Plan
from ecs_gpu_deploy.steps.look_ahead import LookedAhead, look_ahead
from ecs_gpu_deploy.steps.render_revision import Rendering

LONGEST_SECONDS = 60.0
"""How long AWS may take to answer all of it: a rollout is not kept waiting for what only foresees it."""


def preflight(
    context: Context,
    wish: Preflight,
    plan: Plan,
    seen: Service,
    rendering: Rendering,
    *,
    command: Literal["deploy", "rollback"],
    untouched: str = "Nothing was changed.",
) -> LookedAhead | Verdict | None:
    """Return what is foreseen of *plan*, for the service as it was *seen*; a verdict where that ends the run.

    None where it is off, where nothing would roll out, and, with a warning, where it could not be done.
    *untouched* is how that verdict ends: what is as it was before.
    """
    if wish.mode == "off" or not _rolls_out(plan, rendering):
        return None
    try:
        with context.aws.remembering(), context.aws.bounded(LONGEST_SECONDS):
            ahead = look_ahead(
                context,
                seen,
                rendering,
                plan.update,
                command=command,
                wait=plan.options.wait,
                foresight=wish.foresight,
                crash_loop_threshold=plan.options.crash_loop_threshold,
            )
    except InvalidInput as error:
        if wish.mode == "error":
            raise
        not_looked_ahead(context, str(error))
        return None
    except (AwsError, DeployError) as error:
        not_looked_ahead(context, str(error))
        return None
    except Exception as error:  # noqa: BLE001 - a bug in what foresees must not stop what it is about
        not_looked_ahead(context, str(InternalError.of(error, version=__version__)))
        return None
    return _judged(context, wish, ahead, untouched)


def _judged(context: Context, wish: Preflight, ahead: LookedAhead, untouched: str) -> LookedAhead | Verdict:
    """Record what was foreseen; return it, or the verdict where the wish is that an error ends the run."""
    context.record(PlanMade(plan=ahead.plan))
    outcome = ahead.outcome("error")
    if outcome != Outcome.SUCCEEDED:
        with context.reporter.folded("preflight"):
            context.reporter.show(plan_text(ahead.plan))
    if outcome == Outcome.SUCCEEDED or wish.mode == "warn":
        context.reporter.say(f"preflight: {ahead.sentence}")
        for finding in ahead.findings:
            if finding.severity is not Severity.INFO:
                context.record(replace(finding, severity=Severity.WARNING, is_reason=False))
        return ahead
    context.record(Section(title="Preflight", text=plan_markdown(ahead.plan)))
    for finding in ahead.findings:
        context.record(finding)
    return Verdict(outcome=outcome, reason=f"{ahead.sentence} {untouched}")


def not_looked_ahead(context: Context, why: str) -> None:
    """Record that the preflight, which was asked for, says nothing."""
    context.record(
        Finding(
            code="not-checked",
            severity=Severity.WARNING,
            message=f"Not checked: the preflight says nothing of this rollout: {why.rstrip('.')}.",
            hint="Run plan to see it by itself, or set preflight to off.",
        )
    )


def _rolls_out(plan: Plan, rendering: Rendering) -> bool:
    """Say whether AWS starts new tasks: of the revision that runs it does so only where it is forced to."""
    return plan.force_new_deployment or rendering.existing_arn != plan.service.task_definition
