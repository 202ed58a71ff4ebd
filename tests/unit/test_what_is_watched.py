"""What a wait is told before it begins: what follows from the service, its target groups and the options."""

from dataclasses import replace

import pytest

from ecs_gpu_deploy.core.defaults import bake_seconds, health_check_number, stop_timeout
from ecs_gpu_deploy.core.judge.options import RolloutOptions, WaitOptions
from ecs_gpu_deploy.core.judge.phases import PhaseFacts, phase_facts
from ecs_gpu_deploy.core.judge.timing import ContainerCheck, HealthTiming, LoadBalancerCheck
from ecs_gpu_deploy.core.judge.watch import timeout_of, watch_of
from ecs_gpu_deploy.model import Deployment, Event, Service, TargetGroup

WAIT = WaitOptions(
    timeout=1200.0,
    timeout_given=False,
    poll_interval=5.0,
    poll_interval_given=True,
    placement_timeout=900.0,
    placement_timeout_given=True,
)
OPTIONS = RolloutOptions(
    wait=WAIT,
    on_timeout="leave",
    on_failure="leave",
    on_cancel="leave",
    phase_deadlines={"pull": 5.0},
    crash_loop_threshold=7,
    settle=90.0,
    allow_desired_zero=True,
)
SERVICE = Service.from_api(
    {"serviceName": "rag", "serviceArn": "arn:s", "clusterArn": "arn:c", "status": "ACTIVE"}
)
RAG = {"name": "rag", "healthCheck": {"command": ["CMD", "true"]}}


def facts(service=SERVICE, containers=(RAG,), groups=(), **rest):
    return phase_facts(service, containers, groups, OPTIONS, **rest)


@pytest.mark.parametrize(
    ("minutes", "strategy", "alarms", "seconds"),
    [
        pytest.param(0, "ROLLING", False, 0.0, id="rolling without alarms"),
        pytest.param(10, "ROLLING", False, 0.0, id="rolling without alarms, whatever is said"),
        pytest.param(10, "ROLLING", True, 600.0, id="rolling with alarms"),
        pytest.param(0, "ROLLING", True, 300.0, id="rolling with alarms, not said"),
        pytest.param(0, "", True, 300.0, id="no strategy is rolling"),
        pytest.param(5, "BLUE_GREEN", False, 300.0, id="in stages"),
        pytest.param(0, "CANARY", True, 0.0, id="in stages a 0 is a 0"),
    ],
)
def test_how_long_a_finished_deployment_bakes(minutes, strategy, alarms, seconds):
    assert bake_seconds(minutes, strategy=strategy, alarms=alarms) == seconds
    configuration = {
        "strategy": strategy or "ROLLING",
        "bakeTimeInMinutes": minutes,
        "alarms": {"enable": alarms, "alarmNames": ["a"]},
    }
    service = replace(
        SERVICE,
        strategy=strategy,
        bake_time_minutes=minutes,
        alarms=("a",) * alarms,
        traffic_shift_seconds=7.0 if strategy == "CANARY" else 0.0,
    )
    assert facts(service).bake == seconds + service.traffic_shift_seconds
    assert Service.from_api({"deploymentConfiguration": configuration}).bake_time_minutes == minutes


@pytest.mark.parametrize(
    ("check", "read"),
    [
        ({}, ContainerCheck(interval=30, timeout=5, retries=3, start_period=0)),
        ({"retries": 4}, ContainerCheck(interval=30, timeout=5, retries=4, start_period=0)),
        ({"startPeriod": 0, "interval": None}, ContainerCheck(interval=30, timeout=5, retries=3)),
        (
            {"interval": 10, "timeout": 2, "retries": 1, "startPeriod": 120},
            ContainerCheck(interval=10, timeout=2, retries=1, start_period=120),
        ),
    ],
    ids=str,
)
def test_a_health_check_is_read_with_awss_defaults(check, read):
    assert ContainerCheck.of(check) == read
    assert facts(
        containers=({"name": "a"}, {"name": "b", "healthCheck": {"command": ["x"], **check}})
    ).timing == (HealthTiming(container=read))


def test_the_defaults_are_awss():
    assert ContainerCheck() == ContainerCheck.of({})
    assert [health_check_number({}, name) for name in ("interval", "timeout", "retries", "startPeriod")] == [
        30,
        5,
        3,
        0,
    ]
    assert [stop_timeout({}), stop_timeout({"stopTimeout": 90}), stop_timeout({"stopTimeout": None})] == [
        30.0,
        90.0,
        30.0,
    ]
    group = TargetGroup.from_api({}, {})
    assert group == TargetGroup(
        arn="",
        interval=30,
        timeout=5,
        healthy_threshold=5,
        unhealthy_threshold=2,
        deregistration_delay=300,
        target_type="instance",
    )
    assert LoadBalancerCheck() == LoadBalancerCheck(interval=30, timeout=5, unhealthy_threshold=2)


@pytest.mark.parametrize(
    ("delay", "seconds"), [("60", 60.0), ("0", 0.0), (0, 0.0), ("", 300.0), (None, 300.0)]
)
def test_a_deregistration_delay_of_0_is_none(delay, seconds):
    attributes = {"deregistration_delay.timeout_seconds": delay}
    assert TargetGroup.from_api({}, attributes).deregistration_delay == seconds


