"""What single tasks, events and targets prove."""

from __future__ import annotations

from typing import Any

import pytest

from ecs_gpu_deploy.core.judge.evidence import (
    fails_checks,
    is_failure,
    is_healthy,
    is_unplaced_event,
    lifetime,
    passes_checks,
    signature,
    waits_for_old_container,
)
from ecs_gpu_deploy.core.judge.phases import PhaseName, phase_of, phase_of_task
from ecs_gpu_deploy.core.judge.verdict import sentence, spoken_span
from ecs_gpu_deploy.model import Container, Event, TargetHealth, Task


def task(**more: Any) -> Task:
    return Task(arn="arn:t/1", **{"last_status": "RUNNING", "desired_status": "RUNNING", **more})


def ended(reason: str, code: str = "", *exits: int | None) -> Task:
    containers = tuple(Container(name=f"c{number}", exit_code=status) for number, status in enumerate(exits))
    return task(last_status="STOPPED", stop_code=code, stopped_reason=reason, containers=containers)


@pytest.mark.parametrize(
    ("stopped", "failed"),
    [
        pytest.param(
            ended("Essential container in task exited", "EssentialContainerExited"), True, id="an exit"
        ),
        pytest.param(ended("CannotPullContainerError: x", "TaskFailedToStart"), True, id="it did not start"),
        pytest.param(
            ended("Task failed container health checks", "ServiceSchedulerInitiated"), True, id="its check"
        ),
        pytest.param(ended("Task Failed ELB health checks in (target-group arn)"), True, id="its target"),
        pytest.param(
            ended("Scaling activity initiated by (deployment ecs-svc/1)", "ServiceSchedulerInitiated"),
            False,
            id="the scheduler's replacement",
        ),
        pytest.param(
            ended("Scaling activity initiated by deployment that failed", "EssentialContainerExited"),
            False,
            id="a replacement, whatever else it says",
        ),
        pytest.param(
            ended("the rollout failed, I stop it", "UserInitiated"), False, id="a person who says failed"
        ),
        pytest.param(ended("Task stopped by user", "UserInitiated"), False, id="a person"),
        pytest.param(
            ended("Host EC2 (instance i-1) terminated.", "TerminationNotice"), False, id="a lost instance"
        ),
    ],
)
def test_which_ended_tasks_failed(stopped: Task, failed: bool) -> None:
    assert is_failure(stopped) is failed


@pytest.mark.parametrize(
    ("message", "unplaced"),
    [
        (
            "service s was unable to place a task because no container instance met all of its requirements.",
            True,
        ),
        ("(service s) was unable to place a task. Reason: No Container Instances were found.", True),
        ("service s was unable to place a task. Reason: CannotPullContainerError: x", False),
        ("service s was unable to place a task. Reason: ResourceInitializationError: x", False),
        ("service s was unable to place a task. Reason: CannotStartContainerError: x", False),
        ("(service s) has started 1 tasks: (task t).", False),
    ],
)
def test_which_events_tell_of_no_room(message: str, unplaced: bool) -> None:
    assert is_unplaced_event(Event(id="e", created_at=1.0, message=message)) is unplaced


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        pytest.param(
            ended("Exited: id 1", "E", 1), ended("Exited: id 2", "E", 1), True, id="ids behind a colon"
        ),
        pytest.param(
            ended("Failed (target a)", "E"), ended("Failed (target b)", "E"), True, id="ids in brackets"
        ),
        pytest.param(ended("Exited", "E", 1), ended("Exited", "E", 2), False, id="another exit code"),
        pytest.param(ended("Exited", "E", 1), ended("Exited", "F", 1), False, id="another stop code"),
        pytest.param(ended("Exited", "E", 1), ended("Killed", "E", 1), False, id="another reason"),
        pytest.param(
            ended("x", "E", 1, 137), ended("x", "E", 1, 143), True, id="how the others were stopped"
        ),
        pytest.param(ended("x", "E", 1, 0), ended("x", "E", 1, None), True, id="or that they ended well"),
        pytest.param(ended("x", "E", 137), ended("x", "E", 143), False, id="unless that is all there is"),
    ],
)
def test_when_two_failures_are_the_same(one: Task, other: Task, same: bool) -> None:
    assert (signature(one) == signature(other)) is same


