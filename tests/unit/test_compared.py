"""What was foreseen beside what came: seen, not seen, never, and ended otherwise."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rollout_looks import rollout

from ecs_gpu_deploy.core.judge.observed import History
from ecs_gpu_deploy.core.judge.stays import Stay
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.core.past.compared import compared_of, score_of
from ecs_gpu_deploy.core.show.compared_view import compared_line, compared_markdown, ended_otherwise
from ecs_gpu_deploy.model import Task
from ecs_gpu_deploy.result import Outcome, PlannedPhase, Predicted, PredictedInterval

AWS = 5000.0
"""AWS's clock is 4000 s ahead of ours, by which the rollout began at 1000."""
PHASES = [("placement", 5.0), ("pull", 45.0), ("start", 48.0), ("load", 170.0), ("drain", 500.0)]
PREDICTED = Predicted(
    ends="succeeds",
    seconds=501.0,
    phases=[PlannedPhase(name=name, began=0.0, ended=ended) for name, ended in PHASES],
    breaker_at=None,
    failures=0,
    gpu_minutes=25.0,
    double_gpu_minutes=8.0,
    launched=0,
    cost=None,
    price_source="",
    durations={},
    timeout=780,
    grace_period=182,
    start_period=121,
    new_gpu_minutes=16.0,
)
NEW = Task(
    arn="new",
    created_at=AWS + 1,
    pull_started_at=AWS + 6,
    pull_stopped_at=AWS + 46,
    started_at=AWS + 50,
    last_status="RUNNING",
)
GONE = Task(arn="old", stopping_at=AWS + 460, stopped_at=AWS + 470.0)
HISTORY = History(
    started_at=1000.0,
    seen_at=1480.0,
    offset=4000.0,
    live=(NEW, replace(NEW, arn="second", pull_started_at=AWS + 8)),
    gone=(GONE,),
    stays=(
        Stay(name="placement", began_at=1000.0, ended_at=1010.0),
        Stay(name="load", began_at=1010.0, ended_at=1175.0),
        Stay(name="drain", began_at=1175.0, ended_at=1480.0),
    ),
)
WELL = Verdict(outcome=Outcome.SUCCEEDED, reason="")
DONE = rollout("SUCCESSFUL", created_at=AWS, finished_at=AWS + 472.0)


def found(verdict=WELL, history=HISTORY, deployment=DONE, predicted=PREDICTED):
    return compared_of(predicted, verdict, history, deployment, gpu_minutes=15.5)


def test_each_time_stands_beside_what_was_seen_of_it() -> None:
    compared = found()
    assert (compared.ends, compared.ended, compared.as_foreseen) == ("succeeds", "succeeds", True)
    assert compared_line(compared) == (
        "succeeds → succeeds · duration 8m21s → 7m52s · placement until 5s → 8s · pull until 45s → 46s "
        "· start until 48s → 50s · load until 2m50s → 2m55s · drain until 8m20s → 7m50s "
        "· breaker never → never · GPU-minutes 16.0 → 15.5"
    )
    assert compared_markdown(compared).splitlines()[3:5] == [
        "| duration | 8m21s | 7m52s |",
        "| placement until | 5s | 8s |",
    ]
    assert ended_otherwise(compared) is None
    score = score_of(PREDICTED, compared, HISTORY, number="1234567890")
    assert score is not None
    assert (score.number, score.predicted, score.actual, score.low) == ("567890", 501.0, 472.0, None)


def test_the_interval_that_was_told_is_held_against_it() -> None:
    interval = PredictedInterval(
        low=480.0, high=520.0, middle=500.0, level=0.8, within=8, rollouts=10, source="its own"
    )
    told = replace(PREDICTED, interval=interval)
    compared = found(predicted=told)
    assert compared.within_interval is False
    assert "outside of the interval" in compared_markdown(compared)
    score = score_of(told, compared, HISTORY, number="1")
    assert score is not None
    assert (score.low, score.high, score.lay_within) == (480.0, 520.0, False)


