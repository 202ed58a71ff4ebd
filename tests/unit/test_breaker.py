"""The circuit breaker's rule, as the judge, the views and the ECS model share it."""

from __future__ import annotations

from typing import Any

import pytest

from ecs_gpu_deploy.core.judge.breaker import failures_after_healthy, threshold, trips
from ecs_gpu_deploy.model import CircuitBreaker


def breaker(threshold_type: str | None = None, value: int | None = None, **more: Any) -> CircuitBreaker:
    configuration = {"type": threshold_type, "value": value}
    given = {key: member for key, member in configuration.items() if member is not None}
    api = {"enable": True, "rollback": True, "thresholdConfiguration": given, **more}
    return CircuitBreaker.from_api(api)


@pytest.mark.parametrize(
    ("configured", "desired", "expected"),
    [
        pytest.param(breaker(), 0, 3, id="no task asked for"),
        pytest.param(breaker(), 1, 3, id="never below 3"),
        pytest.param(breaker(), 6, 3, id="half of 6 is the lower bound"),
        pytest.param(breaker(), 7, 4, id="half of 7, rounded up"),
        pytest.param(breaker(), 25, 13, id="half of 25, rounded up"),
        pytest.param(breaker(), 399, 200, id="half of 399, rounded up, is the upper bound"),
        pytest.param(breaker(), 401, 200, id="never above 200"),
        pytest.param(breaker("BOUNDED_PERCENT", 10), 100, 10, id="a tenth"),
        pytest.param(breaker("BOUNDED_PERCENT", 100), 199, 199, id="all of them"),
        pytest.param(breaker("BOUNDED_PERCENT"), 100, 50, id="a type without a value means 50 %"),
        pytest.param(breaker(value=10), 100, 10, id="a value without a type is a bounded percentage"),
        pytest.param(breaker("UNBOUNDED_PERCENT", 50), 2, 1, id="unbounded goes below 3"),
        pytest.param(breaker("UNBOUNDED_PERCENT", 50), 3, 2, id="unbounded is rounded up too"),
        pytest.param(breaker("UNBOUNDED_PERCENT", 50), 800, 400, id="unbounded goes above 200"),
        pytest.param(breaker("UNBOUNDED_PERCENT", 50), 0, 1, id="nothing trips without a failure"),
        pytest.param(breaker("COUNT", 1), 50, 1, id="a plain count"),
        pytest.param(breaker("COUNT", 2), 800, 2, id="a count is not of the desired count"),
        pytest.param(breaker("COUNT", 500), 1, 500, id="a count has no upper bound"),
        pytest.param(breaker("PER_HOUR", 10), 100, 10, id="a type that nobody knows is read as the default"),
    ],
)
def test_the_threshold(configured: CircuitBreaker, desired: int, expected: int) -> None:
    assert threshold(configured, desired) == expected


@pytest.mark.parametrize(
    ("enable", "failed", "expected"), [(True, 2, False), (True, 3, True), (True, 4, True), (False, 9, False)]
)
def test_it_trips_at_the_threshold_where_it_is_on(enable: bool, failed: int, expected: bool) -> None:
    assert trips(breaker(enable=enable), failed, 2) is expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param({}, 0, id="by default a healthy task resets the count"),
        pytest.param({"resetOnHealthyTask": True}, 0, id="so it does where that is said"),
        pytest.param({"resetOnHealthyTask": False}, 2, id="without reset it adds up"),
    ],
)
def test_what_a_healthy_task_does_to_the_count(given: dict[str, Any], expected: int) -> None:
    assert failures_after_healthy(breaker(**given), 2) == expected


def test_a_service_that_says_nothing_has_no_breaker() -> None:
    assert CircuitBreaker.from_api({}) == CircuitBreaker()
    assert not CircuitBreaker().enable
