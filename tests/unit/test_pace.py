"""How soon AWS is asked again: often while a verdict may come, half as often while none can."""

from dataclasses import replace

import pytest

from ecs_gpu_deploy.core.judge.observed import Snapshot, Watched, history_at_start
from ecs_gpu_deploy.core.judge.pace import (
    LookTimes,
    instances_are_due,
    is_calm,
    seconds_to_look_again,
    seconds_to_next_look,
    service_is_due,
    tasks_are_due,
)
from ecs_gpu_deploy.core.judge.phases import PhaseFacts, PhaseName
from ecs_gpu_deploy.core.judge.timing import HealthTiming
from ecs_gpu_deploy.model import (
    CircuitBreaker,
    LifecycleHook,
    Service,
    ServiceDeployment,
    ServiceDeploymentStatus,
    Task,
)

WATCHED = Watched(
    deployment_id="ecs-svc/2",
    task_definition="f:2",
    started_at=1000.0,
    timeout=3600.0,
    placement_timeout=900.0,
)
HISTORY = replace(history_at_start(WATCHED), phase=PhaseName.LOAD)
FACTS = PhaseFacts(
    placement_timeout=900.0,
    timing=HealthTiming(grace=0.0, load_balancer=None, container=None),
    deregistration_delay=60.0,
)
SERVICE = Service(
    arn="arn:aws:ecs:eu-central-1:123456789012:service/c/s",
    name="s",
    cluster_arn="arn:aws:ecs:eu-central-1:123456789012:cluster/c",
    status="ACTIVE",
    task_definition="f:2",
    desired_count=2,
    running_count=4,
    pending_count=0,
    deployments=(),
    events=(),
    circuit_breaker=CircuitBreaker(enable=True, rollback=True),
)
LOADING = ServiceDeployment(
    arn="arn:sd",
    status=ServiceDeploymentStatus.IN_PROGRESS,
    requested_tasks=2,
    running_tasks=2,
    source_requested_tasks=2,
)


def seconds(
    deployment=LOADING,
    *,
    service=SERVICE,
    history=HISTORY,
    facts=FACTS,
    watched=WATCHED,
    at=1100.0,
    given=False,
    quiet=0.0,
    stale=False,
):
    snapshot = Snapshot(at=at, service=service, deployment=deployment, stale=stale)
    return seconds_to_next_look(watched, facts, history, snapshot, interval=5.0, given=given, quiet=quiet)


def failed(count):
    task = Task(arn="t", last_status="STOPPED", stop_code="EssentialContainerExited")
    return replace(HISTORY, since_healthy=(task,) * count)


def test_while_two_tasks_load_beside_the_old_ones_no_verdict_can_come():
    assert seconds() == 10.0


def test_an_interval_that_somebody_chose_is_kept():
    assert seconds(given=True) == 5.0


@pytest.mark.parametrize(
    "near",
    [
        pytest.param({"deployment": None}, id="the deployment was not seen"),
        pytest.param({"stale": True}, id="the service was not seen this time"),
        pytest.param(
            {"deployment": replace(LOADING, source_requested_tasks=0)}, id="the old tasks were told to stop"
        ),
        pytest.param(
            {"deployment": replace(LOADING, status=ServiceDeploymentStatus.ROLLBACK_IN_PROGRESS)},
            id="AWS rolls back",
        ),
        pytest.param(
            {"deployment": replace(LOADING, status=ServiceDeploymentStatus("FROZEN"))},
            id="a status that nobody knows",
        ),
        pytest.param({"deployment": replace(LOADING, breaker_failures=1)}, id="two more trip it"),
        pytest.param({"history": failed(1)}, id="a failed task that the breaker does not show yet"),
        pytest.param(
            {"service": replace(SERVICE, desired_count=3), "deployment": replace(LOADING, requested_tasks=3)},
            id="three tasks can fail at once",
        ),
        pytest.param(
            {"watched": replace(WATCHED, crash_loop_threshold=2)}, id="our own threshold is lower than AWS's"
        ),
        pytest.param({"service": replace(SERVICE, alarms=("errors",))}, id="alarms watch the deployment"),
        pytest.param({"service": replace(SERVICE, strategy="BLUE_GREEN")}, id="hooks and stages can end it"),
        pytest.param({"service": replace(SERVICE, early_success_percent=50)}, id="it may succeed early"),
        pytest.param(
            {"facts": replace(FACTS, deregistration_delay=0.0)},
            id="old tasks end at once",
        ),
    ],
)
def test_as_soon_as_a_verdict_may_come_the_interval_is_the_short_one(near):
    assert seconds(**near) == 5.0


