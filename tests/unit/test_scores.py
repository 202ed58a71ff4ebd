"""What earlier rollouts say of the next: intervals, their coverage, and the tag that keeps them."""

from __future__ import annotations

import random
from dataclasses import replace
from statistics import mean

import pytest

from ecs_gpu_deploy.core.definition.provenance import tag_value
from ecs_gpu_deploy.core.past.scores import (
    LEAST,
    Score,
    all_scores,
    interval_of,
    number_kept,
    ratios_of,
    record_of,
    scored_tag,
    scores_of,
)
from ecs_gpu_deploy.core.show.predicted_view import predicted_markdown, predicted_table, record_sentence
from ecs_gpu_deploy.result import PastDeployment, PastPrediction


def test_fewer_than_five_rollouts_give_no_interval() -> None:
    assert interval_of(480.0, [1.0] * (LEAST - 1)) is None
    found = interval_of(480.0, [1.0] * LEAST)
    assert found is not None
    assert (found.low, found.high, found.middle) == (480.0, 480.0, 480.0)


def test_an_interval_goes_by_the_ranks_of_the_errors_and_says_how_many_lay_within() -> None:
    ratios = [0.91, 0.95, 0.97, 0.99, 1.0, 1.01, 1.02, 1.05, 1.1, 1.2]
    found = interval_of(480.0, ratios)
    assert found is not None
    assert (found.low, found.high, found.middle) == pytest.approx((436.8, 576.0, 482.4))
    # The outermost are outside of what the others say of them.
    assert (found.within, found.rollouts) == (8, 10)
    assert found.level == pytest.approx(9 / 11)
    wide = interval_of(100.0, [1 + number / 100 for number in range(40)])
    assert wide is not None
    assert (wide.low, wide.high, wide.level) == pytest.approx((103.0, 136.0, 33 / 41))


@pytest.mark.parametrize("rollouts", [5, 9, 12, 24, 40])
@pytest.mark.parametrize("kind", ["even", "heavy", "biased"])
def test_the_next_rollout_lies_within_as_often_as_is_said(rollouts: int, kind: str) -> None:
    draw = random.Random(f"{rollouts} {kind}")

    def ratio() -> float:
        if kind == "even":
            return draw.uniform(0.8, 1.3)
        if kind == "biased":
            return 0.7 * draw.lognormvariate(0.0, 0.1)
        return draw.lognormvariate(0.0, 0.1) * (3.0 if draw.random() < 0.1 else 1.0)

    hits, levels = [], set()
    for _ in range(1000):
        found = interval_of(300.0, [ratio() for _ in range(rollouts)])
        assert found is not None
        hits.append(found.low <= 300.0 * ratio() <= found.high)
        levels.add(found.level)
    [level] = levels
    assert mean(hits) == pytest.approx(level, abs=0.04)


@pytest.mark.parametrize("rollouts", [6, 10, 20])
def test_durations_alone_cover_the_next_one_nearly_as_often(rollouts: int) -> None:
    draw = random.Random(rollouts)
    hits, levels = [], set()
    for _ in range(1000):
        lasted = [500.0 * draw.lognormvariate(0.0, 0.15) for _ in range(rollouts + 1)]
        known, following = lasted[:-1], lasted[-1]
        middle = sorted(known)[rollouts // 2]
        found = interval_of(middle, ratios_of(known))
        assert found is not None
        hits.append(found.low <= following <= found.high)
        levels.add(found.level)
    [level] = levels
    # Each is measured against one fewer than the next one is: that errs on the wide side.
    assert level - 0.04 <= mean(hits) <= level + 0.1


def test_the_tag_keeps_the_last_rollouts_with_how_they_ended() -> None:
    back = Score(number="11", predicted=480.4, actual=955.0, ended="rolls back")
    told = Score(number="12", predicted=480.0, actual=455.2, low=440.0, high=580.0)
    kept = scored_tag([back], told)
    assert kept == {"predicted": "11:480/955:well/back 12:480/455:440-580"}
    first, second = scores_of(kept)
    assert (first.is_as_foreseen, first.ratio, first.lay_within) == (False, None, None)
    assert second.is_as_foreseen
    assert second.lay_within
    assert second.ratio == pytest.approx(455 / 480)
    # The same deployment is scored once, by what was said last.
    assert scores_of(scored_tag([first, second], back)) == (second, first)


def test_the_tag_fits_and_lets_the_oldest_go() -> None:
    about: dict[str, str] = {}
    for number in range(30):
        score = Score(
            number=number_kept(f"88{number:017d}"), predicted=4800.0, actual=4550.0, low=4400.0, high=5800.0
        )
        about = scored_tag(scores_of(about), score)
        assert len(about["predicted"]) <= 256
        assert tag_value(about["predicted"]) == about["predicted"]
    assert [each.number[-2:] for each in scores_of(about)] == [f"{n}" for n in range(21, 30)]
    assert list(all_scores([about, {}])) == [each.number for each in scores_of(about)]


@pytest.mark.parametrize(
    "text", ["", "nonsense", "1:2", "1:a/b 3:4/5:6", "1:480/455:well/good", "1:480/12345678"]
)
def test_what_is_no_score_is_left_out(text: str) -> None:
    assert scores_of({"predicted": text}) == ()


def test_the_record_tells_the_median_error_and_how_many_lay_within() -> None:
    def past(actual: float, within: bool | None = None, ends: str = "succeeds", ended: str = "succeeds"):
        return PastPrediction(
            ends=ends, ended=ended, seconds=100.0, actual_seconds=actual, within_interval=within
        )

    scores = [
        past(110.0, within=False),
        past(98.0, within=True),
        past(150.0),
        past(700.0, ended="stands still"),
        past(90.0, ends="fails", ended="rolls back"),
    ]
    found = record_of(scores)
    assert (found.rollouts, found.as_foreseen, found.within, found.told) == (5, 4, 1, 2)
    assert found.error == pytest.approx(0.1)
    assert record_sentence(found) == (
        "5 deployments foreseen: 4 ended as foreseen, median error 10%, 1 of 2 within the interval told."
    )
    assert record_of(()).error is None
    assert record_sentence(record_of(())) == "Nothing was foreseen of the deployments shown here."


def test_the_table_holds_what_is_foreign_and_what_was_not_foreseen() -> None:
    told = PastPrediction(
        ends="succeeds", ended="rolls back", seconds=100.0, actual_seconds=250.0, within_interval=None
    )
    rows = [
        PastDeployment(task_definition_arn="a/rag|\x1b[31m:2", created_at=1.0, predicted=told),
        PastDeployment(task_definition_arn="a/rag:1", outcome="succeeded", seconds=90.0),
    ]
    record = record_of([told])
    never = replace(told, ends="stands still", seconds=13546.0)
    assert "  never  " in predicted_table([replace(rows[0], predicted=never)], record)
    lines = predicted_table(rows, record).splitlines()
    assert lines[1].split("  ")[-1].strip() == "rolls back (foreseen: succeeds)"
    assert "\x1b" not in lines[1]
    assert lines[2].split() == ["rag:1", "not", "foreseen", "1m30s", "succeeded"]
    assert lines[-1] == "1 deployment foreseen: 0 ended as foreseen."
    shown = predicted_markdown(rows, record).splitlines()
    assert shown[2].startswith("| `rag\\|:2` | 1970-01-01 00:00 | 1m40s | 4m10s |  |")
