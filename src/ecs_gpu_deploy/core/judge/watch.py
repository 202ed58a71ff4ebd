"""What a wait is told before it begins: what is watched, how far things may go, how often to look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ecs_gpu_deploy.core.capacity.fit import Requirement, requirement_of
from ecs_gpu_deploy.core.definition.task_definition import is_essential
from ecs_gpu_deploy.core.judge.observed import Watched
from ecs_gpu_deploy.core.judge.options import RolloutOptions, WaitOptions
from ecs_gpu_deploy.core.judge.phases import PhaseFacts, leaving_seconds
from ecs_gpu_deploy.model import DEREGISTRATION_DELAY, Service


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What the wait needs besides AWS.

    `definition` is the raw task definition that is deployed, `requirement` what a task of it asks of an
    instance (None where that cannot be read). `deployment_arn` is the service deployment where it is known
    from the start. `poll_interval` is in seconds; `keeps_interval` says that
    somebody chose it, so that it is not stretched.
    """

    watched: Watched
    facts: PhaseFacts
    definition: Mapping[str, Any]
    requirement: Requirement | None = None
    poll_interval: float
    keeps_interval: bool = False
    deployment_arn: str = ""

    @property
    def containers(self) -> Sequence[Mapping[str, Any]]:
        """Return the raw container definitions."""
        return tuple(self.definition.get("containerDefinitions") or ())


def watch_of(
    service: Service,
    definition: Mapping[str, Any],
    options: RolloutOptions,
    facts: PhaseFacts,
    *,
    deployment_id: str,
    task_definition: str,
    digests: Mapping[str, tuple[str, ...]],
    began: float,
    attached_at: float | None = None,
    deployment_arn: str = "",
    codedeploy_id: str = "",
) -> Watch:
    """Return what to wait for.

    *deployment_id* is that of the classic deployment, or "" where *codedeploy_id* is CodeDeploy's;
    *task_definition* is the ARN of the revision that it deploys and *definition* its raw JSON. *began* and
    *attached_at*, when somebody else's deployment was found, are epoch seconds; the timeout counts from the
    later one. *service* is as it was seen before that.
    """
    wait = options.wait
    late = 0.0 if attached_at is None else max(attached_at - began, 0.0)
    watched = Watched(
        deployment_id=deployment_id,
        task_definition=task_definition,
        baseline=frozenset(
            d.id
            for d in service.deployments
            if d.id != deployment_id and not (codedeploy_id and d.external_id == codedeploy_id)
        ),
        known_events=frozenset(
            event.id for event in service.events if attached_at is None or event.created_at < began
        ),
        digests=digests,
        started_at=began,
        watched_from=attached_at,
        timeout=timeout_of(wait, facts) + late,
        placement_timeout=wait.placement_timeout,
        placement_given=wait.placement_timeout_given,
        crash_loop_threshold=options.crash_loop_threshold,
        settle_seconds=options.settle,
        allow_desired_zero=options.allow_desired_zero,
        drain_seconds=leaving_seconds(facts),
        codedeploy_id=codedeploy_id,
        until=options.until,
        checked_containers=frozenset(
            str(c.get("name"))
            for c in definition["containerDefinitions"]
            if c.get("healthCheck") and is_essential(c)
        ),
    )
    return Watch(
        watched=watched,
        facts=facts,
        definition=definition,
        requirement=_requirement(definition, service),
        poll_interval=wait.poll_interval,
        keeps_interval=wait.poll_interval_given,
        deployment_arn=deployment_arn,
    )


def timeout_of(wait: WaitOptions, facts: PhaseFacts) -> float:
    """Return the seconds after which the wait ends: what was given, else the default and AWS's own waits.

    The default has room for a drain as long as AWS's own; a deployment ends when its last old task is gone.
    """
    drain = max(facts.deregistration_delay - DEREGISTRATION_DELAY, 0.0)
    return wait.timeout if wait.timeout_given else wait.timeout + facts.bake + facts.pauses + drain


def _requirement(definition: Mapping[str, Any], service: Service) -> Requirement | None:
    """Return what a task asks of an instance; None for what AWS accepts and we cannot read."""
    with suppress(ValueError):
        return requirement_of(definition, constraints=service.placement_constraints)
    return None
