"""The judge, on what AWS shows: verdicts by the service-deployment API and by the classic deployments."""

from dataclasses import replace

import pytest
from rollout_looks import (
    BACK_TO_OLD,
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
    verdict,
)

from ecs_gpu_deploy.core.judge.rollout import Snapshot, Verdict, Waiting, history_at_start, observed
from ecs_gpu_deploy.model import CircuitBreaker, Container, Event, Task
from ecs_gpu_deploy.result import Outcome


def test_success_is_said_when_aws_calls_ours_successful_and_ours_is_primary():
    assert verdict(look(1100, OURS_DONE, rollout("SUCCESSFUL"))).outcome == Outcome.SUCCEEDED


def test_running_equals_desired_while_in_progress_is_no_success():
    """Peers: exit 0 "verified: rolloutState=IN_PROGRESS" (amazon-ecs-deploy-task-definition #838)."""
    assert isinstance(verdict(look(1100, OURS_GOING, rollout("IN_PROGRESS"))), Waiting)


def test_fewer_running_than_desired_after_success_is_waited_for_and_then_a_failure():
    short = service(deployment(OURS, running=1))
    assert isinstance(verdict(look(1100, short, rollout("SUCCESSFUL"))), Waiting)
    late = verdict(look(1100, short, rollout("SUCCESSFUL")), look(1161, short, rollout("SUCCESSFUL")))
    assert late.outcome == Outcome.FAILED
    assert "1 of 2" in late.reason


def test_early_success_needs_only_its_share():
    half = service(deployment(OURS, running=1), early_success_percent=50)
    assert verdict(look(1100, half, rollout("SUCCESSFUL"))).outcome == Outcome.SUCCEEDED


def test_another_image_than_the_pushed_one_is_a_failure_with_both_digests():
    task = Task(
        arn="arn:t/1",
        started_by=OURS,
        last_status="RUNNING",
        containers=(Container(name="rag", image_digest="sha256:bbb"),),
    )
    watched = replace(WATCHED, digests={"rag": ("sha256:aaa",)})
    snapshots = [look(at, OURS_DONE, rollout("SUCCESSFUL"), tasks=(task,)) for at in (1100, 1170)]
    answer = verdict(*snapshots, watched=watched)
    assert answer.outcome == Outcome.FAILED
    assert "sha256:aaa" in answer.reason
    assert "sha256:bbb" in answer.reason


@pytest.mark.parametrize("runs", ["sha256:index", "sha256:amd64"])
def test_a_task_of_an_index_may_report_it_or_the_image_in_it(runs):
    task = Task(
        arn="arn:t/1",
        started_by=OURS,
        last_status="RUNNING",
        containers=(Container(name="rag", image_digest=runs),),
    )
    watched = replace(WATCHED, digests={"rag": ("sha256:index", "sha256:amd64", "sha256:arm64")})
    answer = verdict(look(1100, OURS_DONE, rollout("SUCCESSFUL"), tasks=(task,)), watched=watched)
    assert answer.outcome == Outcome.SUCCEEDED


def test_desired_zero_is_no_success_unless_allowed_and_then_said():
    zero = service(deployment(OURS, running=0), desired=0)
    assert verdict(look(1100, zero, rollout("SUCCESSFUL"))).outcome == Outcome.FAILED
    allowed = verdict(
        look(1100, zero, rollout("SUCCESSFUL")), watched=replace(WATCHED, allow_desired_zero=True)
    )
    assert allowed.outcome == Outcome.SUCCEEDED
    assert "desired count of 0" in allowed.reason


def test_a_rollback_is_waited_for_and_then_called_by_name():
    reason = "Service deployment rolled back because the circuit breaker threshold was exceeded."
    going = verdict(look(1100, BACK_TO_OLD, rollout("ROLLBACK_IN_PROGRESS", rollback_reason=reason)))
    assert isinstance(going, Waiting)
    assert going.rolling_back
    done = verdict(look(1200, BACK_TO_OLD, rollout("ROLLBACK_SUCCESSFUL", rollback_reason=reason)))
    assert done.outcome == Outcome.ROLLED_BACK
    assert "circuit breaker threshold was exceeded" in done.reason


def test_a_failed_rollback_is_a_failure():
    answer = verdict(
        look(
            1200,
            OURS_GOING,
            rollout("ROLLBACK_FAILED", status_reason="No rollback candidate was found to run the rollback."),
        )
    )
    assert answer.outcome == Outcome.FAILED
    assert "No rollback candidate" in answer.reason


