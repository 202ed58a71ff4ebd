"""The facts of a rollout from which its deadlines follow: health checks, draining, stop timeouts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import botocore.exceptions

from ecs_gpu_deploy.core.judge.phases import IMAGE_PULL_SECONDS, PhaseFacts
from ecs_gpu_deploy.core.judge.timing import ContainerCheck, HealthTiming, LoadBalancerCheck
from ecs_gpu_deploy.edges.aws.client import Aws
from ecs_gpu_deploy.edges.aws.ecs import CONNECTION_ERRORS
from ecs_gpu_deploy.edges.aws.load_balancer import TargetGroup, fetch_target_group
from ecs_gpu_deploy.inputs.settings import Settings
from ecs_gpu_deploy.model import Service
from ecs_gpu_deploy.steps.context import Context

ALARM_BAKE_SECONDS = 300.0
"""How long alarms may watch a finished rolling deployment, where bakeTimeInMinutes does not say."""


def phase_facts(context: Context, service: Service, containers: Sequence[Mapping[str, Any]]) -> PhaseFacts:
    """Return the facts for *service* running *containers* (raw container definitions)."""
    groups = _target_groups(context.aws, service)
    to_pull = context.draft.to_pull
    timing = HealthTiming(
        grace=service.health_check_grace_period,
        load_balancer=_load_balancer_check(groups),
        container=_container_check(containers),
    )
    return PhaseFacts(
        placement_timeout=context.settings.placement_timeout,
        timing=timing,
        pull=max(IMAGE_PULL_SECONDS, to_pull.pull_seconds if to_pull else 0.0),
        healthy_seconds=max((g.interval * g.healthy_threshold + g.timeout for g in groups), default=0.0),
        deregistration_delay=max((g.deregistration_delay for g in groups), default=0.0),
        stop_timeout=max((float(c.get("stopTimeout") or 30) for c in containers), default=30.0),
        bake=_bake(service),
        pauses=service.pause_seconds,
        given=context.settings.phase_deadlines or {},
    )


def timeout_of(settings: Settings, facts: PhaseFacts) -> float:
    """Return the seconds after which the wait ends: what was given, else the default and AWS's own waits."""
    own: float = settings.timeout
    return own if "timeout" in settings.given else own + facts.bake + facts.pauses


def _bake(service: Service) -> float:
    """Return the seconds that the deployment configuration adds: traffic steps, bake time, alarms."""
    own = service.bake_time_minutes * 60.0
    if service.strategy == "ROLLING" and not service.alarms:
        return 0.0
    return service.traffic_shift_seconds + (own or ALARM_BAKE_SECONDS if service.alarms else own)


def _load_balancer_check(groups: Sequence[TargetGroup]) -> LoadBalancerCheck | None:
    """Return the check of the group that is quickest to call a target unhealthy."""
    if not groups:
        return None
    group = min(groups, key=lambda group: group.interval * group.unhealthy_threshold)
    return LoadBalancerCheck(
        interval=group.interval, timeout=group.timeout, unhealthy_threshold=group.unhealthy_threshold
    )


def _container_check(containers: Sequence[Mapping[str, Any]]) -> ContainerCheck | None:
    """Return the first container's check; its defaults are AWS's (aws-facts A4)."""
    check = next((c["healthCheck"] for c in containers if c.get("healthCheck")), None)
    if check is None:
        return None
    return ContainerCheck(
        interval=check.get("interval", 30),
        timeout=check.get("timeout", 5),
        retries=check.get("retries", 3),
        start_period=check.get("startPeriod", 0),
    )


def _target_groups(aws: Aws, service: Service) -> tuple[TargetGroup, ...]:
    """Return the settings of the target groups; deadlines do without where we may not see them."""
    found = []
    for arn in service.target_group_arns:
        try:
            group = fetch_target_group(aws, arn)
        except (botocore.exceptions.ClientError, *CONNECTION_ERRORS):
            continue
        if group is not None:
            found.append(group)
    return tuple(found)