@pytest.mark.parametrize(
    ("history", "unseen"),
    [
        (replace(HISTORY, live=()), {"placement", "pull", "start"}),
        (
            replace(HISTORY, live=(NEW, Task(arn="pending", created_at=AWS + 3))),
            {"placement", "pull", "start"},
        ),
        (replace(HISTORY, stays=HISTORY.stays[:1]), {"load"}),
        (replace(HISTORY, gone=()), {"drain"}),
        (replace(HISTORY, others=(Task(arn="drains"),)), {"drain"}),
        (replace(HISTORY, gone=(replace(GONE, stopped_at=AWS - 60),)), {"drain"}),
    ],
)
def test_what_no_look_fell_on_is_not_seen(history: History, unseen: set[str]) -> None:
    compared = found(history=history)
    assert {each.name for each in compared.values if not each.seen} == unseen
    assert compared.as_foreseen
    assert "not seen" in compared_line(compared)


def test_a_rollback_that_was_not_foreseen_is_said_plainly() -> None:
    back = rollout(
        "ROLLBACK_SUCCESSFUL",
        created_at=AWS,
        finished_at=AWS + 900.0,
        rollback_started_at=AWS + 600.0,
        breaker_status="TRIGGERED",
    )
    compared = found(verdict=Verdict(outcome=Outcome.ROLLED_BACK, reason=""), deployment=back)
    finding = ended_otherwise(compared)
    assert finding is not None
    assert finding.message == (
        "Foreseen was that the rollout succeeds within 8m21s; it was rolled back after 15m."
    )
    by_name = {each.name: each for each in compared.values}
    assert (by_name["breaker"].predicted, by_name["breaker"].actual) == (None, 600.0)
    assert not by_name["load"].seen
    foreseen = replace(PREDICTED, ends="fails", breaker_at=580.0)
    failed = Verdict(outcome=Outcome.ROLLED_BACK, reason="")
    assert found(verdict=failed, deployment=back, predicted=foreseen).as_foreseen


@pytest.mark.parametrize(
    ("outcome", "ended", "as_foreseen"),
    [
        (Outcome.TIMED_OUT, "not seen", None),
        (Outcome.SUPERSEDED, "not seen", None),
        (Outcome.CANCELLED, "not seen", None),
        (Outcome.STARTED, "not seen", None),
        (Outcome.NO_CAPACITY, "stands still", False),
        (Outcome.FAILED, "fails", False),
    ],
)
def test_an_end_of_our_wait_is_none_of_the_rollout(
    outcome: Outcome, ended: str, as_foreseen: bool | None
) -> None:
    going = rollout("IN_PROGRESS", created_at=AWS)
    compared = found(verdict=Verdict(outcome=outcome, reason="", ours=True), deployment=going)
    assert (compared.ended, compared.as_foreseen) == (ended, as_foreseen)
    assert not compared.values[0].seen
    score = score_of(PREDICTED, compared, HISTORY, number="1")
    assert (score is None) is (as_foreseen is None)
    if score is not None:
        assert score.actual == 480.0
        assert score.ratio is None


def test_what_stands_still_lasts_for_ever_not_for_as_long_as_was_looked_ahead() -> None:
    compared = found(predicted=replace(PREDICTED, ends="stands still", seconds=13546.0, phases=[]))
    assert compared_line(compared).startswith("stands still → succeeds · duration never → 7m52s · ")
    finding = ended_otherwise(compared)
    assert finding is not None
    assert finding.message == "Foreseen was that the rollout stands still; it succeeded after 7m52s."


def test_without_the_service_deployment_our_own_looks_tell() -> None:
    compared = found(deployment=None)
    assert compared.values[0].actual == 480.0
    assert {each.name for each in compared.values if not each.seen} == {"breaker"}
