"""One task's life, and what befalls its instance."""

from __future__ import annotations

from typing import Any

import pytest
from scheduler_world import (
    MISSING,
    ONE_GPU,
    World,
    cluster,
    messages,
    service_config,
    steady_service,
    stopped,
)

from ecs_gpu_deploy.ecs_model import ContainerScript
from ecs_gpu_deploy.ecs_model.refusals import InvalidParameter
from ecs_gpu_deploy.ecs_model.state import Task
from ecs_gpu_deploy.ecs_model.statuses import StopCode, TaskStatus


def run_one(
    script: ContainerScript, *, until: float = 1000.0, world: World | None = None, **request: Any
) -> Task:
    """Run one task of that script on one instance."""
    world = world or World()
    world.scripts["image"] = script
    scheduler = cluster(world, instances=1)
    [task], failures = scheduler.run_task({"taskDefinition": "image", **request}, 0.0)
    assert failures == ()
    scheduler.advance(until)
    return task


def test_a_batch_task_has_all_its_times_and_its_gpu() -> None:
    script = ContainerScript(
        image_digest="sha256:batch",
        layers=(("a", 500_000_000),),
        start_seconds=2.0,
        exit_code=0,
        exit_after=60.0,
    )
    task = run_one(script, startedBy="ci", tags=[{"key": "k", "value": "v"}])
    assert [
        task.created_at,
        task.pull_started_at,
        task.pull_stopped_at,
        task.started_at,
        task.stopping_at,
        task.execution_stopped_at,
        task.stopped_at,
    ] == [0.0, 1.0, 6.0, 8.0, 68.0, 68.0, 68.0]
    assert (task.last_status, task.desired_status) == (TaskStatus.STOPPED, TaskStatus.STOPPED)
    assert (task.stop_code, task.stopped_reason) == (
        StopCode.ESSENTIAL_CONTAINER_EXITED,
        "Essential container in task exited",
    )
    container = task.containers[0]
    assert (container.exit_code, container.image_digest) == (0, "sha256:batch")
    assert len(container.gpu_ids) == 1
    assert container.runtime_id
    assert (task.group, task.started_by) == ("family:rag", "ci")


