"""Killed while it was still loading, or by a check that failed: the arithmetic, and where each limit lies."""

from __future__ import annotations

from typing import Any

import pytest

from ecs_gpu_deploy.core.diagnose.loading import Kill, loading_message
from ecs_gpu_deploy.core.judge.timing import ContainerCheck, HealthTiming, LoadBalancerCheck
from ecs_gpu_deploy.model import Task

ELB = LoadBalancerCheck(interval=15, timeout=10, unhealthy_threshold=5)
"""Allows 75 s; 60 to 205 s is the lifetime of a task that never answered well."""
CHECK = ContainerCheck(interval=15, timeout=10, retries=8, start_period=120)
"""Allows 215 s; 200 to 425 s is the lifetime of a task that never answered well."""
BOTH = HealthTiming(load_balancer=ELB, container=CHECK)
LOADS = "INFO Loading model weights"


def message(
    seconds: float | None,
    *lines: str,
    timing: HealthTiming = BOTH,
    by_load_balancer: bool = True,
    started_at: float | None = 1000.0,
    **known: Any,
) -> str:
    """Return what is said of a task that was killed after so many seconds; None: AWS does not say when."""
    end = None if seconds is None else 1000.0 + seconds
    task = Task(arn="arn:t/1", last_status="STOPPED", started_at=started_at, stopping_at=end)
    kill = Kill(task=task, by_load_balancer=by_load_balancer, lines=lines or (LOADS,), **known)
    return loading_message(kill, timing)


@pytest.mark.parametrize(
    ("by_load_balancer", "timing", "load", "expected"),
    [
        pytest.param(
            True,
            BOTH,
            None,
            "load needed more than 100 s, ELB allowed 75 s: set health_check_grace_period_seconds ≥ 150 "
            "(measure the load: 1.5 times it is the value)",
            id="the load balancer's, the load is not known",
        ),
        pytest.param(
            True,
            BOTH,
            200,
            "load needed ~200 s, ELB allowed 75 s: set health_check_grace_period_seconds ≥ 300",
            id="the load balancer's, the load was measured",
        ),
        pytest.param(
            False,
            HealthTiming(container=ContainerCheck(interval=15, retries=5)),
            None,
            "load needed more than 100 s, the container health check allowed 55 s: set startPeriod 100 and "
            "health_check_grace_period_seconds ≥ 150 (measure the load: 1.5 times it is the value)",
            id="the container's, the load is not known",
        ),
        pytest.param(
            False,
            HealthTiming(container=ContainerCheck(interval=15, retries=5)),
            200,
            "load needed ~200 s, the container health check allowed 55 s: set startPeriod 200 and "
            "health_check_grace_period_seconds ≥ 300",
            id="the container's, the load was measured",
        ),
    ],
)
def test_the_arithmetic_word_by_word(
    *, by_load_balancer: bool, timing: HealthTiming, load: float | None, expected: str
) -> None:
    timing = HealthTiming(load_balancer=timing.load_balancer, container=timing.container, load_seconds=load)
    assert message(100, timing=timing, by_load_balancer=by_load_balancer) == expected


@pytest.mark.parametrize(
    ("by_load_balancer", "grace", "shortest", "longest"),
    [
        pytest.param(True, 0, 60, 205, id="the load balancer's: 75 s - 15, 75 + 2 * 15 + 10 + 90"),
        pytest.param(True, 300, 285, 430, id="the load balancer's after a grace period"),
        pytest.param(False, 0, 200, 425, id="the container's: 215 s - 15, 120 + 8 * (15 + 10) + 15 + 90"),
        pytest.param(False, 600, 575, 705, id="the container's within a grace period"),
    ],
)
def test_the_lifetimes_of_a_task_that_was_killed_while_loading(
    *, by_load_balancer: bool, grace: float, shortest: float, longest: float
) -> None:
    timing = HealthTiming(load_balancer=ELB, container=CHECK, grace=grace)
    said = {
        seconds: bool(message(seconds, timing=timing, by_load_balancer=by_load_balancer))
        for seconds in (shortest - 1, shortest, longest, longest + 1)
    }
    assert said == {shortest - 1: False, shortest: True, longest: True, longest + 1: False}


def test_a_load_that_is_as_long_as_allowed_was_not_cut_off() -> None:
    assert message(90, timing=HealthTiming(load_balancer=ELB, load_seconds=75)) == ""
    assert message(90, timing=HealthTiming(load_balancer=ELB, load_seconds=75.5)) != ""


@pytest.mark.parametrize(
    ("seconds", "more"),
    [
        pytest.param(None, {}, id="no end"),
        pytest.param(100, {"started_at": None}, id="no start"),
        pytest.param(None, {"started_at": None}, id="neither"),
        pytest.param(100, {"timing": HealthTiming(container=CHECK)}, id="no load balancer's check"),
        pytest.param(
            250,
            {"timing": HealthTiming(load_balancer=ELB), "by_load_balancer": False},
            id="no container's check",
        ),
    ],
)
def test_without_times_nothing_is_reckoned(seconds: float | None, more: dict[str, Any]) -> None:
    assert message(seconds, **more) == ""


def test_what_the_load_balancer_got_is_no_answer_to_the_containers_own_check() -> None:
    wrong_path = frozenset({404})
    assert message(250, by_load_balancer=False, status_codes=wrong_path) != ""
    assert message(100, status_codes=wrong_path) == ""


@pytest.mark.parametrize(
    ("lines", "seconds"),
    [
        pytest.param(
            ["shards: 50%", *[LOADS] * 4], "~200 s (its log stood at 50 %)", id="the fifth last line"
        ),
        pytest.param(["shards: 50%", *[LOADS] * 5], "more than 100 s", id="the sixth last line is too old"),
        pytest.param(["shards: 20%", "shards: 40%"], "~250 s (its log stood at 40 %)", id="the last one"),
        pytest.param(["10% of 1, 80% of all"], "~125 s (its log stood at 80 %)", id="the last of a line"),
        pytest.param(["shards: 5%"], "~2000 s (its log stood at 5 %)", id="5 % is enough to reckon with"),
        pytest.param(["shards: 4%"], "more than 100 s", id="4 % is not"),
    ],
)
def test_the_progress_that_counts(lines: list[str], seconds: str) -> None:
    assert message(100, *lines).startswith(f"load needed {seconds}, ELB allowed 75 s: ")


def test_the_longest_load_that_other_tasks_tell_counts() -> None:
    earlier = ["model loaded in 120 s", "INFO ready", "weights took 140.5 seconds"]
    assert message(100, earlier=earlier).startswith("load needed ~140 s (another task's log), ")
