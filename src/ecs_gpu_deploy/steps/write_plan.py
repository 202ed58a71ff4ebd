"""Write a plan: the steps that deploy or rollback would take, and what is foreseen of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ecs_gpu_deploy.core.capacity.answer import Fit, Lack
from ecs_gpu_deploy.core.definition.diff import diff_text
from ecs_gpu_deploy.core.definition.service_update import ServiceUpdate
from ecs_gpu_deploy.core.past.durations import Durations
from ecs_gpu_deploy.core.text import count, span
from ecs_gpu_deploy.forecast.prediction import Ends, Prediction, advice_of
from ecs_gpu_deploy.model import Service, short_id
from ecs_gpu_deploy.result import (
    Finding,
    Plan,
    PlannedCapacity,
    PlannedDuration,
    PlannedInstance,
    PlannedPhase,
    PlannedRemedy,
    PlannedStep,
    Predicted,
    Severity,
)
from ecs_gpu_deploy.steps.foresee import Foreseen
from ecs_gpu_deploy.steps.render_revision import Rendering


def plan_of(
    rendering: Rendering,
    foreseen: Foreseen,
    update: ServiceUpdate,
    *,
    cluster: str,
    wait: float,
) -> Plan:
    """Return the plan of bringing *rendering* with *update*, its revision that one or one to be made."""
    prediction = foreseen.prediction
    return Plan(
        steps=tuple(_steps(rendering, foreseen.service, update, cluster=cluster, wait=wait)),
        changes=diff_text(rendering.changes) if rendering.changes else "",
        capacity=_capacity(foreseen),
        predicted=_predicted(foreseen, prediction) if prediction is not None else None,
    )


def _steps(
    rendering: Rendering,
    service: Service,
    update: ServiceUpdate,
    *,
    cluster: str,
    wait: float,
) -> Iterator[PlannedStep]:
    family = str(rendering.definition.get("family") or "")
    if rendering.existing_arn:
        brings = short_id(rendering.existing_arn)
        yield PlannedStep(does=f"Take {brings} as it is: no new revision.")
    else:
        brings = "that revision"
        parameters = {"family": family, "changes": len(rendering.changes)}
        yield PlannedStep(
            does=f"Register {family}, as a new revision ({count(len(rendering.changes), 'difference')} to "
            f"{short_id(service.task_definition)}).",
            operation="ecs:RegisterTaskDefinition",
            parameters=parameters,
        )
    wanted, scaling = update.desired_count, ""
    if wanted is not None:
        scaling = f", desired count {service.desired_count} → {wanted}"
    sent = replace(update, task_definition=rendering.existing_arn or f"{family}:(new)")
    is_codedeploy = service.deployment_controller == "CODE_DEPLOY"
    by_ecs = "ecs:UpdateExpressGatewayService" if service.is_express else "ecs:UpdateService"
    verb = "Have CodeDeploy bring" if is_codedeploy else "Update"
    yield PlannedStep(
        does=f"{verb} the service {service.name} to {brings}{scaling}.",
        operation="codedeploy:CreateDeployment" if is_codedeploy else by_ecs,
        parameters=sent.to_api(cluster=cluster),
    )
    if service.pause_seconds:
        until = f"for {span(service.pause_seconds)} at most; what is foreseen does not count that"
        yield PlannedStep(does=f"Wait at its PAUSE hooks for continue or reject, {until}.")
    yield PlannedStep(does=f"Watch it to its end, for {round(wait / 60)} minutes at most.")


def _capacity(foreseen: Foreseen) -> PlannedCapacity:
    found = foreseen.capacity
    return PlannedCapacity(
        fit=str(found.fit),
        why=found.why,
        waves=found.walk.waves,
        fewest_serving=found.walk.fewest,
        missing=0 if found.walk.ends or found.fit is Fit.UNKNOWN else found.walk.missing,
        launches=dict(found.walk.launched),
        instances=tuple(_instance(each) for each in found.lacks),
        holders=dict(foreseen.holders),
        remedies=tuple(
            PlannedRemedy(
                code=remedy.code,
                change=remedy.change,
                fit=str(remedy.fit),
                seconds=round(prediction.seconds, 1) if prediction.ends is Ends.WELL else None,
                less=remedy.less,
                instances=remedy.instances,
                instance_type=remedy.instance_type,
                cost=_instances_cost(foreseen, remedy.instances, prediction),
            )
            for remedy, prediction in foreseen.remedies
        ),
    )


def _instances_cost(foreseen: Foreseen, instances: int, prediction: Prediction) -> float | None:
    """Return what further instances cost for as long as the rollout takes."""
    if not instances:
        return None
    whole = [each.whole for each in foreseen.scene.situation.pool if each.whole is not None]
    whole += [each.fresh for each in foreseen.scene.situation.supplies if each.fresh is not None]
    gpus = max((len(room.gpu_capacity) for room in whole), default=1)
    cost = foreseen.price.of_gpu_seconds(instances * gpus * prediction.seconds)
    return None if cost is None else round(cost, 4)


def _instance(lack: Lack) -> PlannedInstance:
    place = lack.place
    return PlannedInstance(
        id=place.name or short_id(place.arn),
        instance_type=place.instance_type,
        availability_zone=place.zone,
        capacity_provider=place.provider,
        gpus=sum(place.room.gpu_capacity.values()),
        free_gpus=len(place.room.free_gpus),
        lacks=tuple(str(each) for each in lack.shortfalls),
        impaired=place.impaired,
    )


def _predicted(foreseen: Foreseen, prediction: Prediction) -> Predicted:
    scene, price = foreseen.scene, foreseen.price
    advice = advice_of(scene, prediction)
    cost = price.of_gpu_seconds(prediction.double_gpu_seconds)
    return Predicted(
        ends=str(prediction.ends),
        seconds=round(prediction.seconds, 1),
        phases=tuple(
            PlannedPhase(name=each.name, began=round(each.began, 1), ended=round(each.ended, 1))
            for each in prediction.phases
        ),
        breaker_at=None if prediction.breaker_at is None else round(prediction.breaker_at, 1),
        failures=prediction.failures,
        gpu_minutes=round(prediction.gpu_seconds / 60, 1),
        double_gpu_minutes=round(prediction.double_gpu_seconds / 60, 1),
        launched=prediction.launched,
        cost=None if cost is None else round(cost, 4),
        price_source=price.source,
        durations=_durations(scene.durations),
        timeout=advice.timeout + round(scene.service.pause_seconds) if prediction.ends is Ends.WELL else None,
        grace_period=advice.grace_period,
        start_period=advice.start_period,
        new_gpu_minutes=round(prediction.new_gpu_seconds / 60, 1),
        interval=foreseen.interval,
        calibration=foreseen.calibration,
    )


def _durations(durations: Durations) -> Mapping[str, PlannedDuration]:
    return {
        name: PlannedDuration(seconds=round(each.seconds, 1), source=each.source)
        for name, each in durations.named.items()
    }


def findings_of(plan: Plan) -> Sequence[Finding]:
    """Return what of the plan is worth a finding: no room, a bad end, fewer tasks that serve."""
    capacity, predicted = plan.capacity, plan.predicted
    if capacity.fit == "never":
        hint = "\n".join(each.change for each in capacity.remedies)
        return [
            Finding(
                code="no-capacity", severity=Severity.ERROR, message=capacity.why, hint=hint, is_reason=True
            )
        ]
    found = []
    if capacity.fit == "unknown":
        message = f"Whether it fits cannot be told: {capacity.why}"
        found.append(Finding(code="not-checked", severity=Severity.WARNING, message=message))
    if predicted is not None and predicted.ends != "succeeds":
        found.append(
            Finding(
                code="foreseen-failure",
                severity=Severity.ERROR,
                message=f"Foreseen: the rollout {predicted.ends}, with {predicted.failures} failed tasks.",
                hint=f"Set healthCheckGracePeriodSeconds to {predicted.grace_period} at least.",
            )
        )
    return found
