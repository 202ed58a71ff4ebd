"""Container checks, target checks, the grace period."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from scheduler_world import GROUP, ONE_GPU, World, cluster, messages, service_config, stopped

from ecs_gpu_deploy.ecs_model import ContainerScript
from ecs_gpu_deploy.ecs_model.health import ProbeRule, Probing
from ecs_gpu_deploy.ecs_model.state import Task
from ecs_gpu_deploy.ecs_model.statuses import HealthStatus


def container_check(
    interval: float = 15, retries: int = 3, start_period: float = 0, timeout: float = 0
) -> ProbeRule:
    return ProbeRule(
        interval=interval,
        failure_seconds=timeout,
        waits_for_answer=True,
        first_successes=1,
        successes=1,
        failures=retries,
        start_period=start_period,
    )


def target_check(interval: float = 15, unhealthy: int = 5, healthy: int = 2) -> ProbeRule:
    return ProbeRule(
        interval=interval,
        failure_seconds=0,
        waits_for_answer=False,
        first_successes=1,
        successes=healthy,
        failures=unhealthy,
    )


@pytest.mark.parametrize(
    ("rule", "load", "windows", "verdicts"),
    [
        pytest.param(target_check(), 0, (), [(15, True)], id="a ready target is healthy at its first check"),
        pytest.param(target_check(), 70, (), [(75, True)], id="one success suffices for a new target"),
        pytest.param(
            target_check(), 95, (), [(75, False), (120, True)], id="once unhealthy, the threshold applies"
        ),
        pytest.param(
            target_check(), None, (), [(75, False)], id="a target that never answers turns unhealthy"
        ),
        pytest.param(
            target_check(),
            0,
            ((100, 180),),
            [(15, True), (165, False), (195, True)],
            id="a flap of 80 s takes five failures and two successes",
        ),
        pytest.param(target_check(), 0, ((100, 140),), [(15, True)], id="a short flap changes nothing"),
        pytest.param(container_check(), 40, (), [(45, True)], id="three failures are needed, two came"),
        pytest.param(container_check(), 50, (), [(45, False), (60, True)], id="three failures are unhealthy"),
        pytest.param(
            container_check(start_period=120, retries=8),
            220,
            (),
            [(225, True)],
            id="the article's check survives a load of 225 s: 120 + 7 * 15",
        ),
        pytest.param(
            container_check(start_period=120, retries=8),
            226,
            (),
            [(225, False), (240, True)],
            id="and not one second more",
        ),
        pytest.param(
            container_check(start_period=120, retries=1),
            0,
            ((20, 50),),
            [(15, True), (30, False), (60, True)],
            id="a success inside startPeriod ends it",
        ),
        pytest.param(
            container_check(interval=10, retries=2, timeout=5),
            None,
            (),
            [(30, False)],
            id="a check that times out pushes the next one: 10 + 5 + 10 + 5",
        ),
    ],
)
def test_verdicts_come_at_their_times(
    rule: ProbeRule,
    load: float | None,
    windows: tuple[tuple[float, float], ...],
    verdicts: list[tuple[float, bool]],
) -> None:
    script = ContainerScript(load_seconds=load, unhealthy_windows=windows)
    probing = Probing(rule=rule, next_probe=rule.interval)
    found = []
    while (at := probing.next_verdict(script.answers, script.settled_after)) is not None:
        found.append((at, probing.verdict))
    assert found == verdicts


def run(
    script: ContainerScript, *, until: float, check: dict[str, Any] | None = None, **config: Any
) -> tuple[list[Task], list[str], list[Task]]:
    """Create a service of one task; give its tasks, its messages and the stopped tasks."""
    world = World(image=script)
    if check:
        world.container = {"healthCheck": {"command": ["CMD", "true"], **check}}
    scheduler = cluster(world, instances=2)
    service = scheduler.create_service(service_config(desired=1, image="image", **config), 0.0)
    scheduler.advance(until)
    return list(service.primary.tasks.values()), messages(service), stopped(scheduler)


def test_without_any_check_a_task_counts_after_40_seconds() -> None:
    script = ContainerScript(start_seconds=3.0)
    [task], _, _ = run(script, until=44.9, balanced=False)
    assert (task.started_at, task.healthy) == (5.0, False)
    [task], _, _ = run(script, until=45.0, balanced=False)
    assert task.healthy


def test_the_articles_target_group_kills_a_task_that_loads_95_seconds() -> None:
    _, said, gone = run(ContainerScript(load_seconds=95.0), until=110.0, grace=0)
    assert gone == []
    assert any("is unhealthy in (target-group" in each for each in said)
    _, _, gone = run(ContainerScript(load_seconds=95.0), until=160.0, grace=0)
    assert [task.stopped_reason for task in gone] == [
        f"Task failed ELB health checks in (target-group {GROUP})"
    ]


def test_a_grace_period_of_150_seconds_lets_it_live() -> None:
    tasks, said, gone = run(ContainerScript(load_seconds=95.0), until=3000.0, grace=150)
    assert gone == []
    assert tasks[0].healthy
    assert not any("unhealthy" in each for each in said)


def test_a_failing_container_check_kills_the_task_with_its_own_words() -> None:
    script = ContainerScript(load_seconds=0.0, container_check_works=False)
    check = {"interval": 15, "retries": 3}
    _, said, gone = run(script, until=120.0, check=check, grace=0)
    assert any(each.endswith("failed container health checks.") for each in said)
    assert gone[0].stopped_reason == "Task failed container health checks"
    assert gone[0].health_status is HealthStatus.UNHEALTHY


def test_both_checks_must_pass_and_the_grace_period_covers_the_container_check_too() -> None:
    script = ContainerScript(load_seconds=200.0)
    [task], _, gone = run(script, until=150.0, check={"interval": 10, "retries": 1}, grace=400)
    assert (task.healthy, task.health_status, gone) == (False, HealthStatus.UNHEALTHY, [])
    [task], _, _ = run(script, until=260.0, check={"interval": 10, "retries": 1}, grace=400)
    assert (task.healthy, task.health_status) == (True, HealthStatus.HEALTHY)


def test_target_health_is_told_as_elb_tells_it() -> None:
    world = World(image=ContainerScript(load_seconds=None, unhealthy_status=503))
    scheduler = cluster(world, instances=1)
    scheduler.create_service(service_config(desired=1, image="image", grace=600), 0.0)

    def state(at: float) -> tuple[str, str, str]:
        scheduler.advance(at)
        [target] = scheduler.target_health(GROUP)
        return target.state, target.reason, target.description

    assert state(6.0) == ("initial", "Elb.RegistrationInProgress", "Target registration is in progress")
    assert state(20.0) == ("initial", "Elb.InitialHealthChecking", "Initial health checks in progress")
    assert state(100.0) == (
        "unhealthy",
        "Target.ResponseCodeMismatch",
        "Health checks failed with these codes: [503]",
    )
    scheduler.update_service("api", {"desiredCount": 0}, 200.0)
    assert state(202.0)[:2] == ("draining", "Target.DeregistrationInProgress")
    scheduler.advance(240.0)
    assert scheduler.target_health(GROUP) == ()


def test_a_silent_target_times_out() -> None:
    world = World(image=ContainerScript(load_seconds=None, unhealthy_status="timeout"))
    world.group = replace(world.group, timeout=10.0, target_type="ip")
    world.definition = {"networkMode": "awsvpc"}
    scheduler = cluster(world, instances=1, template=ONE_GPU)
    scheduler.create_service(service_config(desired=1, image="image", grace=600), 0.0)
    scheduler.advance(200.0)
    [target] = scheduler.target_health(GROUP)
    assert (target.reason, target.description) == ("Target.Timeout", "Request timed out")
    assert (target.target_id[:5], target.port) == ("10.0.", 8000)