@pytest.mark.parametrize("status", ["STOPPED", "STOP_REQUESTED"])
def test_stopped_by_a_newer_deployment_is_superseded_and_not_blamed_on_the_breaker(status):
    newer = service(deployment(FOREIGN, state="IN_PROGRESS"), deployment(OURS, "ACTIVE", "IN_PROGRESS"))
    answer = verdict(look(1100, newer, rollout(status)))
    assert answer.outcome == Outcome.SUPERSEDED
    assert FOREIGN in answer.reason


def test_stopped_by_the_breaker_without_rollback_is_a_failure():
    failed = service(
        deployment(
            OURS,
            state="FAILED",
            running=0,
            rollout_state_reason="ECS deployment circuit breaker: tasks failed to start.",
        ),
        deployment(OLD, "ACTIVE"),
        breaker=CircuitBreaker(enable=True, rollback=False),
    )
    answer = verdict(look(1300, failed, rollout("STOP_REQUESTED")))
    assert answer.outcome == Outcome.FAILED
    assert "tasks failed to start" in answer.reason


def test_an_unknown_status_is_waited_on():
    assert isinstance(verdict(look(1100, OURS_GOING, rollout("PAUSED_BY_MARTIANS"))), Waiting)


def test_a_deleted_service_ends_the_wait_once_it_is_beyond_doubt():
    """One answer without the service is doubted (docs/aws-facts.md#eventual-consistency)."""
    assert isinstance(verdict(look(1100, None)), Waiting)
    assert verdict(look(1100, None), look(1251, None)).outcome == Outcome.FAILED
    assert isinstance(verdict(look(1100, None), look(1150, OURS_GOING), look(1251, None)), Waiting)
    gone = replace(OURS_GOING, status="INACTIVE")
    assert verdict(look(1100, gone)).outcome == Outcome.FAILED


def test_classic_success_needs_completed():
    assert isinstance(verdict(look(1100, OURS_GOING, closed=True)), Waiting)
    assert verdict(look(1100, OURS_DONE, closed=True)).outcome == Outcome.SUCCEEDED


def test_classic_rollback_is_told_by_the_old_id_becoming_primary():
    going = service(deployment(OLD, state="IN_PROGRESS"), deployment(OURS, "DRAINING", "FAILED"))
    answer = verdict(look(1100, going, closed=True), look(1200, BACK_TO_OLD, closed=True))
    assert answer.outcome == Outcome.ROLLED_BACK


def test_classic_rollback_to_a_new_id_is_told_by_its_event():
    event = Event(id="e", created_at=1100, message="(service s) rolling back to deployment ecs-svc/3.")
    back = service(deployment(FOREIGN), events=(event,))
    assert verdict(look(1200, back, closed=True)).outcome == Outcome.ROLLED_BACK


def test_classic_superseded_is_told_by_a_new_id():
    newer = service(deployment(FOREIGN, state="IN_PROGRESS"))
    assert verdict(look(1100, newer, closed=True)).outcome == Outcome.SUPERSEDED


def test_while_the_api_may_still_answer_the_classic_view_gives_no_success():
    assert isinstance(verdict(look(1001, OURS_DONE)), Waiting)


def test_no_room_for_the_placement_timeout_is_no_capacity():
    shown = replace(OURS_WAITING, events=(unplaced(1010),))
    assert isinstance(verdict(look(1020, shown, rollout("IN_PROGRESS"))), Waiting)
    answer = verdict(look(1020, shown, rollout("IN_PROGRESS")), look(1921, shown, rollout("IN_PROGRESS")))
    assert answer.outcome == Outcome.NO_CAPACITY
    assert answer.ours


def test_one_placement_event_followed_by_a_placed_task_is_no_failure():
    """Peers: one event → exit 1 at once, even when placed 10 s later (fabfuel/ecs-deploy)."""
    shown = replace(OURS_WAITING, events=(unplaced(1010),))
    both = tuple(
        Task(arn=f"arn:t/{n}", started_by=OURS, last_status="PENDING", created_at=1020) for n in (1, 2)
    )
    answer = verdict(
        look(1011, shown, rollout("IN_PROGRESS")),
        look(1021, shown, rollout("IN_PROGRESS"), tasks=both),
        look(1990, shown, rollout("IN_PROGRESS"), tasks=both),
    )
    assert isinstance(answer, Waiting)


