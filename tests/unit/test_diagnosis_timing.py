"""How long a task may load before a health check kills it (docs/aws-facts.md#load-time)."""

import pytest

from ecs_gpu_deploy.core.judge.timing import (
    ContainerCheck,
    HealthTiming,
    LoadBalancerCheck,
    container_allowance,
    elb_allowance,
    grace_needed,
    start_period_needed,
)


@pytest.mark.parametrize(
    ("interval", "threshold", "grace", "allowed"),
    [(15, 5, 0, 75), (15, 5, 300, 300), (30, 2, 0, 60), (30, 2, 20, 60)],
    ids=[
        "the article: 75 s",
        "the grace period hides it",
        "AWS's defaults",
        "a grace period too short to matter",
    ],
)
def test_what_the_load_balancer_allows(interval: float, threshold: int, grace: float, allowed: float) -> None:
    assert elb_allowance(interval, threshold, grace) == allowed


@pytest.mark.parametrize(
    ("check", "grace", "allowed"),
    [
        (ContainerCheck(start_period=120, retries=8, interval=15, timeout=0), 0, 225),
        (ContainerCheck(start_period=120, retries=8, interval=15, timeout=10), 0, 215),
        (ContainerCheck(start_period=120, retries=8, interval=15, timeout=10), 600, 590),
        (ContainerCheck(), 0, 55),
    ],
    ids=["the article: 225 s", "less the check's own timeout", "the grace period hides it", "AWS's defaults"],
)
def test_what_the_containers_check_allows(check: ContainerCheck, grace: float, allowed: float) -> None:
    found = container_allowance(check.start_period, check.retries, check.interval, check.timeout, grace)
    assert found == allowed
    assert HealthTiming(container=check, grace=grace).container_allowed == allowed


def test_without_a_check_nothing_is_allowed_or_forbidden() -> None:
    assert HealthTiming().elb_allowed is None
    assert HealthTiming().container_allowed is None
    assert HealthTiming(load_balancer=LoadBalancerCheck(), grace=100).elb_allowed == 100


def test_the_grace_period_needed_is_half_as_much_again() -> None:
    assert grace_needed(210) == 315
    assert grace_needed(100.5) == 151


def test_a_start_period_is_at_most_300_seconds() -> None:
    assert start_period_needed(95.2) == 96
    assert start_period_needed(900) == 300