def test_without_a_deregistration_delay_tasks_that_do_not_run_yet_are_no_success():
    facts = replace(FACTS, deregistration_delay=0.0)
    assert seconds(replace(LOADING, running_tasks=0), facts=facts) == 10.0


@pytest.mark.parametrize(("phase", "expected"), [(PhaseName.PULL, 10.0), (PhaseName.LOAD, 5.0)])
def test_a_long_pull_in_peace_is_asked_about_less_often(phase, expected):
    many = replace(SERVICE, desired_count=20)
    assert seconds(service=many, history=replace(HISTORY, phase=phase), quiet=60.0) == expected
    assert seconds(service=many, history=replace(HISTORY, phase=phase), quiet=59.0) == 5.0


@pytest.mark.parametrize(
    "soon",
    [
        pytest.param({"at": 4597.0}, id="the timeout"),
        pytest.param(
            {"history": replace(HISTORY, unplaced_since=203.0, placement_from=203.0)},
            id="the limit on placement",
        ),
        pytest.param(
            {
                "facts": replace(FACTS, given={PhaseName.LOAD: 103.0}),
                "history": replace(HISTORY, progress_at=1000.0),
            },
            id="a deadline that somebody set",
        ),
    ],
)
def test_the_look_is_not_later_than_our_own_decision(soon):
    assert seconds(**soon) == pytest.approx(3.0)


def test_before_the_moment_of_a_decision_there_is_a_pause():
    assert seconds(at=4599.9) == pytest.approx(0.2)


def test_a_moment_that_has_passed_without_an_answer_of_aws_makes_no_look_come_sooner():
    assert seconds(at=9000.0, given=True) == pytest.approx(5.0)


JUST = LookTimes(changed_at=1000.0, service_at=1000.0, tasks_at=1000.0, instances_at=1000.0)


@pytest.mark.parametrize(
    ("after", "changed_at", "news", "due"),
    [
        pytest.param(1.0, 1000.0, True, True, id="the deployment changed"),
        pytest.param(19.9, 1000.0, False, False, id="just read"),
        pytest.param(20.0, 1000.0, False, True, id="20 s old"),
        pytest.param(39.9, 900.0, False, False, id="in quiet it may be twice as old"),
        pytest.param(40.0, 900.0, False, True, id="and no older"),
        pytest.param(20.0, 980.1, False, True, id="39.9 s without a change are not quiet yet"),
        pytest.param(20.0, 980.0, False, False, id="40 s are"),
    ],
)
def test_when_the_service_is_read(after, changed_at, news, due):
    assert service_is_due(replace(JUST, changed_at=changed_at), 1000.0 + after, news=news) is due


@pytest.mark.parametrize(
    ("after", "changed_at", "ended", "changed", "due"),
    [
        pytest.param(0.0, 1000.0, True, False, True, id="the deployment ended"),
        pytest.param(9.9, 1000.0, False, True, False, id="a change right after a look waits"),
        pytest.param(10.0, 1000.0, False, True, True, id="a change"),
        pytest.param(44.9, 1010.0, False, False, False, id="nothing new"),
        pytest.param(45.0, 1010.0, False, False, True, id="45 s old"),
        pytest.param(89.9, 1000.0, False, False, False, id="in quiet they may be twice as old"),
        pytest.param(90.0, 1000.0, False, False, True, id="and no older"),
    ],
)
def test_when_the_tasks_are_read(after, changed_at, ended, changed, due):
    times = replace(JUST, changed_at=changed_at)
    assert tasks_are_due(times, 1000.0 + after, ended=ended, changed=changed) is due


@pytest.mark.parametrize(
    ("after", "changed_at", "due"),
    [
        (59.9, 1030.0, False),
        (60.0, 1030.0, True),
        (119.9, 1000.0, False),
        (120.0, 1000.0, True),
        (239.9, 400.0, False),
        (240.0, 400.0, True),
    ],
    ids=["59 s", "60 s", "119 s of quiet", "120 s of quiet", "239 s of stillness", "240 s of stillness"],
)
def test_the_instances_are_read_once_a_minute_and_half_as_often_while_nothing_changes(after, changed_at, due):
    assert instances_are_due(replace(JUST, changed_at=changed_at), 1000.0 + after) is due


BAKING = replace(LOADING, lifecycle_stage="BAKE_TIME")
HOUR = replace(SERVICE, bake_time_minutes=60)