def test_of_several_target_groups_the_quickest_check_and_the_slowest_way_out_count():
    quick = TargetGroup(arn="a", interval=10, timeout=3, unhealthy_threshold=3, healthy_threshold=2)
    slow = TargetGroup(
        arn="b",
        interval=25,
        timeout=5,
        unhealthy_threshold=2,
        healthy_threshold=4,
        deregistration_delay=400.0,
    )
    found = facts(groups=(slow, quick))
    assert found.timing.load_balancer == LoadBalancerCheck(interval=10, timeout=3, unhealthy_threshold=3)
    assert found.healthy_seconds == 25 * 4 + 5
    assert found.deregistration_delay == 400.0
    alone = facts()
    assert (alone.timing.load_balancer, alone.healthy_seconds, alone.deregistration_delay) == (None, 0.0, 0.0)


@pytest.mark.parametrize(
    ("timeouts", "seconds"), [((), 30.0), ((None,), 30.0), ((5,), 5.0), ((5, None), 30.0), ((5, 120), 120.0)]
)
def test_the_longest_stop_timeout_counts(timeouts, seconds):
    containers = [{"name": "a", "stopTimeout": timeout} for timeout in timeouts]
    assert facts(containers=containers).stop_timeout == seconds


def test_the_rest_comes_from_the_service_and_the_options():
    service = replace(SERVICE, health_check_grace_period=120, pause_seconds=60.0)
    found = facts(service, pull_seconds=60.0)
    assert found.timing.grace == 120
    assert (found.pauses, found.placement_timeout, found.given, found.pull) == (
        60.0,
        900.0,
        {"pull": 5.0},
        1800.0,
    )
    assert facts(pull_seconds=4000.0).pull == 4000.0


FACTS = PhaseFacts(placement_timeout=900.0, timing=HealthTiming(), bake=300.0, pauses=60.0)


def test_a_timeout_that_somebody_gave_is_not_stretched():
    assert timeout_of(WAIT, FACTS) == 1200.0 + 300.0 + 60.0
    assert timeout_of(replace(WAIT, timeout_given=True), FACTS) == 1200.0


def test_the_default_timeout_has_room_for_a_long_deregistration_delay():
    assert timeout_of(WAIT, replace(FACTS, deregistration_delay=300.0)) == timeout_of(WAIT, FACTS)
    assert timeout_of(WAIT, replace(FACTS, deregistration_delay=3600.0)) == timeout_of(WAIT, FACTS) + 3300.0


def watch(**rest):
    before = replace(
        SERVICE,
        deployments=(
            Deployment(id="ecs-svc/1", status="ACTIVE", task_definition="rag:1"),
            Deployment(id="ecs-svc/2", status="PRIMARY", task_definition="rag:2"),
        ),
        placement_constraints=({"type": "memberOf", "expression": "attribute:gpu == l4"},),
        events=tuple(
            Event(id=name, created_at=at, message="") for name, at in (("new", 1050.0), ("old", 950.0))
        ),
    )
    definition = {"containerDefinitions": [RAG, {"name": "side"}], **rest.pop("definition", {})}
    return watch_of(
        before,
        definition,
        OPTIONS,
        FACTS,
        deployment_id="ecs-svc/2",
        task_definition="rag:2",
        digests={"rag": ("sha256:1",)},
        began=1000.0,
        **rest,
    )


def test_the_check_of_a_container_that_is_not_essential_is_none_of_the_task():
    aside = {**RAG, "name": "exporter", "essential": False}
    found = watch(definition={"containerDefinitions": [RAG, aside]})
    assert found.watched.checked_containers == {"rag"}
    assert phase_facts(SERVICE, (aside,), (), OPTIONS).timing.container is None
    assert phase_facts(SERVICE, (aside, RAG), (), OPTIONS).timing.container is not None


def test_what_is_watched():
    found = watch()
    watched = found.watched
    assert (watched.deployment_id, watched.task_definition, watched.baseline) == (
        "ecs-svc/2",
        "rag:2",
        frozenset({"ecs-svc/1"}),
    )
    assert (watched.started_at, watched.watched_from, watched.timeout) == (1000.0, None, 1560.0)
    assert (watched.placement_timeout, watched.placement_given) == (900.0, True)
    assert (watched.crash_loop_threshold, watched.settle_seconds, watched.allow_desired_zero) == (
        7,
        90.0,
        True,
    )
    assert (watched.checked_containers, watched.digests) == (frozenset({"rag"}), {"rag": ("sha256:1",)})
    assert watched.drain_seconds == 0.0 + 30.0 + 60.0
    assert watched.known_events == {"new", "old"}, "all that stood there before the update"
    assert (found.poll_interval, found.keeps_interval, found.deployment_arn) == (5.0, True, "")
    assert found.requirement is not None
    assert found.requirement.expressions == ("attribute:gpu == l4",)
    assert found.facts is FACTS


def test_the_timeout_of_a_watch_counts_from_when_it_was_attached():
    watched = watch(attached_at=1100.0, deployment_arn="arn:d").watched
    assert (watched.started_at, watched.watched_from, watched.timeout) == (1000.0, 1100.0, 1660.0)
    assert watched.known_events == {"old"}, "those from before the deployment"
    assert watch(attached_at=900.0).watched.timeout == 1560.0, "a clock that is behind AWS's"


def test_what_a_task_asks_for_may_be_unreadable():
    assert watch(definition={"memory": "a lot"}).requirement is None
