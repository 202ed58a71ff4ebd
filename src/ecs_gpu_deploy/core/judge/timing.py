"""How long a task may take to become healthy before ECS stops it.

Sources: docs/aws-facts.md#load-time (formula), AWS page "Health checks for Application Load Balancer target
groups", AWS page "HealthCheck" (ECS API Reference), UpdateService `healthCheckGracePeriodSeconds`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

GRACE_MARGIN = 1.5
MAX_START_PERIOD = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerCheck:
    """Health check of a container definition. Seconds, AWS's defaults."""

    interval: float = 30
    timeout: float = 5
    retries: int = 3
    start_period: float = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadBalancerCheck:
    """Health check of a target group. Seconds, AWS's defaults for an ALB."""

    interval: float = 30
    timeout: float = 5
    unhealthy_threshold: int = 2


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
