"""Container checks, target checks, the grace period."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from scheduler_world import GROUP, ONE_GPU, World, cluster, messages, service_config, stopped

from ecs_gpu_deploy.ecs_model import ContainerScript, Scheduler
from ecs_gpu_deploy.ecs_model.health import ProbeRule, Probing
from ecs_gpu_deploy.ecs_model.scripts import UNREADY_TIMEOUT
from ecs_gpu_deploy.ecs_model.state import Task
from ecs_gpu_deploy.ecs_model.statuses import HealthStatus, TaskStatus


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


def checked(world: World, **check: Any) -> World:
    world.container = {"healthCheck": {"command": ["CMD", "true"], **check}}
    return world


def state_at(scheduler: Scheduler, *times: float) -> list[str]:
    """Give the health of the only task of the service at each of the times."""
    found = []
    for at in times:
        scheduler.advance(at)
        [task] = scheduler.services["api"].primary.tasks.values()
        found.append(task.health_status.value)
    return found


def alone(world: World, **config: Any) -> Scheduler:
    """Give a cluster of one instance with a service of one task, which runs from second 5 on."""
    scheduler = cluster(world, instances=1)
    scheduler.create_service(service_config(desired=1, image="image", **config), 0.0)
    return scheduler


@pytest.mark.parametrize(
    ("check", "script", "first_failure", "first_success"),
    [
        pytest.param({}, {"load_seconds": 1000.0}, 90.0, 1020.0, id="AWS's defaults: three times every 30 s"),
        pytest.param(
            {},
            {"load_seconds": 1000.0, "unhealthy_status": UNREADY_TIMEOUT},
            105.0,
            1010.0,
            id="5 s for no answer",
        ),
        pytest.param(
            {"interval": 10, "timeout": 2, "retries": 1, "startPeriod": 60},
            {"load_seconds": 1000.0, "unhealthy_status": UNREADY_TIMEOUT},
            62.0 + 10,
            1006.0,
            id="what the definition says",
        ),
    ],
)
def test_a_containers_check_is_read_from_its_definition(
    check: dict[str, Any], script: dict[str, Any], first_failure: float, first_success: float
) -> None:
    scheduler = alone(checked(World(image=ContainerScript(**script)), **check), balanced=False, grace=5000)
    times = [at + 5.0 + moment for at in (first_failure, first_success) for moment in (-0.1, 0.0)]
    assert state_at(scheduler, *times) == ["UNKNOWN", "UNHEALTHY", "UNHEALTHY", "HEALTHY"]


def test_only_essential_containers_with_a_check_decide_a_tasks_health() -> None:
    world = checked(
        World(image=ContainerScript(load_seconds=0.0), ill=ContainerScript(load_seconds=None)), interval=10
    )
    ill = {"name": "ill", "image": "ill", "essential": False, "memory": 10, "healthCheck": {"command": ["x"]}}
    world.more_containers = [ill]
    scheduler = alone(world, balanced=False, grace=0)
    assert state_at(scheduler, 14.9, 15.0, 600.0) == ["UNKNOWN", "HEALTHY", "HEALTHY"]
    [task] = scheduler.services["api"].primary.tasks.values()
    assert [each.health_status.value for each in task.containers] == ["HEALTHY", "UNHEALTHY"]


def test_a_task_whose_only_check_is_not_essential_counts_after_40_seconds() -> None:
    world = World(image=ContainerScript(load_seconds=0.0), side=ContainerScript(load_seconds=None))
    side = {
        "name": "side",
        "image": "side",
        "essential": False,
        "memory": 10,
        "healthCheck": {"command": ["x"]},
    }
    world.more_containers = [side]
    scheduler = alone(world, balanced=False)
    scheduler.advance(44.9)
    [task] = scheduler.services["api"].primary.tasks.values()
    assert not task.healthy
    scheduler.advance(45.0)
    assert task.healthy


def test_every_essential_container_must_be_healthy() -> None:
    world = checked(
        World(image=ContainerScript(load_seconds=0.0), slow=ContainerScript(load_seconds=95.0)), interval=10
    )
    check = {"command": ["x"], "interval": 10, "retries": 20}
    world.more_containers = [{"name": "slow", "image": "slow", "memory": 10, "healthCheck": check}]
    scheduler = alone(world, balanced=False, grace=0)
    assert state_at(scheduler, 100.0, 104.9, 105.0) == ["UNKNOWN", "UNKNOWN", "HEALTHY"]


def test_a_sick_container_outweighs_a_healthy_one() -> None:
    world = checked(
        World(image=ContainerScript(load_seconds=0.0), ill=ContainerScript(load_seconds=None)), interval=10
    )
    check = {"command": ["x"], "interval": 10, "retries": 2}
    world.more_containers = [{"name": "ill", "image": "ill", "memory": 10, "healthCheck": check}]
    scheduler = alone(world, balanced=False, grace=1000)
    assert state_at(scheduler, 24.9, 25.0) == ["UNKNOWN", "UNHEALTHY"]


FLAP = ContainerScript(load_seconds=0.0, unhealthy_windows=((100.0, 160.0),))


def test_a_task_that_becomes_sick_is_told_once_and_replaced() -> None:
    world = checked(World(image=FLAP), interval=10, retries=2)
    scheduler = alone(world, balanced=False, grace=0)
    scheduler.advance(114.9)
    assert not stopped(scheduler)
    service = scheduler.services["api"]
    [task] = service.primary.tasks.values()
    assert task.healthy
    scheduler.advance(115.0)
    assert not task.healthy
    scheduler.advance(140.0)
    [gone] = stopped(scheduler)
    assert gone is task
    told = [each for each in messages(service) if "health checks" in each]
    assert told == [f"(service api) (task {task.task_id}) failed container health checks."]


def test_the_grace_period_ends_at_its_second_and_a_task_that_recovered_inside_lives() -> None:
    world = checked(World(image=FLAP), interval=10, retries=2)
    scheduler = alone(world, balanced=False, grace=150)
    assert state_at(scheduler, 125.0, 154.9) == ["UNHEALTHY", "UNHEALTHY"]
    scheduler.advance(154.9)
    assert not [each for each in messages(scheduler.services["api"]) if "health checks" in each]
    scheduler.advance(155.0)
    [told] = [each for each in messages(scheduler.services["api"]) if "health checks" in each]
    assert told.endswith("failed container health checks.")
    scheduler = alone(checked(World(image=FLAP), interval=10, retries=2), balanced=False, grace=161)
    scheduler.advance(2000.0)
    assert not stopped(scheduler)
    assert state_at(scheduler, 2000.0) == ["HEALTHY"]


def test_a_target_is_told_with_its_port_and_its_reason() -> None:
    scheduler = alone(World(image=ContainerScript(load_seconds=None, unhealthy_status=404)), grace=0)
    scheduler.advance(85.0)
    service = scheduler.services["api"]
    [task] = scheduler.tasks.values()
    [told] = [each for each in messages(service) if "is unhealthy" in each]
    assert told == (
        f"(service api) (task {task.task_id}) (port 32768) is unhealthy in (target-group {GROUP}) due to "
        "(reason Health checks failed with these codes: [404])."
    )


def test_a_container_that_is_sick_is_the_reason_even_where_the_target_is_too() -> None:
    world = checked(World(image=ContainerScript(load_seconds=None)), interval=10, retries=2)
    scheduler = alone(world, grace=150)
    scheduler.advance(158.0)
    [task] = scheduler.tasks.values()
    assert task.unhealthy_reason == "Task failed container health checks"


def targets(scheduler: Scheduler, at: float) -> list[tuple[str, int, str, str]]:
    scheduler.advance(at)
    return [
        (each.target_id, each.port, each.state.value, each.reason) for each in scheduler.target_health(GROUP)
    ]


@pytest.mark.parametrize(
    ("definition", "group", "address"),
    [
        pytest.param({}, {}, ("ec2", 32768), id="bridge: the instance and its dynamic port"),
        pytest.param({"networkMode": "host"}, {}, ("ec2", 8000), id="host: the container's port"),
        pytest.param({}, {"target_type": "ip"}, ("instance", 32768), id="bridge behind a group of addresses"),
        pytest.param(
            {"networkMode": "awsvpc"},
            {"target_type": "ip"},
            ("task", 8000),
            id="awsvpc: the task's own address",
        ),
    ],
)
def test_where_a_target_group_finds_a_task(
    definition: dict[str, Any], group: dict[str, Any], address: tuple[str, int]
) -> None:
    world = World(image=ContainerScript(load_seconds=0.0))
    world.definition = definition
    world.group = replace(world.group, **group)
    scheduler = alone(world)
    [found] = targets(scheduler, 60.0)
    [task] = scheduler.tasks.values()
    instance = scheduler.instances[task.instance_arn or ""]
    own = task.network_interface.private_ipv4_address if task.network_interface else ""
    known = {"ec2": instance.ec2_instance_id, "instance": instance.private_ip, "task": own}
    assert found[:2] == (known[address[0]], address[1])
    assert scheduler.target_health(GROUP)[0].availability_zone == instance.availability_zone


def test_a_target_goes_from_initial_to_healthy_to_draining_to_nothing() -> None:
    scheduler = alone(World(image=ContainerScript(load_seconds=0.0)))
    seen = [[each[2:] for each in targets(scheduler, at)] for at in (9.9, 10.0, 19.9, 20.0)]
    assert seen == [
        [("initial", "Elb.RegistrationInProgress")],
        [("initial", "Elb.InitialHealthChecking")],
        [("initial", "Elb.InitialHealthChecking")],
        [("healthy", "")],
    ]
    scheduler.update_service("api", {"desiredCount": 0}, 100.0)
    [task] = scheduler.tasks.values()
    seen = [[each[2:] for each in targets(scheduler, at)] for at in (100.9, 101.0, 130.9, 131.0)]
    assert seen == [
        [("healthy", "")],
        [("draining", "Target.DeregistrationInProgress")],
        [("draining", "Target.DeregistrationInProgress")],
        [],
    ]
    assert task.stopping_at == 131.0, "a task is stopped once its targets have drained"
    said = messages(scheduler.services["api"], 100.0)
    assert any(each.startswith("(service api) deregistered 1 targets in (target-group") for each in said), (
        said
    )


def test_a_target_that_drains_takes_no_verdict_any_more() -> None:
    world = World(image=ContainerScript(load_seconds=0.0, unhealthy_windows=((90.0, 10_000.0),)))
    world.group = replace(world.group, deregistration_delay=600.0)
    scheduler = alone(world, grace=0)
    scheduler.update_service("api", {"desiredCount": 0}, 100.0)
    assert [each[2] for each in targets(scheduler, 500.0)] == ["draining"]


def test_a_group_that_was_deleted_registers_nothing_and_the_task_never_counts() -> None:
    world = World(image=ContainerScript(load_seconds=0.0))
    scheduler = alone(world)
    world.group = None
    scheduler.advance(500.0)
    [task] = scheduler.tasks.values()
    assert (task.targets, task.healthy) == ((), False)
    assert scheduler.target_health(GROUP) == ()


def test_targets_of_a_group_that_was_deleted_meanwhile_drain_at_once() -> None:
    world = World(image=ContainerScript(load_seconds=0.0))
    scheduler = alone(world)
    scheduler.advance(100.0)
    world.group = None
    [task] = scheduler.tasks.values()
    scheduler.stop_task(task.arn, "", 100.0)
    assert targets(scheduler, 100.0) == []
    assert task.stopping_at == 100.0


def test_a_task_that_runs_for_nobody_has_health_but_no_place_in_a_service() -> None:
    world = checked(World(image=ContainerScript(load_seconds=None)), interval=10, retries=1)
    scheduler = cluster(world, instances=1)
    [task], _ = scheduler.run_task({"taskDefinition": "image"}, 0.0)
    scheduler.advance(100.0)
    assert (task.health_status, task.healthy, task.unhealthy_reason) == (HealthStatus.UNHEALTHY, False, "")
    assert task.last_status is TaskStatus.RUNNING


def test_a_target_that_does_not_answer_is_told_after_its_timeout_and_probed_at_its_interval() -> None:
    world = World(image=ContainerScript(load_seconds=1000.0, unhealthy_status=UNREADY_TIMEOUT))
    world.group = replace(world.group, interval=30.0, timeout=10.0, unhealthy_threshold=2)
    scheduler = alone(world, grace=5000)
    states = [targets(scheduler, 5.0 + at)[0][2] for at in (69.9, 70.0, 1049.9, 1050.0)]
    assert states == ["initial", "unhealthy", "unhealthy", "healthy"]
    assert scheduler.target_health(GROUP)[0].description == ""


def test_what_a_service_says_of_its_targets() -> None:
    scheduler = alone(World(image=ContainerScript(load_seconds=0.0)))
    scheduler.advance(100.0)
    scheduler.update_service("api", {"desiredCount": 0}, 100.0)
    assert (targets(scheduler, 110.0), scheduler.target_health(GROUP)[0].description) == (
        [(*targets(scheduler, 110.0)[0][:2], "draining", "Target.DeregistrationInProgress")],
        "Target deregistration is in progress",
    )
    said = [each.removeprefix("(service api) ") for each in messages(scheduler.services["api"])]
    assert f"registered 1 targets in (target-group {GROUP})" in said
    assert f"deregistered 1 targets in (target-group {GROUP})" in said
    assert "has begun draining connections on 1 tasks." in said