@pytest.mark.parametrize(
    ("times", "seconds"),
    [
        ({"started_at": 10.0, "stopping_at": 40.0, "stopped_at": 70.0}, 30.0),
        ({"started_at": 10.0, "stopped_at": 70.0}, 60.0),
        ({"stopped_at": 70.0}, 0.0),
        ({"started_at": 10.0}, 0.0),
        ({"started_at": 10.0, "stopping_at": 5.0}, 0.0),
    ],
)
def test_how_long_a_task_ran(times: dict[str, float], seconds: float) -> None:
    assert lifetime(task(**times)) == seconds


TARGET = {
    state: TargetHealth(target_group_arn="arn:tg", target_id="i", state=state)
    for state in ("healthy", "initial", "unhealthy", "draining", "unused")
}


def with_health(of_task: str = "UNKNOWN", **containers: str) -> Task:
    return task(
        health_status=of_task,
        containers=tuple(Container(name=name, health_status=status) for name, status in containers.items()),
    )


@pytest.mark.parametrize(
    ("shown", "checked", "passes", "fails"),
    [
        pytest.param(with_health(), (), True, False, id="nothing is checked"),
        pytest.param(
            with_health(a="HEALTHY", b="UNKNOWN"), ("a",), True, False, id="only what has a check counts"
        ),
        pytest.param(
            with_health(a="HEALTHY", b="UNKNOWN"), ("a", "b"), False, False, id="one is not known yet"
        ),
        pytest.param(with_health(a="HEALTHY", b="UNHEALTHY"), ("a", "b"), False, True, id="one is ill"),
        pytest.param(
            with_health(a="HEALTHY", b="UNHEALTHY"), ("a",), True, False, id="one is ill that has no check"
        ),
        pytest.param(
            with_health("HEALTHY", a=""),
            ("a",),
            True,
            False,
            id="the task tells where its container does not",
        ),
        pytest.param(with_health("UNHEALTHY"), ("a",), False, True, id="or where it is not shown"),
    ],
)
def test_whether_a_tasks_checks_pass_or_fail(
    shown: Task, checked: tuple[str, ...], passes: bool, fails: bool
) -> None:
    assert (passes_checks(shown, checked), fails_checks(shown, checked)) == (passes, fails)


@pytest.mark.parametrize(
    ("shown", "targets", "checked", "up", "healthy"),
    [
        pytest.param(task(), (), (), 40.0, True, id="without a check after 40 s"),
        pytest.param(task(), (), (), 39.9, False, id="and no sooner"),
        pytest.param(task(last_status="PENDING"), (), (), 90.0, False, id="it does not run"),
        pytest.param(task(desired_status="STOPPED"), (), (), 90.0, False, id="it is on its way out"),
        pytest.param(with_health(a="HEALTHY"), (), ("a",), 0.0, True, id="its check passes"),
        pytest.param(with_health(a="UNKNOWN"), (), ("a",), 90.0, False, id="its check has not passed yet"),
        pytest.param(
            task(), ("healthy", "draining", "unused"), (), 40.0, True, id="targets that are not ill"
        ),
        pytest.param(task(), ("healthy",), (), 39.9, False, id="a healthy target may be an old task's"),
        pytest.param(task(), ("healthy", "initial"), (), 90.0, False, id="a target that is not ready"),
        pytest.param(task(), ("unhealthy", "healthy"), (), 90.0, False, id="a target that is ill"),
        pytest.param(with_health(a="HEALTHY"), ("initial",), ("a",), 90.0, False, id="both have to pass"),
    ],
)
def test_when_a_task_is_healthy(
    shown: Task, targets: tuple[str, ...], checked: tuple[str, ...], up: float, healthy: bool
) -> None:
    assert is_healthy(shown, [TARGET[each] for each in targets], checked, up_seconds=up) is healthy


PENDING = {"last_status": "PENDING", "container_instance_arn": "arn:ci/1"}


