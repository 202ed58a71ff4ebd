"""Blue/green, linear and canary deployments, stage by stage; hooks that pause.

A simple form: the new revision scales to 100 % beside the old, traffic moves, the bake time passes, then
the old one is cleaned up. Source: AWS pages "Amazon ECS blue/green deployments workflow" and
"DeploymentLifecycleHook"; docs/aws-facts.md#deployment-strategies.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from ecs_gpu_deploy.core.defaults import bake_seconds
from ecs_gpu_deploy.core.judge import lifecycle
from ecs_gpu_deploy.ecs_model import deployments
from ecs_gpu_deploy.ecs_model.model import Model
from ecs_gpu_deploy.ecs_model.refusals import InvalidParameter
from ecs_gpu_deploy.ecs_model.state import LifecycleHook, Service, ServiceDeployment
from ecs_gpu_deploy.ecs_model.statuses import EndedBy
from ecs_gpu_deploy.model import (
    CANARY_BAKE_MINUTES,
    CANARY_PERCENT,
    LINEAR_BAKE_MINUTES,
    LINEAR_STEP_PERCENT,
    PAUSE_MINUTES,
    ServiceDeploymentStatus,
)

STAGES: tuple[str, ...] = tuple(each for each in lifecycle.STAGES if each != "PRE_PRODUCTION_TRAFFIC_SHIFT")
# How long a stage takes that only changes listener rules, and a Lambda hook to say yes.
STAGE_SECONDS = 5.0


def staged(service: Service) -> bool:
    """Tell whether the service deploys in stages, not rolling (docs/aws-facts.md#deployment-strategies)."""
    configuration = service.config.get("deploymentConfiguration") or {}
    return configuration.get("strategy", "ROLLING") in {"BLUE_GREEN", "LINEAR", "CANARY"}


def bake_of(service: Service) -> float:
    """Give for how many seconds a finished deployment is watched (docs/aws-facts.md#alarm-bake-time)."""
    configuration = service.config.get("deploymentConfiguration") or {}
    return bake_seconds(
        float(configuration.get("bakeTimeInMinutes") or 0),
        strategy=configuration.get("strategy") or "ROLLING",
        alarms=bool((configuration.get("alarms") or {}).get("enable")),
    )


def finished(record: ServiceDeployment) -> bool:
    """Tell whether no stage stands in the way of the deployment's end (API Reference, ServiceDeployment)."""
    forward = record.status is ServiceDeploymentStatus.IN_PROGRESS
    return not forward or record.lifecycle_stage in {None, "CLEAN_UP", "BAKE_TIME"}


def scales_up(service: Service, record: ServiceDeployment) -> bool:
    """Tell whether the stage lets the new revision have tasks: not before SCALE_UP.

    Source: docs/aws-facts.md#deployment-strategies.
    """
    if not staged(service) or record.status is not ServiceDeploymentStatus.IN_PROGRESS:
        return True
    return record.lifecycle_stage not in {None, "RECONCILE_SERVICE", "PRE_SCALE_UP"}


def step(model: Model, service: Service, record: ServiceDeployment, desired: int) -> bool:
    """Go on to the stage that is due and tell whether old tasks may be stopped.

    Source: docs/aws-facts.md#deployment-strategies.
    """
    if not staged(service) or record.status is not ServiceDeploymentStatus.IN_PROGRESS:
        return True
    if record.lifecycle_stage is None:
        _enter(model, service, record, STAGES[0])
    while record.lifecycle_stage != "CLEAN_UP":
        if not _hooks_done(model, service, record):
            return record.status is not ServiceDeploymentStatus.IN_PROGRESS
        if not _stage_done(model, service, record, desired):
            return False
        following = STAGES[STAGES.index(str(record.lifecycle_stage)) + 1]
        _enter(model, service, record, following)
    return True


def answer_hook(model: Model, service: Service, record: ServiceDeployment, hook_id: str, action: str) -> None:
    """Continue or roll back at a PAUSE hook that awaits it.

    Source: docs/aws-facts.md#pause-hooks.
    """
    hook = next((each for each in record.hooks if each.hook_id == hook_id), None)
    if hook is None or hook.status != "AWAITING_ACTION":
        raise InvalidParameter("The specified lifecycle hook is not awaiting an action.")
    if action == "ROLLBACK":
        hook.status = "FAILED"
        deployments.roll_back(model, service, record, EndedBy.HOOK, _hook_failed(hook))
    elif action in {"", "CONTINUE"}:
        hook.status = "SUCCEEDED"
    else:
        raise InvalidParameter("The action must be CONTINUE or ROLLBACK.")
    model.touch(service, 0.0)


def _enter(model: Model, service: Service, record: ServiceDeployment, stage: str) -> None:
    record.lifecycle_stage = stage
    record.updated_at = model.now
    record.stage_ends_at = None
    for settings in _hooks_of(service, stage):
        pause = settings.get("targetType") == "PAUSE"
        timeout = settings.get("timeoutConfiguration") or {}
        minutes = float(timeout.get("timeoutInMinutes") or PAUSE_MINUTES)
        hook = LifecycleHook(
            hook_id=model.identifiers.uuid(),
            stage=stage,
            target_type="PAUSE" if pause else "AWS_LAMBDA",
            target_arn=settings.get("hookTargetArn"),
            status="AWAITING_ACTION" if pause else "IN_PROGRESS",
            expires_at=model.now + minutes * 60 if pause else None,
            timeout_action=str(timeout.get("action") or "ROLLBACK"),
        )
        record.hooks.append(hook)
        model.after(minutes * 60 if pause else STAGE_SECONDS, _hook_due, service, hook)
    seconds = _stage_seconds(service, stage)
    if seconds is not None:
        record.stage_ends_at = model.now + seconds
        model.at(record.stage_ends_at, _wake, service)
    if stage == "PRODUCTION_TRAFFIC_SHIFT":
        for after, _ in _traffic_steps(service):
            model.after(after, _wake, service)


def _hooks_done(model: Model, service: Service, record: ServiceDeployment) -> bool:
    hooks = [each for each in record.hooks if each.stage == record.lifecycle_stage]
    bad = next((each for each in hooks if each.status in {"FAILED", "TIMED_OUT"}), None)
    if bad is not None and not (bad.status == "TIMED_OUT" and bad.timeout_action == "CONTINUE"):
        deployments.roll_back(model, service, record, EndedBy.HOOK, _hook_failed(bad))
        return False
    return all(each.status in {"SUCCEEDED", "TIMED_OUT"} for each in hooks)


def _stage_done(model: Model, service: Service, record: ServiceDeployment, desired: int) -> bool:
    if record.lifecycle_stage == "SCALE_UP":
        return sum(1 for task in service.primary.tasks.values() if task.healthy) >= desired
    if record.lifecycle_stage == "PRODUCTION_TRAFFIC_SHIFT":
        _shift_traffic(model, service, record)
    return record.stage_ends_at is None or model.now >= record.stage_ends_at


def _shift_traffic(model: Model, service: Service, record: ServiceDeployment) -> None:
    began = (record.stage_ends_at or model.now) - (_stage_seconds(service, "PRODUCTION_TRAFFIC_SHIFT") or 0)
    weight = 0.0
    for at, share in _traffic_steps(service):
        if model.now >= began + at:
            weight = share
    model.service_revisions[record.target_revision_arn].production_traffic_weight = weight
    for arn in record.source_revision_arns:
        model.service_revisions[arn].production_traffic_weight = 100.0 - weight


def _traffic_steps(service: Service) -> Iterator[tuple[float, float]]:
    """Give the shares of production traffic with their times from the stage's beginning."""
    configuration = service.config.get("deploymentConfiguration") or {}
    match configuration.get("strategy"):
        case "LINEAR":
            settings = configuration.get("linearConfiguration") or {}
            percent = float(settings.get("stepPercent") or LINEAR_STEP_PERCENT)
            bake = _minutes(settings.get("stepBakeTimeInMinutes"), LINEAR_BAKE_MINUTES)
            for number in range(math.ceil(100 / percent)):
                yield number * bake, min(100.0, percent * (number + 1))
        case "CANARY":
            settings = configuration.get("canaryConfiguration") or {}
            yield 0.0, float(settings.get("canaryPercent") or CANARY_PERCENT)
            yield _minutes(settings.get("canaryBakeTimeInMinutes"), CANARY_BAKE_MINUTES), 100.0
        case _:
            yield 0.0, 100.0


def _stage_seconds(service: Service, stage: str) -> float | None:
    """Give how long a stage takes by itself; None for one that ends on a condition."""
    match stage:
        case "SCALE_UP" | "CLEAN_UP":
            return None
        case "PRODUCTION_TRAFFIC_SHIFT":
            return max(at for at, _ in _traffic_steps(service)) + STAGE_SECONDS
        case "BAKE_TIME":
            return bake_of(service)
        case _:
            return STAGE_SECONDS


def _hooks_of(service: Service, stage: str) -> list[Mapping[str, Any]]:
    configuration = service.config.get("deploymentConfiguration") or {}
    return [
        each
        for each in configuration.get("lifecycleHooks") or ()
        if stage in (each.get("lifecycleStages") or ())
    ]


def _hook_due(model: Model, service: Service, hook: LifecycleHook) -> None:
    if hook.status == "AWAITING_ACTION":
        hook.status = "TIMED_OUT"
    elif hook.status == "IN_PROGRESS":
        hook.status = "SUCCEEDED"
    model.touch(service, 0.0)


def _hook_failed(hook: LifecycleHook) -> str:
    reason = f"Service deployment rolled back because {hook.stage} lifecycle hook(s) failed."
    if hook.target_arn:
        reason += f" Lifecycle hook target {hook.target_arn} returned FAILED status."
    return reason


def _minutes(value: Any, default: int) -> float:
    return float(default if value is None else value) * 60


def _wake(model: Model, service: Service) -> None:
    model.touch(service, 0.0)
