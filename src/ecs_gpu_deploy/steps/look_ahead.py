"""Look ahead at a rollout: does it fit, how long does it take, what is wrong with it. Changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.definition.service_update import ServiceUpdate
from ecs_gpu_deploy.core.judge.expected_end import Foretold, expected_end
from ecs_gpu_deploy.core.judge.options import WaitOptions
from ecs_gpu_deploy.core.judge.phases import bake_of
from ecs_gpu_deploy.core.show.plan_view import plan_sentence
from ecs_gpu_deploy.core.text import count
from ecs_gpu_deploy.forecast.prediction import Ends, Prediction
from ecs_gpu_deploy.inputs.requests import Foresight
from ecs_gpu_deploy.model import Service
from ecs_gpu_deploy.result import Finding, Outcome, Plan, PlannedEnd, Severity
from ecs_gpu_deploy.steps.calibrate import calibrate
from ecs_gpu_deploy.steps.foresee import Foreseen, foresee
from ecs_gpu_deploy.steps.render_revision import Rendering
from ecs_gpu_deploy.steps.write_plan import findings_of, plan_of


@dataclass(frozen=True, slots=True, kw_only=True)
class LookedAhead:
    """What was foreseen: the plan, what is wrong with it, and the answer as a sentence.

    `added_gpus` are the most that it holds at once beside those that its tasks hold now, `free_gpus` those
    that nobody holds on instances that take tasks.
    """

    plan: Plan
    findings: tuple[Finding, ...]
    sentence: str
    added_gpus: float = 0.0
    free_gpus: int = 0

    def outcome(self, fail_on: Literal["error", "warning", "never"]) -> Outcome:
        """Return how a run ends that fails on such: no room as no capacity, the rest as bad input."""
        counted = {"error": {Severity.ERROR}, "warning": {Severity.ERROR, Severity.WARNING}, "never": set()}
        bad = [each for each in self.findings if each.severity in counted[fail_on]]
        if not bad:
            return Outcome.SUCCEEDED
        return Outcome.NO_CAPACITY if any(each.code == "no-capacity" for each in bad) else Outcome.INVALID


def look_ahead(
    context: Context,
    seen: Service,
    rendering: Rendering,
    update: ServiceUpdate,
    *,
    command: Literal["deploy", "rollback"],
    wait: WaitOptions,
    foresight: Foresight,
    crash_loop_threshold: int | None = None,
) -> LookedAhead:
    """Return what comes of *update*, which brings the *rendering*, for the service as it was *seen*.

    *crash_loop_threshold* is what somebody set. What AWS does not show is recorded, and nothing fails for it.
    """
    from ecs_gpu_deploy.steps.judge_settings import judge_settings  # noqa: PLC0415 (rules, JMESPath)

    foreseen = foresee(
        context,
        _with_settings(seen, update),
        rendering.definition,
        desired=seen.desired_count if update.desired_count is None else update.desired_count,
        current=rendering.current,
        gpu_hourly_cost=foresight.gpu_hourly_cost,
        calibration=calibrate(context, seen) if foresight.calibrate else None,
    )
    wait_seconds = wait_of(seen, wait)
    load, runs = foreseen.scene.durations.load, rendering.current
    is_up = seen.running_count >= seen.desired_count > 0
    settings = judge_settings(
        context,
        rendering.definition,
        service=seen.name,
        rules=foresight.rules,
        load_seconds=load.seconds if load.is_seen else None,
        wait_seconds=wait_seconds,
        session_seconds=foresight.session_seconds(context.clock.now()),
        changes=update.settings,
        command=command,
        proven=runs.body if runs and is_up else None,
        reads_secrets=foresight.reads_secrets,
    )
    plan = plan_of(rendering, foreseen, update, cluster=context.ecs.cluster, wait=wait_seconds)
    if plan.predicted is not None and foreseen.prediction is not None:
        run_ends = _run_ends(foreseen, foreseen.prediction, wait, wait_seconds, crash_loop_threshold)
        plan = replace(plan, predicted=replace(plan.predicted, run_ends=run_ends))
    errors = sum(each.severity is Severity.ERROR for each in settings.findings)
    situation = foreseen.scene.situation
    added = max(0, foreseen.capacity.walk.most - len(situation.old)) * situation.requirement.gpu_count
    usable = [each.room for each in situation.pool if each.room.active and each.room.agent_connected]
    wrong = f" Its settings have {count(errors, 'error')}." if errors else ""
    return LookedAhead(
        plan=replace(plan, checks=settings.checks),
        findings=(*findings_of(plan), *settings.findings),
        sentence=f"{plan_sentence(plan, service=seen.name)}{wrong}",
        added_gpus=added,
        free_gpus=sum(len(room.free_gpus) for room in usable),
    )


def _run_ends(
    foreseen: Foreseen, prediction: Prediction, wait: WaitOptions, timeout: float, threshold: int | None
) -> PlannedEnd | None:
    """Return how our own wait would end, by the rules of the judge; None where AWS's end comes first."""
    situation = foreseen.scene.situation
    limits = situation.limits
    new = [task for task in prediction.tasks if task.is_new]
    freed = [at for task in prediction.tasks if not task.is_new for at in (task.leaves, task.gone)]
    return expected_end(
        Foretold(
            seconds=None if prediction.ends is Ends.NEVER else prediction.seconds,
            placed=[task.placed for task in new if task.placed is not None],
            healthy=[task.healthy for task in new if task.healthy is not None],
            failed=prediction.failed_at,
            freed=[at for at in freed if at is not None],
            lacks_room=foreseen.capacity.walk.lacked_room,
            is_certain=foreseen.is_certain,
        ),
        foreseen.service.circuit_breaker,
        None if situation.staged or not situation.old else limits,
        wait,
        desired=limits.desired,
        timeout=timeout,
        crash_loop_threshold=threshold,
    )


def wait_of(service: Service, wait: WaitOptions) -> float:
    """Return for how many seconds a run waits: the default timeout grows by the service's own waits."""
    return wait.timeout + (0.0 if wait.timeout_given else bake_of(service) + service.pause_seconds)


def _with_settings(service: Service, update: ServiceUpdate) -> Service:
    """Return the service with what the update sets of where and how its tasks are placed."""
    if update.configuration is not None:
        service = service.with_configuration(update.configuration)
    strategy: Sequence[dict[str, object]] = update.members.get("capacityProviderStrategy") or ()
    if not strategy:
        return service
    names = tuple(str(each["capacityProvider"]) for each in strategy)
    return replace(
        service, launch_type="", capacity_providers=names, capacity_provider_strategy=tuple(strategy)
    )
