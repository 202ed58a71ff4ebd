"""What is remembered of a rollout from look to look."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from rollout_looks import (
    FOREIGN,
    OLD,
    OURS,
    OURS_DONE,
    OURS_GOING,
    OURS_WAITING,
    WATCHED,
    crashed,
    deployment,
    look,
    rollout,
    service,
    unplaced,
)

from ecs_gpu_deploy.core.judge.observed import (
    History,
    Snapshot,
    Watched,
    clock_offset,
    history_at_start,
    leaving_instances,
    observed,
    up_seconds,
)
from ecs_gpu_deploy.core.judge.phases import PhaseName
from ecs_gpu_deploy.model import Container, LifecycleHook, TargetHealth, Task


def seen(*snapshots: Snapshot, watched: Watched = WATCHED) -> History:
    history = history_at_start(watched)
    for snapshot in snapshots:
        history = observed(watched, history, snapshot)
    return history


def task(number: int = 1, status: str = "RUNNING", **more: Any) -> Task:
    given: dict[str, Any] = {"started_by": OURS, "desired_status": "RUNNING", "last_status": status}
    return Task(arn=f"arn:t/{number}", **{**given, **more})


def old_task(number: int = 9, **more: Any) -> Task:
    return task(number, **{"started_by": OLD, "container_instance_arn": f"arn:ci/{number}", **more})


def going(at: float, *tasks: Task, shown: Any = OURS_GOING, **more: Any) -> Snapshot:
    return replace(look(at, shown, rollout("IN_PROGRESS"), tasks=tasks), **more)


def test_tasks_are_ours_by_who_started_them() -> None:
    ours, other, gone = task(1), old_task(), task(2, "STOPPED", stopped_at=1090.0)
    history = seen(going(1100, ours, other, gone, old_task(8, last_status="STOPPED")))
    assert (history.live, history.others, history.stopped) == ((ours,), (other,), (gone,))


def test_a_look_without_tasks_changes_none() -> None:
    first = seen(going(1100, task(1), crashed(2)))
    second = observed(WATCHED, first, replace(going(1110), tasks=None))
    assert (second.live, second.stopped, second.running_since) == (
        first.live,
        first.stopped,
        first.running_since,
    )


def test_ended_tasks_are_remembered_once_and_in_the_order_of_their_end() -> None:
    late, early = task(1, "STOPPED", stopped_at=1090.0), task(2, "STOPPED", stopped_at=1080.0)
    open_end = task(3, "STOPPED")
    history = seen(going(1085, open_end), going(1100, late, early, open_end), going(1110, late))
    assert [each.arn for each in history.stopped] == ["arn:t/3", "arn:t/2", "arn:t/1"]


def test_failures_are_counted_from_the_last_healthy_task_on() -> None:
    history = seen(going(1100, crashed(1), crashed(2)))
    assert len(history.since_healthy) == 2
    stopped_by_hand = task(3, "STOPPED", stop_code="UserInitiated", stopped_reason="it failed")
    history = observed(WATCHED, history, going(1110, crashed(1), stopped_by_hand, task(4)))
    assert (len(history.since_healthy), history.healthy) == (2, 0), "not healthy before 40 s"
    history = observed(WATCHED, history, going(1149, task(4)))
    assert history.healthy == 0
    history = observed(WATCHED, history, going(1150, task(4), crashed(5)))
    assert (history.since_healthy, history.healthy) == ((), 1)
    history = observed(WATCHED, history, going(1200, crashed(6)))
    assert [each.arn for each in history.since_healthy] == ["arn:t/6"]


def test_a_task_is_up_since_it_was_first_seen_running_or_since_aws_says_so() -> None:
    history = seen(going(1100, task(1)), going(1150, task(1), task(2, "PENDING")))
    assert up_seconds(history, task(1), 1170) == 70
    assert up_seconds(history, task(2), 1170) == 0
    assert up_seconds(history, task(1, started_at=1.0), 1170) == 70, "AWS's clock is not known"
    ahead = replace(OURS_GOING, deployments=(deployment(OURS, state="IN_PROGRESS", created_at=1600.0),))
    history = seen(going(1100, task(1), shown=ahead))
    assert history.offset == 600
    assert up_seconds(history, task(1, started_at=1650.0), 1170) == 120
    assert up_seconds(history, task(1, started_at=1740.0), 1170) == 70
    history = observed(WATCHED, history, going(1180, task(2), shown=ahead))
    assert "arn:t/1" not in history.running_since


def test_awss_clock_is_told_by_when_our_deployment_began_and_once() -> None:
    assert clock_offset(WATCHED, None) is None
    assert clock_offset(WATCHED, deployment(OURS)) is None
    later = service(deployment(OURS, state="IN_PROGRESS", created_at=1010.0))
    assert seen(going(1100), going(1110, shown=later)).offset == 10
    assert (
        seen(going(1100, shown=later), going(1110, shown=service(deployment(OURS, created_at=9.0)))).offset
        == 10
    )


def test_old_tasks_on_their_way_out_are_remembered_with_their_instances() -> None:
    leaving = old_task(desired_status="STOPPED")
    history = seen(
        going(1100, leaving, old_task(8)), going(1110, leaving, old_task(7, desired_status="STOPPED"))
    )
    assert history.leaving_since == {"arn:t/9": 1100, "arn:t/7": 1110}
    assert leaving_instances(history) == {"arn:ci/9", "arn:ci/7"}
    nowhere = old_task(desired_status="STOPPED", container_instance_arn="")
    assert leaving_instances(seen(going(1100, nowhere))) == frozenset()
    assert seen(going(1100, leaving), going(1110, old_task(8))).leaving_since == {}


# For how long nothing of ours has found a place.


def waiting(at: float, *tasks: Task, refused_at: float | None = None, **more: Any) -> Snapshot:
    events = () if refused_at is None else (unplaced(refused_at),)
    return going(at, *tasks, shown=replace(OURS_WAITING, events=events), **more)


@pytest.mark.parametrize(
    ("looks", "since", "counted"),
    [
        pytest.param([waiting(1010)], None, None, id="nothing was refused"),
        pytest.param([waiting(1020, refused_at=1010)], 1020, 1020, id="since we saw the refusal"),
        pytest.param(
            [waiting(1020, refused_at=1010), waiting(1080, refused_at=1070)],
            1020,
            1020,
            id="the first refusal counts",
        ),
        pytest.param([waiting(1020, task(1, "PROVISIONING"))], 1020, 1020, id="a task waits for an instance"),
        pytest.param(
            [waiting(1020, refused_at=1010), waiting(1080, task(1, "PENDING"), task(2, "PENDING"))],
            None,
            None,
            id="all tasks found a place",
        ),
        pytest.param(
            [waiting(1020, refused_at=1010), waiting(1080, task(1, "PENDING"))],
            1080,
            1080,
            id="a task found a place and the other one none",
        ),
        pytest.param(
            [
                waiting(1020, refused_at=1010),
                waiting(1080, task(1, "STOPPED", started_at=1050), task(2, "PENDING"), task(3, "PENDING")),
            ],
            None,
            None,
            id="and one has ended since",
        ),
        pytest.param(
            [
                waiting(1020, refused_at=1010),
                waiting(1080, task(1, "STOPPED", started_at=1050, stop_code="EssentialContainerExited")),
            ],
            None,
            None,
            id="and failed, so that ECS may wait before it starts the next",
        ),
        pytest.param(
            [waiting(1020, refused_at=1010), waiting(1080, task(1, "STOPPED"))],
            1020,
            1020,
            id="a task that ECS gave up before it had a place found none",
        ),
        pytest.param(
            [waiting(1020, task(1, "PENDING")), waiting(1080, task(1, "PENDING"), refused_at=1070)],
            1080,
            1080,
            id="a second one finds none",
        ),
        pytest.param(
            [waiting(1020, refused_at=1010), going(1080)], None, None, id="as many run as are asked for"
        ),
        pytest.param(
            [waiting(1020, task(1, "PROVISIONING")), going(1080, task(1, "PROVISIONING"))],
            1020,
            1020,
            id="but one of them still waits",
        ),
        pytest.param(
            [waiting(1020, refused_at=1010), waiting(1080, old_task(desired_status="STOPPED"))],
            1020,
            1080,
            id="an old task on its way out holds the count",
        ),
        pytest.param(
            [
                waiting(1020, old_task(desired_status="STOPPED"), refused_at=1010),
                waiting(1109, old_task(desired_status="STOPPED")),
                waiting(1110, old_task(desired_status="STOPPED")),
            ],
            1020,
            1109,
            id="but not for longer than it may take to leave",
        ),
        pytest.param(
            [
                waiting(1020, refused_at=1010, instances=frozenset({"a"})),
                waiting(1080, instances=frozenset({"a"})),
            ],
            1020,
            1020,
            id="the same instances",
        ),
        pytest.param(
            [
                waiting(1020, refused_at=1010, instances=frozenset({"a"})),
                waiting(1050, instances=None),
                waiting(1080, instances=frozenset({"b"})),
                waiting(1090, instances=frozenset()),
            ],
            1020,
            1080,
            id="a new instance restarts the count",
        ),
        pytest.param(
            [waiting(1020, refused_at=1010), waiting(1080, instances=frozenset({"a"}))],
            1020,
            1020,
            id="the first sight of the instances is no news",
        ),
    ],
)
def test_since_when_nothing_found_a_place(
    looks: list[Snapshot], since: float | None, counted: float | None
) -> None:
    # The first looks come at the beginning, so that what they show is no progress.
    history = seen(waiting(1001), *looks)
    assert (history.unplaced_since, history.placement_from) == (since, counted)


@pytest.mark.parametrize(
    ("at", "told_at", "stage", "since"),
    [
        pytest.param(1059, 900, "", None, id="within the first minute a task may still come"),
        pytest.param(1060, 900, "", 1000, id="AWS does not repeat what it has told"),
        pytest.param(1060, 900, "SCALE_UP", 1000, id="in the stage that starts tasks too"),
        pytest.param(1060, 900, "PRE_SCALE_UP", None, id="a hook holds the start back"),
        pytest.param(1060, -21_000, "", None, id="after six hours it would be repeated"),
    ],
)
def test_a_refusal_told_before_the_rollout_is_its_own_while_no_task_is_started(
    at: float, told_at: float, stage: str, since: float | None
) -> None:
    watched = replace(WATCHED, known_events=frozenset({unplaced(told_at).id}))
    deployment = rollout("IN_PROGRESS", lifecycle_stage=stage)
    history = history_at_start(watched)
    for moment in (1001, at):
        snapshot = replace(waiting(moment, refused_at=told_at), deployment=deployment)
        history = observed(watched, history, snapshot)
    assert history.unplaced_since == since
    placed = replace(waiting(at + 5, task(1, "PENDING"), refused_at=told_at), deployment=deployment)
    assert observed(watched, history, placed).unplaced_since is None


@pytest.mark.parametrize(
    ("created", "refused_at", "since"),
    [
        pytest.param(1600.0, 1615.0, 1015, id="by AWS's clock, which is 600 s ahead"),
        pytest.param(1600.0, 1500.0, 1000, id="not before the rollout began"),
        pytest.param(1600.0, 9999.0, 1020, id="not after the look"),
    ],
)
def test_a_refusal_counts_from_its_own_time_where_awss_clock_is_known(
    created: float, refused_at: float, since: float
) -> None:
    shown = service(
        deployment(OURS, state="IN_PROGRESS", running=0, created_at=created), events=(unplaced(refused_at),)
    )
    assert seen(going(1020, shown=shown)).unplaced_since == since


def test_why_there_is_no_place_is_kept_until_a_whole_look_says_nothing() -> None:
    why: Any = object()
    history = seen(waiting(1020, refused_at=1010, shortage=why), waiting(1030))
    assert history.shortage is why
    assert observed(WATCHED, history, waiting(1040, is_whole=True)).shortage is None
    assert observed(WATCHED, history, waiting(1040, task(1, "PENDING"), task(2, "PENDING"))).shortage is None
    assert seen(waiting(1020, shortage=why)).shortage is None, "nothing waits for a place"


# First sights.


def test_since_when_the_service_is_missing_or_silent() -> None:
    gone = look(1100, None)
    assert seen(gone, replace(gone, at=1110)).missing_since == 1100
    assert seen(gone, going(1110)).missing_since is None
    silent = going(1100, stale=True)
    assert seen(silent, replace(silent, at=1110)).silent_since == 1100
    assert seen(silent, going(1110)).silent_since is None


def test_since_when_it_succeeded_or_another_one_took_its_place() -> None:
    done = look(1100, OURS_DONE, rollout("SUCCESSFUL"))
    assert seen(done, replace(done, at=1110)).success_since == 1100
    assert seen(done, going(1110)).success_since is None
    other = look(1100, service(deployment(FOREIGN)), rollout("IN_PROGRESS"))
    assert seen(other, replace(other, at=1110)).foreign_since == 1100
    assert seen(other, going(1110)).foreign_since is None
    assert seen(replace(other, stale=True)).foreign_since is None


def test_success_by_the_classic_view_needs_ours_primary_completed_and_no_other_way_to_know() -> None:
    done = look(1100, OURS_DONE, closed=True)
    assert seen(done).success_since == 1100
    assert seen(replace(done, api_closed=False)).success_since is None
    assert seen(replace(done, service=service(deployment(OURS, "ACTIVE")))).success_since is None
    assert seen(replace(done, service=service(deployment(OURS, state="IN_PROGRESS")))).success_since is None
    assert seen(replace(done, service=service(deployment(OLD)))).success_since is None


def test_what_was_asked_for_before_it_was_done() -> None:
    assert seen(going(1100, shown=replace(OURS_GOING, desired_count=3))).desired_asked == 3
    done = look(1110, replace(OURS_DONE, desired_count=5), rollout("SUCCESSFUL"))
    assert seen(going(1100), done).desired_asked == 2
    assert (
        seen(going(1100), going(1105, stale=True, shown=replace(OURS_GOING, desired_count=9))).desired_asked
        == 2
    )


def test_the_first_failure_and_the_last_reason() -> None:
    def failed(at: float, why: str) -> Snapshot:
        return look(at, service(deployment(OURS, state="FAILED", rollout_state_reason=why)), closed=True)

    history = seen(failed(1100, "one"), failed(1110, "two"), going(1120))
    assert (history.failed_since, history.failure_reason) == (1100, "two")
    assert (seen(going(1100)).failed_since, seen(going(1100)).ours_seen) == (None, True)
    assert not seen(look(1100, service(deployment(OLD)))).ours_seen
    assert seen(going(1100), look(1110, service(deployment(OLD)))).ours_seen


def test_targets_are_kept_until_they_are_shown_again() -> None:
    one = (TargetHealth(target_group_arn="arn:tg", target_id="i", state="initial"),)
    assert seen(going(1100, target_health=one), going(1110)).target_health == one
    assert seen(going(1100, target_health=one), going(1110, target_health=())).target_health == ()


def test_events_from_before_and_those_seen_already_are_not_new() -> None:
    one, two = unplaced(1010), unplaced(1020)
    watched = replace(WATCHED, known_events=frozenset({one.id}))
    shown = replace(OURS_WAITING, events=(two, one))
    history = seen(going(1030, shown=shown), going(1040, shown=shown), watched=watched)
    assert history.events == (two,)
    assert seen(going(1030, shown=shown, stale=True)).events == ()


# Phases.


def test_each_phase_is_given_its_seconds_and_progress_moves_its_deadline() -> None:
    history = seen(
        going(1005, shown=OURS_WAITING),
        going(1010, task(1, "PENDING"), shown=OURS_WAITING),
        going(1060, task(1, "PENDING"), shown=OURS_WAITING),
        going(1090, task(1, "PENDING", pull_stopped_at=1085.0), shown=OURS_WAITING),
        going(1100, task(1, "PENDING", pull_stopped_at=1085.0), task(2, "PENDING"), shown=OURS_WAITING),
        going(1150, task(1), task(2, "PENDING"), shown=OURS_WAITING),
    )
    assert history.seconds == {PhaseName.PLACEMENT: 10, PhaseName.PULL: 130, PhaseName.START: 10}
    assert (history.phase, history.phase_since, history.progress_at) == (PhaseName.PULL, 1100, 1150)
    assert [(s.name, s.began_at, s.ended_at) for s in history.stays] == [
        ("placement", 1000, 1010),
        ("pull", 1010, 1090),
        ("start", 1090, 1100),
        ("pull", 1100, 1150),
    ]
    assert history.allowed[PhaseName.PULL] == 130
    assert history.allowed[PhaseName.START] == 0


def test_a_clock_that_goes_back_takes_no_time_away() -> None:
    assert seen(going(1050), going(1040)).seconds == {PhaseName.PLACEMENT: 50}


def test_while_aws_rolls_back_the_phase_stays_what_it_was() -> None:
    history = seen(
        going(1010, task(1, "PENDING")),
        replace(look(1100, OURS_GOING, rollout("ROLLBACK_IN_PROGRESS")), tasks=(task(1),)),
    )
    assert history.phase is PhaseName.PULL


def test_a_task_that_is_told_to_stop_does_not_hold_the_phase_back() -> None:
    stopping = task(2, "PENDING", desired_status="STOPPED")
    checked = replace(WATCHED, checked_containers=frozenset({"rag"}))
    loading = task(1, containers=(Container(name="rag", health_status="UNKNOWN"),))
    assert seen(going(1010, loading, stopping), watched=checked).phase is PhaseName.LOAD


@pytest.mark.parametrize(
    ("then", "further"),
    [
        pytest.param(going(1100, task(1, "PENDING"), shown=OURS_WAITING), False, id="nothing has moved"),
        pytest.param(
            going(1100, task(1, "PENDING"), shown=service(deployment(OURS, state="IN_PROGRESS", running=0))),
            True,
            id="old tasks have gone",
        ),
        pytest.param(
            going(
                1100,
                task(1, "PENDING"),
                shown=OURS_WAITING,
                deployment=rollout("IN_PROGRESS", production_traffic=10.0),
            ),
            True,
            id="traffic has moved",
        ),
        pytest.param(
            going(
                1100,
                task(1, "PENDING"),
                shown=OURS_WAITING,
                deployment=rollout("IN_PROGRESS", hooks=(LifecycleHook(id="h", status="AWAITING_ACTION"),)),
            ),
            True,
            id="a hook waits for somebody",
        ),
        pytest.param(
            going(
                1100,
                task(1, "PENDING"),
                shown=OURS_WAITING,
                deployment=rollout("IN_PROGRESS", hooks=(LifecycleHook(id="h", status="IN_PROGRESS"),)),
            ),
            False,
            id="a hook runs",
        ),
        pytest.param(
            going(1100, task(3, "PENDING"), crashed(1), shown=OURS_WAITING), False, id="another attempt"
        ),
    ],
)
def test_what_counts_as_progress(then: Snapshot, further: bool) -> None:
    history = seen(going(1010, task(1, "PENDING"), shown=OURS_WAITING), then)
    assert history.phase is PhaseName.PULL
    assert history.progress_at == (1100 if further else 1010)
