"""What holds in every history: nothing is taken twice, limits are kept, deployments follow AWS's states."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from scheduler_world import ONE_GPU, World, cluster, newest, service_config

from ecs_gpu_deploy.ecs_model import ContainerScript, Scheduler
from ecs_gpu_deploy.ecs_model.refusals import Conflict
from ecs_gpu_deploy.ecs_model.rollout import limits_of
from ecs_gpu_deploy.ecs_model.state import CapacityProvider, Service
from ecs_gpu_deploy.ecs_model.statuses import TaskStatus
from ecs_gpu_deploy.model import RolloutState, ServiceDeploymentStatus

S = ServiceDeploymentStatus
# docs/aws-facts.md#service-deployment-states; a superseded rollback fails.
FOLLOWS = {
    S.PENDING: {S.IN_PROGRESS, S.ROLLBACK_REQUESTED, S.STOP_REQUESTED, S.STOPPED},
    S.IN_PROGRESS: {
        S.SUCCESSFUL,
        S.STOP_REQUESTED,
        S.ROLLBACK_REQUESTED,
        S.ROLLBACK_IN_PROGRESS,
        S.ROLLBACK_FAILED,
        S.STOPPED,
    },
    S.STOP_REQUESTED: {S.STOPPED, S.ROLLBACK_REQUESTED},
    S.ROLLBACK_REQUESTED: {
        S.SUCCESSFUL,
        S.ROLLBACK_IN_PROGRESS,
        S.ROLLBACK_FAILED,
        S.STOP_REQUESTED,
        S.STOPPED,
    },
    S.ROLLBACK_IN_PROGRESS: {S.ROLLBACK_SUCCESSFUL, S.ROLLBACK_FAILED},
}
IMAGES = ("good", "next", "never", "missing", "crash", "flaps", "leaks")
ACTIONS = st.one_of(
    st.tuples(st.just("deploy"), st.sampled_from(IMAGES)),
    st.tuples(st.just("scale"), st.integers(0, 5)),
    st.tuples(st.just("wait"), st.integers(1, 700)),
    st.tuples(st.just("lose"), st.integers(0, 9)),
    st.tuples(st.just("add"), st.just(0)),
    st.tuples(st.just("drain"), st.integers(0, 9)),
    st.tuples(st.just("silence"), st.integers(0, 9)),
    st.tuples(st.just("stop"), st.integers(0, 9)),
    st.tuples(st.just("roll back"), st.just(0)),
    st.tuples(st.just("run"), st.sampled_from(IMAGES)),
)
CONFIGS = st.fixed_dictionaries(
    {
        "desired": st.integers(0, 4),
        "minimum": st.sampled_from([0, 50, 75, 100]),
        "maximum": st.sampled_from([100, 150, 200]),
        "grace": st.sampled_from([0, 60, 150]),
        "balanced": st.booleans(),
        "breaker": st.sampled_from([None, {"enable": True, "rollback": True}, {"enable": True}]),
    }
)


def reachable(status: ServiceDeploymentStatus) -> set[ServiceDeploymentStatus]:
    """Give the statuses that may come after; one look at a service may take several steps."""
    found: set[ServiceDeploymentStatus] = set()
    ahead = [status]
    while ahead:
        following = FOLLOWS.get(ahead.pop(), set()) - found
        found |= following
        ahead.extend(following)
    return found


def world() -> World:
    return World(
        flaps=ContainerScript(load_seconds=10.0, unhealthy_windows=((200.0, 300.0),)),
        leaks=ContainerScript(load_seconds=5.0, exit_code=1, exit_after=180.0),
    )


def check_instances(scheduler: Scheduler) -> None:
    for instance in scheduler.instances.values():
        held = [task.allocation for task in instance.tasks.values() if task.allocation]
        assert instance.room.cpu == instance.template.cpu - sum(each.cpu for each in held)
        assert instance.room.memory == instance.template.memory - sum(each.memory for each in held)
        assert min(instance.room.cpu, instance.room.memory) >= 0
        gpus = Counter(gpu for each in held for _, _, ids in each.gpus for gpu in ids)
        assert not gpus or max(gpus.values()) == 1
        assert set(instance.room.free_gpus) == set(instance.gpu_ids) - set(gpus)
        ports = Counter(number for each in held for _, number in each.ports)
        assert not ports or max(ports.values()) == 1


def check_service(scheduler: Scheduler, service: Service) -> None:
    assert [each.status for each in service.deployments].count("PRIMARY") == 1
    assert service.primary.status == "PRIMARY"
    for deployment in service.deployments:
        assert all(task.last_status is not TaskStatus.STOPPED for task in deployment.tasks.values())
        assert all(task.arn in scheduler.tasks for task in deployment.tasks.values())
    older = [scheduler.service_deployments[arn] for arn in service.service_deployment_arns[1:]]
    assert all(each.status is S.STOP_REQUESTED or each.status.is_terminal for each in older)
    moments = [event.created_at for event in service.events]
    assert moments == sorted(moments, reverse=True)
    if service.primary.rollout_state is RolloutState.COMPLETED:
        assert service.last_completed is service.primary


def act(scheduler: Scheduler, service: Service, action: tuple[str, Any]) -> None:
    kind, value = action
    now = scheduler.now
    instances = list(scheduler.instances)
    tasks = [task for each in service.deployments for task in each.tasks]
    match kind:
        case "deploy":
            scheduler.update_service("api", {"taskDefinition": value, "forceNewDeployment": True}, now)
        case "scale":
            scheduler.update_service("api", {"desiredCount": value}, now)
        case "lose" if instances:
            scheduler.terminate_instance(instances[value % len(instances)], now)
        case "add":
            scheduler.add_instance(ONE_GPU, now=now)
        case "drain" if instances:
            scheduler.set_instance_status(instances[value % len(instances)], "DRAINING", now)
        case "silence" if instances:
            scheduler.set_agent_connected(instances[value % len(instances)], value % 2 == 0, now)
        case "stop" if tasks:
            scheduler.stop_task(tasks[value % len(tasks)], "", now)
        case "roll back":
            with suppress(Conflict):
                scheduler.stop_service_deployment(service.service_deployment_arns[0], "ROLLBACK", now)
        case "run" if instances:
            scheduler.run_task({"taskDefinition": value}, now)
        case _:
            pass


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(
    config=CONFIGS,
    instances=st.integers(0, 8),
    managed=st.booleans(),
    actions=st.lists(ACTIONS, max_size=12),
)
def test_every_history_keeps_the_rules(
    config: dict[str, Any], instances: int, managed: bool, actions: list[tuple[str, Any]]
) -> None:
    scheduler = cluster(world(), instances=instances)
    given_config = service_config(**config)
    if managed:
        scheduler.put_capacity_provider(CapacityProvider(name="gpu", template=ONE_GPU, max_size=4), 0.0)
        del given_config["launchType"]
        given_config["capacityProviderStrategy"] = [{"capacityProvider": "gpu", "weight": 1}]
    service = scheduler.create_service(given_config, 0.0)
    statuses: dict[str, ServiceDeploymentStatus] = {}
    for action in [*actions, ("wait", 3000)]:
        act(scheduler, service, action)
        ends = scheduler.now + (action[1] if action[0] == "wait" else 20)
        while (due := scheduler.next_due()) is not None and due <= ends:
            scheduler.advance(due)
            check_instances(scheduler)
            check_service(scheduler, service)
            for arn in service.service_deployment_arns:
                status = scheduler.service_deployments[arn].status
                before = statuses.get(arn, status)
                assert status is before or status in reachable(before), (before, status)
                statuses[arn] = status
        scheduler.advance(ends)
        for arn in service.service_deployment_arns:
            statuses.setdefault(arn, scheduler.service_deployments[arn].status)


@settings(max_examples=120, deadline=None, derandomize=True, database=None)
@given(config=CONFIGS, spare=st.integers(0, 4))
def test_a_good_rollout_keeps_its_limits_to_the_end(config: dict[str, Any], spare: int) -> None:
    config = {**config, "grace": 150, "desired": max(1, config["desired"])}
    scheduler = cluster(world(), instances=config["desired"] + spare)
    service = scheduler.create_service(service_config(**config), 0.0)
    scheduler.advance(1000.0)
    assert service.steady
    limits = limits_of(scheduler._model, service)
    scheduler.update_service("api", {"taskDefinition": "next"}, 1000.0)
    while (due := scheduler.next_due()) is not None and due <= 8000.0:
        scheduler.advance(due)
        tasks = [task for each in service.deployments for task in each.tasks.values()]
        assert sum(task.healthy for task in tasks) >= limits.lower
        assert sum(task.live for task in tasks) <= max(limits.upper, limits.desired)
    can_move = limits.lower < limits.desired or (spare > 0 and limits.upper > limits.desired)
    ended = newest(scheduler, service).status is ServiceDeploymentStatus.SUCCESSFUL
    assert ended is can_move