def test_the_states_follow_each_other() -> None:
    world = World(image=ContainerScript(start_seconds=2.0, stop_seconds=3.0))
    world.definition = {"networkMode": "awsvpc"}
    scheduler = cluster(world, instances=1)
    vpc = {"networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}}}
    [task], _ = scheduler.run_task({"taskDefinition": "image", **vpc}, 0.0)
    seen = [task.last_status]
    while (due := scheduler.next_due()) is not None and due < 100:
        scheduler.advance(due)
        if task.last_status is not seen[-1]:
            seen.append(task.last_status)
        if task.running:
            scheduler.stop_task(task.arn, "", due)
            seen.append(task.last_status)
    assert seen == [
        "PROVISIONING",
        "PENDING",
        "ACTIVATING",
        "RUNNING",
        "STOPPING",
        "DEPROVISIONING",
        "STOPPED",
    ]
    assert task.network_interface is not None
    assert task.network_interface.subnet_id == "subnet-1"


@pytest.mark.parametrize(
    ("script", "code", "reason", "container_reason", "exit_code"),
    [
        pytest.param(
            MISSING,
            StopCode.TASK_FAILED_TO_START,
            MISSING.pull_error,
            MISSING.pull_error,
            None,
            id="an image that cannot be pulled",
        ),
        pytest.param(
            ContainerScript(
                init_error="ResourceInitializationError: unable to pull secrets or registry auth"
            ),
            StopCode.TASK_FAILED_TO_START,
            "ResourceInitializationError: unable to pull secrets or registry auth",
            None,
            None,
            id="a secret that cannot be read",
        ),
        pytest.param(
            ContainerScript(init_error="CannotStartContainerError: Error response from daemon"),
            StopCode.TASK_FAILED_TO_START,
            "CannotStartContainerError: Error response from daemon",
            "CannotStartContainerError: Error response from daemon",
            None,
            id="a container that cannot start",
        ),
        pytest.param(
            ContainerScript(
                exit_code=137,
                exit_after=30.0,
                exit_reason="OutOfMemoryError: Container killed due to memory usage",
            ),
            StopCode.ESSENTIAL_CONTAINER_EXITED,
            "Essential container in task exited",
            "OutOfMemoryError: Container killed due to memory usage",
            137,
            id="out of memory",
        ),
    ],
)
def test_how_a_task_fails(
    script: ContainerScript, code: StopCode, reason: str, container_reason: str | None, exit_code: int | None
) -> None:
    task = run_one(script)
    container = task.containers[0]
    assert (task.stop_code, task.stopped_reason) == (code, reason)
    assert (container.reason, container.exit_code) == (container_reason, exit_code)


def test_a_non_essential_container_may_end() -> None:
    world = World(side=ContainerScript(exit_code=3, exit_after=1.0))
    world.more_containers = [{"name": "side", "image": "side", "essential": False}]
    task = run_one(ContainerScript(), world=world)
    assert task.last_status is TaskStatus.RUNNING
    assert (task.containers[1].last_status, task.containers[1].exit_code) == ("STOPPED", 3)


@pytest.mark.parametrize(
    ("seconds", "timeout", "ends", "exit_code"),
    [
        pytest.param(4.0, None, 104.0, 143, id="a container that obeys SIGTERM"),
        pytest.param(90.0, None, 130.0, 137, id="one that does not is killed after 30 s"),
        pytest.param(90.0, 120, 190.0, 143, id="unless its stopTimeout is longer"),
    ],
)
def test_stopping(seconds: float, timeout: int | None, ends: float, exit_code: int) -> None:
    world = World(image=ContainerScript(stop_seconds=seconds))
    world.container = {"stopTimeout": timeout} if timeout else {}
    scheduler = cluster(world, instances=1)
    [task], _ = scheduler.run_task({"taskDefinition": "image"}, 0.0)
    scheduler.stop_task(task.arn, "not needed", 100.0)
    scheduler.advance(500.0)
    assert (task.stopped_at, task.containers[0].exit_code) == (ends, exit_code)
    assert (task.stop_code, task.stopped_reason) == (StopCode.USER_INITIATED, "not needed")
    assert scheduler.instances[task.instance_arn or ""].room.cpu == ONE_GPU.cpu


def test_a_second_task_pulls_only_the_layers_its_instance_lacks() -> None:
    world = World(
        image=ContainerScript(layers=(("base", 10**9), ("v1", 10**8))),
        image2=ContainerScript(layers=(("base", 10**9), ("v2", 2 * 10**8))),
    )
    world.container = {"resourceRequirements": [], "memory": 100}
    scheduler = cluster(world, instances=1)
    [first], _ = scheduler.run_task({"taskDefinition": "image"}, 0.0)
    [second], _ = scheduler.run_task({"taskDefinition": "image2"}, 100.0)
    [third], _ = scheduler.run_task({"taskDefinition": "image2"}, 200.0)
    scheduler.advance(300.0)
    seconds = [(t.pull_stopped_at or 0) - (t.pull_started_at or 0) for t in (first, second, third)]
    assert seconds == [11.0, 2.0, 0.0]


def test_pulls_at_the_same_time_share_the_bandwidth_and_wait_for_common_layers() -> None:
    world = World(
        image=ContainerScript(layers=(("base", 10**9), ("v1", 10**8))),
        image2=ContainerScript(layers=(("base", 10**9), ("v2", 2 * 10**8))),
    )
    world.container = {"resourceRequirements": [], "memory": 100}
    scheduler = cluster(world, instances=1)
    [first], _ = scheduler.run_task({"taskDefinition": "image"}, 0.0)
    [second], _ = scheduler.run_task({"taskDefinition": "image2"}, 0.0)
    scheduler.advance(300.0)
    assert (first.pull_stopped_at, second.pull_stopped_at) == (12.0, 14.0)


def test_cached_layers_given_at_registration_are_not_pulled() -> None:
    world = World(image=ContainerScript(layers=(("base", 10**9),)))
    scheduler = cluster(world)
    scheduler.add_instance(ONE_GPU, now=0.0, cached_layers=["base"])
    [task], _ = scheduler.run_task({"taskDefinition": "image"}, 0.0)
    scheduler.advance(100.0)
    assert task.pull_stopped_at == task.pull_started_at


def test_a_failed_pull_falls_back_to_the_image_on_the_instance() -> None:
    world = World(image=ContainerScript(image_digest="sha256:old", exit_code=0, exit_after=1.0))
    scheduler = cluster(world, instances=1)
    scheduler.run_task({"taskDefinition": "image"}, 0.0)
    scheduler.advance(100.0)
    world.scripts["image"] = ContainerScript(
        image_digest="sha256:new", pull_error="CannotPullContainerError: x"
    )
    [task], _ = scheduler.run_task({"taskDefinition": "image"}, 100.0)
    scheduler.advance(200.0)
    assert task.last_status is TaskStatus.RUNNING
    assert task.containers[0].image_digest == "sha256:old"


def test_log_lines_come_when_due_and_none_after_the_end() -> None:
    logs = ((0.0, "starting"), (5.0, "loading"), (50.0, "never printed"))
    world = World(image=ContainerScript(logs=logs, exit_code=1, exit_after=20.0, start_seconds=1.0))
    scheduler = cluster(world, instances=1)
    scheduler.run_task({"taskDefinition": "image"}, 0.0)
    assert scheduler.take_log_lines(1.0) == ()
    assert [(line.at, line.text) for line in scheduler.take_log_lines(2.0)] == [(2.0, "starting")]
    assert [line.text for line in scheduler.take_log_lines(500.0)] == ["loading"]
    assert scheduler.take_log_lines(500.0) == ()


def test_stopped_tasks_stay_for_an_hour() -> None:
    world = World(image=ContainerScript(exit_code=0))
    scheduler = cluster(world, instances=1)
    [task], _ = scheduler.run_task({"taskDefinition": "image"}, 0.0)
    scheduler.advance(3600.0)
    assert task.arn in scheduler.tasks
    scheduler.advance(3700.0)
    assert task.arn not in scheduler.tasks


def test_run_task_without_room_gives_failures_and_no_error() -> None:
    scheduler = cluster(World(), instances=1)
    tasks, failures = scheduler.run_task({"taskDefinition": "good", "count": 3}, 0.0)
    assert len(tasks) == 1
    assert [(failure.arn, failure.reason) for failure in failures] == [
        (next(iter(scheduler.instances)), "RESOURCE:GPU")
    ]


@pytest.mark.parametrize(
    ("request_members", "message"),
    [
        ({"count": 11}, "Count must be between 1 and 10."),
        ({"count": 0}, "Count must be between 1 and 10."),
        (
            {"overrides": {"containerOverrides": [{"name": "web"}]}},
            "Override for container named web is not a container in the TaskDefinition.",
        ),
        (
            {"capacityProviderStrategy": [{"capacityProvider": "none"}]},
            "The specified capacity provider was not found.",
        ),
    ],
    ids=["too many", "none at all", "an unknown container", "an unknown capacity provider"],
)
def test_run_task_refuses(request_members: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        cluster(World(), instances=1).run_task({"taskDefinition": "good", **request_members}, 0.0)
    assert caught.value.message == message


def test_run_task_on_an_empty_cluster_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="No Container Instances were found in your cluster"):
        cluster(World()).run_task({"taskDefinition": "good"}, 0.0)


def test_start_task_puts_a_task_on_the_named_instance() -> None:
    scheduler = cluster(World(), instances=2)
    second = list(scheduler.instances.values())[1]
    names = [second.ec2_instance_id, "i-unknown", second.arn]
    tasks, failures = scheduler.start_task({"taskDefinition": "good", "containerInstances": names}, 0.0)
    assert [task.instance_arn for task in tasks] == [second.arn]
    assert [failure.reason for failure in failures] == ["MISSING", "RESOURCE:GPU"]


def test_fargate_tasks_need_no_instance() -> None:
    world = World(image=ContainerScript())
    world.container = {"resourceRequirements": []}
    scheduler = cluster(world)
    [task], _ = scheduler.run_task({"taskDefinition": "image", "launchType": "FARGATE"}, 0.0)
    scheduler.advance(100.0)
    assert task.last_status is TaskStatus.RUNNING


@pytest.mark.parametrize(
    ("reason", "code", "text"),
    [
        ("terminated", StopCode.TERMINATION_NOTICE, "Host EC2 (instance {}) terminated."),
        ("stopped", StopCode.TERMINATION_NOTICE, "Host EC2 (instance {}) stopped."),
        ("spot", StopCode.SPOT_INTERRUPTION, "Host EC2 (instance {}) terminated."),
    ],
)
def test_a_lost_instance_takes_its_tasks_and_the_service_starts_others(
    reason: str, code: StopCode, text: str
) -> None:
    scheduler = cluster(World(), instances=3)
    service = steady_service(scheduler, service_config())
    task = next(iter(service.primary.tasks.values()))
    instance = scheduler.terminate_instance(task.instance_arn or "", 1000.0, reason=reason)
    assert task.last_status is TaskStatus.STOPPED
    assert (task.stop_code, task.stopped_reason) == (code, text.format(instance.ec2_instance_id))
    assert task.containers[0].exit_code is None
    scheduler.advance(2000.0)
    assert service.running_count == 2
    assert service.primary.failed_tasks == 0


def test_a_draining_instance_hands_its_tasks_over_without_a_gap() -> None:
    scheduler = cluster(World(), instances=3)
    service = steady_service(scheduler, service_config())
    task = next(iter(service.primary.tasks.values()))
    scheduler.set_instance_status(task.instance_arn or "", "DRAINING", 1000.0)
    fewest = 2
    while scheduler.now < 2000.0:
        scheduler.advance(scheduler.now + 5)
        fewest = min(fewest, sum(each.healthy for each in service.primary.tasks.values()))
    assert fewest == 2
    assert task.last_status is TaskStatus.STOPPED
    assert task.instance_arn not in {each.instance_arn for each in service.primary.tasks.values()}


def test_an_instance_whose_agent_is_silent_takes_no_tasks_and_keeps_its_own() -> None:
    scheduler = cluster(World(), instances=3)
    service = steady_service(scheduler, service_config())
    for instance in list(scheduler.instances):
        scheduler.set_agent_connected(instance, False, 1000.0)
    scheduler.update_service("api", {"taskDefinition": "next"}, 1000.0)
    scheduler.advance(1500.0)
    assert service.running_count == 2
    assert 'encountered error "AGENT".' in messages(service, 1000.0)[0]
    for instance in list(scheduler.instances):
        scheduler.set_agent_connected(instance, True, 1500.0)
    scheduler.advance(3000.0)
    assert service.steady


def test_a_task_of_a_service_that_a_user_stops_is_replaced() -> None:
    scheduler = cluster(World(), instances=3)
    service = steady_service(scheduler, service_config())
    scheduler.stop_task(next(iter(service.primary.tasks)), "", 1000.0)
    scheduler.advance(2000.0)
    assert service.running_count == 2
    assert stopped(scheduler)[0].stop_code is StopCode.USER_INITIATED


def test_a_silent_agent_tells_of_starts_ends_and_stops_only_when_it_speaks_again() -> None:
    world = World(image=ContainerScript(exit_code=1, exit_after=50.0), other=ContainerScript())
    world.container = {"resourceRequirements": [], "memory": 100}
    scheduler = cluster(world, instances=1)
    [ends], _ = scheduler.run_task({"taskDefinition": "image"}, 0.0)
    [starts], _ = scheduler.run_task({"taskDefinition": "other"}, 10.0)
    [instance] = scheduler.instances
    scheduler.set_agent_connected(instance, False, 10.5)
    scheduler.advance(500.0)
    assert (ends.last_status, starts.last_status) == (TaskStatus.RUNNING, TaskStatus.PENDING)
    scheduler.set_agent_connected(instance, True, 500.0)
    scheduler.advance(600.0)
    assert (ends.stopped_at, starts.last_status) == (500.0, TaskStatus.RUNNING)


def test_zones_are_named_after_the_region() -> None:
    scheduler = cluster(World(), instances=2)
    zones = [instance.availability_zone for instance in scheduler.instances.values()]
    assert zones == ["eu-central-1a", "eu-central-1b"]
