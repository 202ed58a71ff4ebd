"""Tasks of a real runtime: what it is told to do, and what its reports make of them."""

from __future__ import annotations

from typing import Any

import pytest
from scheduler_world import GROUP, World, cluster, messages, service_config

from ecs_gpu_deploy.ecs_model import ContainerScript, Scheduler, reports
from ecs_gpu_deploy.ecs_model.reports import Orders
from ecs_gpu_deploy.ecs_model.state import NetworkBinding, Service, Task
from ecs_gpu_deploy.ecs_model.statuses import HealthStatus, StopCode, TargetState, TaskStatus

REAL = ContainerScript(reported=True)
BOUND = NetworkBinding(bind_ip="0.0.0.0", container_port=8000, host_port=18000, protocol="tcp")


class Runtime:
    """Report on one task, one second after the other."""

    def __init__(self, world: World, **request: Any) -> None:
        self.scheduler: Scheduler = cluster(world, instances=1)
        if request:
            self.service: Service = self.scheduler.create_service(service_config(**request), 0.0)
        else:
            self.scheduler.run_task({"taskDefinition": "real"}, 0.0)
        self.now = 5.0
        self.scheduler.advance(self.now)

    @property
    def task(self) -> Task:
        return next(iter(self.scheduler.tasks.values()))

    def orders(self) -> Orders:
        return next(orders for task, orders in self.scheduler.orders(self.now) if task is self.task)

    def tell(self, what: Any, *arguments: Any) -> Orders:
        self.now += 1.0
        self.scheduler.report(what, self.task, *arguments, now=self.now)
        return self.orders()

    def run(self) -> None:
        self.tell(reports.pulled, {"rag": "sha256:real"})
        self.tell(reports.started, "rag", "c0ffee", [BOUND])


def real_world(**other: Any) -> World:
    world = World(real=REAL, other=REAL)
    if other:
        world.more_containers = [{"name": "other", "image": "other", "essential": False, **other}]
    return world


def test_a_task_waits_for_each_report_however_long_it_takes() -> None:
    runtime = Runtime(real_world())
    assert runtime.orders() == Orders(pull=True)
    runtime.now = 5000.0
    assert runtime.orders() == Orders(pull=True)
    assert runtime.tell(reports.pulled, {"rag": "sha256:real"}) == Orders(start=("rag",))
    assert runtime.task.containers[0].image_digest == "sha256:real"
    assert runtime.tell(reports.started, "rag", "c0ffee", [BOUND]) == Orders()
    assert runtime.task.last_status is TaskStatus.RUNNING
    assert runtime.task.containers[0].runtime_id == "c0ffee"
    assert runtime.task.containers[0].network_bindings == (BOUND,)
    orders = runtime.tell(reports.exited, "rag", 3, "OutOfMemoryError: killed")
    assert orders == Orders(stop=True)
    assert runtime.tell(reports.ended) == Orders(gone=True)
    container = runtime.task.containers[0]
    assert (container.exit_code, container.reason) == (3, "OutOfMemoryError: killed")
    assert runtime.task.stop_code is StopCode.ESSENTIAL_CONTAINER_EXITED
    assert not runtime.scheduler.instances[str(runtime.task.instance_arn)].tasks


def test_a_stopped_task_is_gone_only_when_its_end_is_reported() -> None:
    runtime = Runtime(real_world())
    runtime.run()
    runtime.scheduler.stop_task(runtime.task.arn, "enough", runtime.now)
    runtime.now += 500.0
    assert runtime.orders() == Orders(stop=True)
    runtime.tell(reports.exited, "rag", 137, None)
    assert runtime.task.last_status is TaskStatus.STOPPING
    assert runtime.tell(reports.ended) == Orders(gone=True)
    assert runtime.task.containers[0].exit_code == 137


def test_an_image_that_cannot_be_pulled_fails_the_task_and_is_told_in_the_service() -> None:
    runtime = Runtime(real_world(), image="real", desired=1)
    orders = runtime.tell(reports.failed_to_start, "CannotPullContainerError: no", "rag")
    assert orders == Orders(stop=True)
    assert runtime.task.stop_code is StopCode.TASK_FAILED_TO_START
    assert runtime.task.containers[0].reason == "CannotPullContainerError: no"
    assert any("CannotPullContainerError: no" in message for message in messages(runtime.service))
    assert runtime.service.primary.failed_tasks == 1


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        pytest.param("START", [], id="START waits for nothing more"),
        pytest.param("HEALTHY", [(reports.checked, "other", HealthStatus.HEALTHY)], id="HEALTHY"),
        pytest.param("COMPLETE", [(reports.exited, "other", 1, None)], id="COMPLETE"),
        pytest.param("SUCCESS", [(reports.exited, "other", 0, None)], id="SUCCESS"),
    ],
)
def test_a_container_starts_once_what_it_depends_on_is_reported(
    condition: str, told: list[tuple[Any, ...]]
) -> None:
    world = real_world(healthCheck={"command": ["CMD", "true"]})
    world.container = {"dependsOn": [{"containerName": "other", "condition": condition}]}
    runtime = Runtime(world)
    assert runtime.tell(reports.pulled, {}) == Orders(start=("other",))
    orders = runtime.tell(reports.started, "other", "c0ffee", [])
    for what, *arguments in told:
        assert orders == Orders()
        orders = runtime.tell(what, *arguments)
    assert orders == Orders(start=("rag",))


