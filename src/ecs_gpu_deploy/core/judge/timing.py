"""How long a task may take to become healthy before ECS stops it.

Sources: docs/aws-facts.md#load-time (formula), AWS page "Health checks for Application Load Balancer target
groups", AWS page "HealthCheck" (ECS API Reference), UpdateService `healthCheckGracePeriodSeconds`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from ecs_gpu_deploy.core.defaults import HEALTH_CHECK, health_check_number
from ecs_gpu_deploy.model import TARGET_INTERVAL, TARGET_TIMEOUT, TARGET_UNHEALTHY_THRESHOLD

GRACE_MARGIN = 1.5
MAX_START_PERIOD = HEALTH_CHECK["startPeriod"].most


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerCheck:
    """Health check of a container definition. Seconds, AWS's defaults."""

    interval: float = health_check_number({}, "interval")
    timeout: float = health_check_number({}, "timeout")
    retries: int = health_check_number({}, "retries")
    start_period: float = health_check_number({}, "startPeriod")

    @classmethod
    def of(cls, check: Mapping[str, Any]) -> Self:
        """Read a raw healthCheck (docs/aws-facts.md#container-health-check)."""
        return cls(
            interval=health_check_number(check, "interval"),
            timeout=health_check_number(check, "timeout"),
            retries=health_check_number(check, "retries"),
            start_period=health_check_number(check, "startPeriod"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadBalancerCheck:
    """Health check of a target group. Seconds, AWS's defaults for an ALB."""

    interval: float = TARGET_INTERVAL
    timeout: float = TARGET_TIMEOUT
    unhealthy_threshold: int = TARGET_UNHEALTHY_THRESHOLD


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthTiming:
    """What a service's health checks allow: None where there is no such check.

    `load_seconds` is the load time seen on earlier healthy tasks, container start to first healthy
    answer, if anyone measured it.
    """

    grace: float = 0
    load_balancer: LoadBalancerCheck | None = None
    container: ContainerCheck | None = None
    load_seconds: float | None = None

    @property
    def elb_allowed(self) -> float | None:
        """Return the seconds the load balancer allows for loading."""
        check = self.load_balancer
        return elb_allowance(check.interval, check.unhealthy_threshold, self.grace) if check else None

    @property
    def container_allowed(self) -> float | None:
        """Return the seconds the container's health check allows for loading."""
        check = self.container
        if check is None:
            return None
        return container_allowance(
            check.start_period, check.retries, check.interval, check.timeout, self.grace
        )


def elb_allowance(interval: float, unhealthy_threshold: int, grace: float) -> float:
    """Return how many seconds after its start a task may load before the load balancer's verdict kills it.

    A target is unhealthy after *unhealthy_threshold* failures, *interval* seconds apart; the scheduler
    ignores that for *grace* seconds (docs/aws-facts.md#load-time).
    """
    return max(grace, unhealthy_threshold * interval)


def container_allowance(
    start_period: float, retries: int, interval: float, timeout: float, grace: float
) -> float:
    """Return how many seconds after its start a container may load before its health check kills it.

    Failures inside *start_period* do not count; the last of *retries* counted checks must begin
    *timeout* after the load ended to be safe (docs/aws-facts.md#load-time).
    """
    return max(0.0, max(grace, start_period + (retries - 1) * interval) - timeout)


def grace_needed(load_seconds: float) -> int:
    """Return the health check grace period that a load of *load_seconds* asks for: half as much again.

    Whole seconds. The margin is ours: a load takes longer where the instance is cold.
    """
    return math.ceil(GRACE_MARGIN * load_seconds)


def start_period_needed(load_seconds: float) -> int:
    """Return the container health check's startPeriod for *load_seconds*; AWS allows at most 300 s.

    Whole seconds. Source: docs/aws-facts.md#container-health-check.
    """
    return min(MAX_START_PERIOD, math.ceil(load_seconds))