def test_one_of_two_that_found_a_place_leaves_the_other_without_one():
    shown = replace(OURS_WAITING, events=(unplaced(1010),))
    task = Task(arn="arn:t/1", started_by=OURS, last_status="PENDING", created_at=1020)
    first, placed = (
        look(1011, shown, rollout("IN_PROGRESS")),
        look(1021, shown, rollout("IN_PROGRESS"), tasks=(task,)),
    )
    assert isinstance(verdict(first, placed, replace(placed, at=1920)), Waiting)
    answer = verdict(first, placed, replace(placed, at=1922))
    assert answer.outcome == Outcome.NO_CAPACITY
    full = replace(shown, maximum_percent=100)
    looks = (replace(each, service=full) for each in (first, placed, replace(placed, at=1922)))
    assert isinstance(verdict(*looks), Waiting), "maximumPercent lets no more start"


def test_a_crash_loop_without_a_breaker_is_called_after_the_breakers_own_threshold():
    going = replace(OURS_GOING, circuit_breaker=CircuitBreaker())
    two = look(1200, going, rollout("IN_PROGRESS"), tasks=(crashed(1), crashed(2)))
    three = look(1300, going, rollout("IN_PROGRESS"), tasks=(crashed(3),))
    assert isinstance(verdict(two), Waiting)
    answer = verdict(two, three)
    assert answer.outcome == Outcome.FAILED
    assert "3 tasks in a row" in answer.reason
    assert answer.ours


def test_failures_of_different_kinds_are_no_crash_loop():
    going = replace(OURS_GOING, circuit_breaker=CircuitBreaker())
    mixed = (crashed(1), crashed(2, exit_code=137), crashed(3))
    assert isinstance(verdict(look(1200, going, rollout("IN_PROGRESS"), tasks=mixed)), Waiting)


def test_with_a_breaker_the_verdict_is_left_to_it():
    loop = tuple(crashed(n) for n in range(5))
    assert isinstance(verdict(look(1200, OURS_GOING, rollout("IN_PROGRESS"), tasks=loop)), Waiting)


def test_percentages_that_deadlock_are_called_at_once():
    event = Event(
        id="e",
        created_at=1010,
        message="(service s) was unable to stop or start tasks during a deployment because of the service "
        "deployment configuration. Update the minimumHealthyPercent or maximumPercent value and try again.",
    )
    shown = replace(OURS_GOING, events=(event,), minimum_healthy_percent=100, maximum_percent=100)
    answer = verdict(look(1020, shown, rollout("IN_PROGRESS")))
    assert answer.outcome == Outcome.FAILED
    assert "minimumHealthyPercent 100 and maximumPercent 100" in answer.reason


def test_the_timeout_says_where_it_stood():
    answer = verdict(
        look(1010, OURS_GOING, rollout("IN_PROGRESS")), look(4600, OURS_GOING, rollout("IN_PROGRESS"))
    )
    assert answer.outcome == Outcome.TIMED_OUT
    assert "60 min" in answer.reason
    assert isinstance(answer, Verdict)


def test_stable_at_25_minutes_of_30_is_a_success_and_no_timeout():
    watched = replace(WATCHED, timeout=1800.0)
    answer = verdict(
        look(1010, OURS_GOING, rollout("IN_PROGRESS")),
        look(2500, OURS_DONE, rollout("SUCCESSFUL")),
        watched=watched,
    )
    assert answer.outcome == Outcome.SUCCEEDED


def test_nothing_is_judged_from_a_service_that_was_seen_before_the_deployment():
    """The service as it was before shows the old id as PRIMARY and COMPLETED: that is no rollback."""
    stale = Snapshot(at=1005, service=BACK_TO_OLD, deployment=None, api_closed=True, stale=True)
    assert isinstance(verdict(stale), Waiting)


def test_success_is_not_confirmed_by_counts_from_before():
    stale = Snapshot(at=1100, service=OURS_WAITING, deployment=rollout("SUCCESSFUL"), stale=True)
    late = replace(stale, at=1200)
    assert isinstance(verdict(stale, late), Waiting)


@pytest.mark.parametrize("closed", [True, False], ids=["classic", "by the API"])
def test_a_runner_whose_clock_is_wrong_sees_the_same_events(closed):
    """AWS's clock is a quarter of an hour behind ours: events are told apart by their ids, not times."""
    old, new = unplaced(40), replace(unplaced(150), id="new")
    watched = replace(WATCHED, known_events=frozenset({old.id}))
    shown = replace(OURS_WAITING, events=(new, old))
    deployed = None if closed else rollout("IN_PROGRESS")
    looks = [look(at, shown, deployed, closed=closed) for at in (1010, 1911)]
    history = observed(watched, history_at_start(watched), looks[0])
    assert [event.id for event in history.events] == ["new"]
    assert verdict(*looks, watched=watched).outcome == Outcome.NO_CAPACITY