def test_a_dependency_that_fails_ends_the_task() -> None:
    world = real_world()
    world.more_containers = [{"name": "other", "image": "other", "essential": False}]
    world.container = {"dependsOn": [{"containerName": "other", "condition": "SUCCESS"}]}
    runtime = Runtime(world)
    runtime.tell(reports.pulled, {})
    runtime.tell(reports.started, "other", "c0ffee", [])
    assert runtime.tell(reports.exited, "other", 2, None) == Orders(stop=True)
    assert "[other] for target [rag] as dependency did not exit" in runtime.task.stopped_reason


def test_a_dependency_has_its_start_timeout() -> None:
    world = real_world(startTimeout=60)
    world.container = {"dependsOn": [{"containerName": "other", "condition": "COMPLETE"}]}
    runtime = Runtime(world)
    runtime.tell(reports.pulled, {})
    runtime.tell(reports.started, "other", "c0ffee", [])
    runtime.now += 59.0
    assert runtime.orders() == Orders()
    runtime.now += 1.0
    assert runtime.orders() == Orders(stop=True)
    assert runtime.task.stopped_reason.endswith("[other] for target [rag] has timed out.")


def test_a_load_balancers_verdict_is_the_targets_health() -> None:
    runtime = Runtime(real_world(), image="real", desired=1)
    runtime.run()
    runtime.scheduler.advance(900.0)
    [target] = runtime.scheduler.target_health(GROUP)
    assert (target.state, target.port) == (TargetState.INITIAL, 18000)
    assert not runtime.service.steady

    def verdict(state: TargetState, *why: str) -> TargetState:
        address = (target.target_id, target.port)
        runtime.scheduler.report(reports.target_checked, GROUP, address, state, why, now=901.0)
        [seen] = runtime.scheduler.target_health(GROUP)
        assert (seen.reason, seen.description) == why
        return seen.state

    assert verdict(TargetState.HEALTHY, "", "") is TargetState.HEALTHY
    runtime.scheduler.advance(930.0)
    assert runtime.service.steady
    assert verdict(TargetState.UNHEALTHY, "Target.Timeout", "Request timed out") is TargetState.UNHEALTHY
    runtime.scheduler.advance(940.0)
    assert "failed ELB health checks" in runtime.task.stopped_reason


def test_a_container_check_counts_from_the_moment_it_is_reported() -> None:
    world = real_world()
    world.container = {"healthCheck": {"command": ["CMD", "true"]}}
    runtime = Runtime(world)
    runtime.run()
    assert runtime.task.health_status is HealthStatus.UNKNOWN
    runtime.tell(reports.checked, "rag", HealthStatus.HEALTHY)
    assert runtime.task.health_status is HealthStatus.HEALTHY


def test_a_silent_agent_tells_nothing_until_it_speaks_again() -> None:
    runtime = Runtime(real_world())
    runtime.run()
    instance = str(runtime.task.instance_arn)
    runtime.scheduler.set_agent_connected(instance, False, runtime.now)
    runtime.tell(reports.exited, "rag", 1, None)
    assert runtime.task.last_status is TaskStatus.RUNNING
    runtime.scheduler.set_agent_connected(instance, True, runtime.now)
    assert runtime.orders() == Orders(stop=True)


def test_a_lost_instance_takes_its_containers_with_it() -> None:
    runtime = Runtime(real_world())
    runtime.run()
    runtime.scheduler.terminate_instance(str(runtime.task.instance_arn), runtime.now)
    assert runtime.orders() == Orders(gone=True)


def test_reports_that_come_too_late_change_nothing() -> None:
    runtime = Runtime(real_world())
    runtime.scheduler.stop_task(runtime.task.arn, "enough", runtime.now)
    assert runtime.tell(reports.pulled, {"rag": "sha256:real"}) == Orders(stop=True)
    assert runtime.tell(reports.started, "rag", "c0ffee", []) == Orders(stop=True)
    assert runtime.tell(reports.exited, "rag", 0, None) == Orders(stop=True)
    assert runtime.task.containers[0].exit_code is None


def test_the_tasks_of_a_deployment_pull_what_its_first_one_found() -> None:
    world = real_world()
    runtime = Runtime(world, image="real", desired=1)
    assert runtime.scheduler.images_to_pull(runtime.task) == {"rag": ("real", "")}
    runtime.tell(reports.pulled, {"rag": "sha256:real"})
    assert runtime.scheduler.images_to_pull(runtime.task) == {"rag": ("real@sha256:real", "sha256:real")}


@pytest.mark.parametrize(
    ("image", "definition", "wanted"),
    [
        pytest.param("real", {"versionConsistency": "disabled"}, "real", id="versionConsistency is off"),
        pytest.param("real@sha256:own", {}, "real@sha256:own", id="it names a digest itself"),
    ],
)
def test_where_a_tag_is_looked_up_anew(image: str, definition: dict[str, Any], wanted: str) -> None:
    world = World(**{image: REAL})
    world.container = definition
    runtime = Runtime(world, image=image, desired=1)
    runtime.tell(reports.pulled, {"rag": "sha256:own"})
    assert runtime.scheduler.images_to_pull(runtime.task)["rag"][0] == wanted