@pytest.mark.parametrize(
    ("shown", "targets", "checked", "leaving", "phase"),
    [
        pytest.param(task(last_status="PROVISIONING"), (), (), (), PhaseName.PLACEMENT, id="no instance yet"),
        pytest.param(task(**PENDING), (), (), (), PhaseName.PULL, id="its image"),
        pytest.param(
            task(**PENDING), (), (), ("arn:ci/1",), PhaseName.PLACEMENT, id="an old task is still there"
        ),
        pytest.param(task(**PENDING), (), (), ("arn:ci/2",), PhaseName.PULL, id="an old task is elsewhere"),
        pytest.param(
            task(**PENDING, pull_started_at=1.0),
            (),
            (),
            ("arn:ci/1",),
            PhaseName.PULL,
            id="the pull has begun",
        ),
        pytest.param(
            task(**PENDING, pull_stopped_at=1.0), (), (), (), PhaseName.START, id="the pull has ended"
        ),
        pytest.param(
            task(last_status="ACTIVATING", pull_stopped_at=1.0),
            (),
            (),
            (),
            PhaseName.START,
            id="it activates",
        ),
        pytest.param(with_health(a="UNKNOWN"), ("healthy",), ("a",), (), PhaseName.LOAD, id="it loads"),
        pytest.param(
            task(), ("initial",), (), (), PhaseName.LOAD, id="the load balancer's check is the only one"
        ),
        pytest.param(
            with_health(a="HEALTHY"), ("unhealthy",), ("a",), (), PhaseName.TRAFFIC, id="then traffic"
        ),
        pytest.param(task(), ("healthy", "draining"), (), (), PhaseName.DRAIN, id="it is through"),
    ],
)
def test_how_far_a_task_has_come(
    shown: Task,
    targets: tuple[str, ...],
    checked: tuple[str, ...],
    leaving: tuple[str, ...],
    phase: PhaseName,
) -> None:
    assert phase_of_task(shown, [TARGET[each] for each in targets], checked, leaving) is phase


@pytest.mark.parametrize(
    ("live", "running", "finished", "phase"),
    [
        pytest.param([], 0, False, PhaseName.PLACEMENT, id="no task yet"),
        pytest.param([task(**PENDING)], 0, True, PhaseName.DRAIN, id="AWS calls it done"),
        pytest.param([task(), task(**PENDING)], 1, False, PhaseName.PULL, id="the last one tells"),
        pytest.param(
            [task(last_status="PROVISIONING"), task(**PENDING)],
            0,
            False,
            PhaseName.PLACEMENT,
            id="of all of them",
        ),
        pytest.param([task(), task()], 2, False, PhaseName.DRAIN, id="all are through"),
        pytest.param([task()], 1, False, PhaseName.DRAIN, id="the one that is there is through"),
    ],
)
def test_the_phase_of_a_rollout_is_that_of_its_last_task(
    live: list[Task], running: int, finished: bool, phase: PhaseName
) -> None:
    found = phase_of(live, (), (), desired_count=2, running_count=running, finished=finished)
    assert found is phase


def test_a_task_waits_for_an_old_container_only_before_its_pull() -> None:
    assert waits_for_old_container(task(**PENDING), {"arn:ci/1"})
    assert not waits_for_old_container(task(**PENDING), set())
    assert not waits_for_old_container(task(**{**PENDING, "last_status": "RUNNING"}), {"arn:ci/1"})
    assert not waits_for_old_container(task(**PENDING, pull_started_at=1.0), {"arn:ci/1"})


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (320, "5 min 20 s"),
        (10_799, "179 min 59 s"),
        (10_800, "3 h"),
        (11_100, "3 h 5 min"),
    ],
)
def test_a_span_as_it_is_said(seconds: float, said: str) -> None:
    assert spoken_span(seconds) == said


@pytest.mark.parametrize(
    ("why", "said"), [("", "It failed."), (" for no reason.  ", "It failed: for no reason.")]
)
def test_a_sentence_ends_with_one_full_stop(why: str, said: str) -> None:
    assert sentence("It failed", why) == said