def test_events_out_of_order_are_kept_in_the_order_of_their_times():
    early, late = replace(unplaced(1010), id="a"), replace(unplaced(1020), id="b")
    history = history_at_start(WATCHED)
    for at, event in ((1030, late), (1035, early)):
        history = observed(WATCHED, history, look(at, replace(OURS_WAITING, events=(event,))))
    assert [event.id for event in history.events] == ["a", "b"]


def test_the_one_event_that_matters_is_found_behind_a_hundred_others():
    noise = tuple(
        Event(id=f"n{n}", created_at=1100 + n, message=f"(service s) has started 1 tasks: (task {n}).")
        for n in range(99)
    )
    shown = replace(OURS_WAITING, events=(*reversed(noise), unplaced(1010)))
    answer = verdict(look(1200, shown, rollout("IN_PROGRESS")), look(2101, shown, rollout("IN_PROGRESS")))
    assert answer.outcome == Outcome.NO_CAPACITY


def test_a_failed_primary_with_nothing_to_roll_back_to_is_final_at_once():
    alone = service(
        deployment(OURS, state="FAILED", running=0, rollout_state_reason="tasks failed to start.")
    )
    answer = verdict(look(1300, alone, closed=True))
    assert answer.outcome == Outcome.FAILED
    assert "No rollback candidate" in answer.reason


def test_a_failed_primary_is_given_a_moment_where_a_rollback_may_just_begin():
    failed = service(deployment(OURS, state="FAILED", running=0), deployment(OLD, "ACTIVE"))
    assert isinstance(verdict(look(1300, failed, closed=True)), Waiting)
    assert verdict(look(1300, failed, closed=True), look(1325, failed, closed=True)).outcome == Outcome.FAILED


def test_a_healthy_task_between_failures_begins_the_count_anew():
    """Without a check a task is healthy after 40 s (docs/aws-facts.md#healthy-after-40-seconds)."""
    going = replace(OURS_GOING, circuit_breaker=CircuitBreaker())
    healthy = Task(arn="arn:t/h", started_by=OURS, last_status="RUNNING", created_at=1150)
    answer = verdict(
        look(1100, going, rollout("IN_PROGRESS"), tasks=(crashed(1), crashed(2))),
        look(1110, going, rollout("IN_PROGRESS"), tasks=(healthy,)),
        look(1150, going, rollout("IN_PROGRESS"), tasks=(healthy,)),
        look(1200, going, rollout("IN_PROGRESS"), tasks=(crashed(3),)),
    )
    assert isinstance(answer, Waiting)


def test_progress_moves_the_deadline_and_a_crash_loop_does_not():
    pulling = Task(arn="arn:t/1", started_by=OURS, last_status="PENDING", created_at=1000)
    running = replace(pulling, last_status="RUNNING", started_at=1200)
    watched = replace(WATCHED, checked_containers=frozenset({"rag"}))
    history = history_at_start(watched)
    second = replace(running, arn="arn:t/2")
    for at, tasks in ((1010, (pulling,)), (1200, (running,)), (1300, (running,)), (1400, (running, second))):
        history = observed(watched, history, look(at, OURS_WAITING, rollout("IN_PROGRESS"), tasks=tasks))
    assert (history.phase, history.phase_since, history.progress_at) == ("load", 1200, 1400)
    assert history.allowed == {"pull": 0, "load": 200}
    history = observed(
        watched, history, look(1500, OURS_WAITING, rollout("IN_PROGRESS"), tasks=(crashed(1), second))
    )
    assert history.progress_at == 1400


def test_what_is_kept_of_six_hours_does_not_grow():
    history = history_at_start(WATCHED)
    sizes = []
    for step in range(4320):
        at = 1000 + 5 * step
        event = Event(id=f"e{step}", created_at=at, message="(service s) has started 1 tasks: (task t).")
        shown = replace(OURS_GOING, events=(event,))
        history = observed(WATCHED, history, look(at, shown, rollout("IN_PROGRESS"), tasks=(crashed(step),)))
        sizes.append(len(history.events) + len(history.stopped) + len(history.since_healthy))
    assert max(sizes) <= 1000
    assert sizes[-1] == sizes[len(sizes) // 2]