@pytest.mark.parametrize(
    ("deployment", "service", "quiet", "expected"),
    [
        pytest.param(BAKING, HOUR, 0.0, 5.0, id="a bake that has just begun"),
        pytest.param(BAKING, HOUR, 400.0, 20.0, id="a twentieth of what it has baked"),
        pytest.param(BAKING, HOUR, 3000.0, 150.0, id="at least every 150 s"),
        pytest.param(BAKING, HOUR, 3500.0, 100.0, id="not past its end"),
        pytest.param(BAKING, HOUR, 3595.0, 5.0, id="5 s before its end"),
        pytest.param(BAKING, HOUR, 3595.1, 5.0, id="around its end as often as ever"),
        pytest.param(BAKING, HOUR, 3600.0, 5.0, id="when it is over"),
        pytest.param(BAKING, HOUR, 3899.0, 5.0, id="and for five minutes more"),
        pytest.param(BAKING, HOUR, 3900.0, 150.0, id="then AWS takes its time"),
        pytest.param(replace(BAKING, lifecycle_stage="SCALE_UP"), HOUR, 400.0, 10.0, id="no bake yet"),
    ],
)
def test_while_aws_only_waits_it_is_asked_less_and_less(deployment, service, quiet, expected):
    watched = replace(WATCHED, timeout=86_400.0)
    assert seconds(deployment, service=service, quiet=quiet, watched=watched) == pytest.approx(expected)


PAUSED = replace(
    LOADING,
    lifecycle_stage="POST_SCALE_UP",
    hooks=(LifecycleHook(id="h", status="AWAITING_ACTION", expires_at=5000.0),),
)


@pytest.mark.parametrize(
    ("hook", "quiet", "expected"),
    [
        pytest.param({}, 299.0, 5.0, id="at first as often as ever"),
        pytest.param({}, 400.0, 20.0, id="a twentieth of what it has waited"),
        pytest.param({"expires_at": 1200.0}, 3000.0, 100.0, id="not past its expiry"),
        pytest.param({"expires_at": None}, 9000.0, 150.0, id="one that does not say when it expires"),
        pytest.param({"status": "IN_PROGRESS"}, 3000.0, 10.0, id="a hook that runs awaits nobody"),
    ],
)
def test_while_a_hook_awaits_somebody_aws_is_asked_less_and_less(hook, quiet, expected):
    deployment = replace(PAUSED, hooks=(replace(PAUSED.hooks[0], **hook),))
    watched = replace(WATCHED, timeout=86_400.0)
    assert seconds(deployment, quiet=quiet, watched=watched) == pytest.approx(expected)


def test_a_bake_is_no_calm_while_a_task_of_ours_is_not_healthy():
    assert not is_calm(BAKING, replace(HISTORY, live=(Task(arn="t"),), healthy=0))
    assert is_calm(BAKING, replace(HISTORY, live=(Task(arn="t"),), healthy=1))


def test_a_bake_whose_length_the_service_does_not_say_is_that_of_the_deployment():
    facts = replace(FACTS, bake=600.0)
    assert seconds(BAKING, quiet=580.0, facts=facts) == pytest.approx(20.0)
    assert seconds(BAKING, service=None, quiet=580.0, facts=facts) == pytest.approx(20.0)
    assert seconds(BAKING, service=HOUR, quiet=580.0, facts=facts) == pytest.approx(29.0)


def test_an_interval_that_somebody_chose_is_kept_while_aws_only_waits():
    assert seconds(BAKING, service=HOUR, quiet=3000.0, given=True) == 5.0


@pytest.mark.parametrize(
    ("quiet", "factor"), [(39.9, 1.0), (40.0, 2.0), (80.0, 2.0), (200.0, 5.0), (800.0, 20.0), (9000.0, 30.0)]
)
def test_in_a_calm_all_views_are_read_less_and_less(quiet, factor):
    now = JUST.changed_at + quiet
    assert JUST.quiet(now, calm=True) == pytest.approx(factor)
    just = replace(JUST, service_at=now - 20.0 * factor, tasks_at=now - 45.0 * factor)
    assert service_is_due(just, now, news=False, calm=True)
    assert not service_is_due(replace(just, service_at=now - 20.0 * factor + 1.5), now, news=False, calm=True)
    assert tasks_are_due(just, now, ended=False, changed=False, calm=True)
    assert not tasks_are_due(
        replace(just, tasks_at=now - 45.0 * factor + 1.5), now, ended=False, changed=False, calm=True
    )


@pytest.mark.parametrize(
    ("now", "seconds"),
    [(0.0, 5.0), (94.9, 5.0), (97.0, 3.0), (99.9, 0.2), (100.0, 0.2), (200.0, 0.2)],
)
def test_an_end_that_we_only_wait_for_is_looked_for_to_the_second_of_our_own(now, seconds):
    assert seconds_to_look_again(5.0, now=now, until=100.0) == pytest.approx(seconds)
