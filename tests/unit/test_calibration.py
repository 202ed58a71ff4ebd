"""The past as AWS and our tags keep it: what is fitted, what compares, and that the truth is found again."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from rollout_worlds import PLAIN, Case, begun, rolled_out, scene_of

from ecs_gpu_deploy.core.past.calibration import (
    Calibration,
    PastRollout,
    calibrated,
    calibration_of,
    calibration_told,
    errors_of,
    to_fit,
)
from ecs_gpu_deploy.core.past.durations import (
    NOT_SEEN,
    Duration,
    Durations,
    durations_of,
    lacks_any,
    measured_after,
    measured_by,
    measured_tag,
)
from ecs_gpu_deploy.core.past.scores import Score, interval_of, scored_tag
from ecs_gpu_deploy.ecs_model.health import healthy_after, target_rule
from ecs_gpu_deploy.forecast.calibration import fitted
from ecs_gpu_deploy.forecast.prediction import Ends, predict
from ecs_gpu_deploy.model import Service, Task

ARN = "arn:aws:ecs:eu-central-1:123456789012:task-definition"
SERVICE = Service(
    arn="arn",
    name="rag",
    cluster_arn="arn",
    status="ACTIVE",
    task_definition=f"{ARN}/rag:9",
    desired_count=2,
    running_count=2,
    pending_count=0,
    deployments=(),
    events=(),
)
DURATIONS = Durations(
    pull=Duration(seconds=40.0, source="measured on 2 tasks of rag:9"),
    start=Duration(seconds=3.0, source="measured on 2 tasks of rag:9"),
    load=Duration(seconds=180.0, source=NOT_SEEN),
    stop=Duration(seconds=10.0, source=NOT_SEEN),
    launch=Duration(seconds=180.0, source=NOT_SEEN),
)


def past(seconds: float, **rest) -> PastRollout:
    return PastRollout(arn="arn", seconds=seconds, **rest)


def test_a_deployment_is_read_with_its_pace_and_a_brief_without() -> None:
    brief = {"serviceDeploymentArn": "a", "createdAt": 100.0, "finishedAt": 400.0}
    assert PastRollout.from_api(brief) == PastRollout(arn="a", seconds=300.0)
    whole = {**brief, "deploymentConfiguration": {"minimumHealthyPercent": 50, "maximumPercent": 100}}
    assert PastRollout.from_api(whole).pace == (50, 100, "ROLLING")
    assert PastRollout.from_api({**whole, "sourceServiceRevisions": []}).is_first
    assert not PastRollout.from_api({**whole, "sourceServiceRevisions": [{"arn": "r"}]}).is_first
    assert PastRollout.from_api({"serviceDeploymentArn": "a", "createdAt": 100.0}).seconds == 0.0


def test_only_what_ran_as_it_would_now_is_held_against_it() -> None:
    own = [
        past(300.0, pace=(100, 200, "ROLLING")),
        past(900.0, pace=(50, 100, "ROLLING")),
        past(800.0, pace=(100, 200, "BLUE_GREEN")),
        past(120.0, pace=(100, 200, "ROLLING"), is_first=True),
        past(310.0),
        past(0.0),
    ]
    assert calibration_of(SERVICE, own, {}, {}).lasted == (300.0, 310.0)


def test_tags_tell_of_this_family_and_the_errors_of_others() -> None:
    score = scored_tag((), Score(number="1", predicted=100.0, actual=110.0))
    tags = {
        f"{ARN}/rag:8": measured_tag({"load": 120.0, "pull": 30.0}) | score,
        f"{ARN}/rag:7": measured_tag({"load": 130.0}),
        f"{ARN}/rag:6": measured_tag({"load": 500.0}),
        f"{ARN}/rag-other:2": measured_tag({"load": 9.0, "launch": 240.0})
        | scored_tag((), Score(number="2", predicted=100.0, actual=90.0)),
        f"{ARN}/plain:1": {"succeeded": "yes"},
    }
    others = {"a": [past(100.0), past(120.0), past(110.0)], "b": [past(50.0)]}
    found = calibration_of(SERVICE, (), others, tags)
    assert found.measured == {"load": (120.0, 130.0, 500.0), "pull": (30.0,), "launch": (240.0,)}
    assert [each.actual for each in found.scores] == [110.0]
    assert found.others == pytest.approx((0.9, 100 / 115, 120 / 105, 1.0))
    assert found.services == 2
    known = calibrated(DURATIONS, found)
    assert (known.load.seconds, known.load.source) == (130.0, "median of 3 rollouts")
    # One rollout does not outweigh what the tasks that run show.
    assert known.pull.seconds == 40.0
    assert (known.launch.seconds, known.stop.source) == (240.0, NOT_SEEN)


def test_scored_predictions_come_before_durations_and_those_before_what_others_show() -> None:
    scores = tuple(Score(number=f"{n}", predicted=100.0, actual=110.0 + n) for n in range(5))
    past_90 = Calibration(scores=scores, lasted=(200.0,) * 6, others=(1.0,) * 7, services=2)

    def source(calibration: Calibration, **fits: bool) -> str:
        found = errors_of(calibration, 250.0, name="rag", **{"fits": True, **fits})
        return found.source if found else ""

    assert source(past_90) == "5 scored predictions of rag"
    unscored = replace(past_90, scores=scores[:4])
    assert source(unscored) == "6 rollouts of rag in 90 days"
    where_it_fits = errors_of(unscored, 250.0, fits=True, name="rag")
    where_it_waits = errors_of(unscored, 250.0, fits=False, name="rag")
    assert where_it_fits is not None
    assert where_it_waits is not None
    assert where_it_fits.ratios == (0.8,) * 6
    assert where_it_waits.ratios == (1.0,) * 6
    assert source(replace(unscored, lasted=(200.0,))) == "7 rollouts of 2 other services"
    assert source(Calibration()) == ""
    told = calibration_told(replace(unscored, others=()), fitted="load", name="rag", has_interval=False)
    assert "load fitted to the whole durations; too few for an interval, which takes 5" in told


def test_what_no_task_tells_is_what_may_be_fitted() -> None:
    enough = Calibration(lasted=(300.0, 310.0, 305.0))
    assert to_fit(DURATIONS, enough) == "load"
    loaded = replace(DURATIONS, load=Duration(seconds=90.0, source="measured"))
    assert to_fit(loaded, enough) == "stop"
    assert to_fit(DURATIONS, Calibration(lasted=(300.0, 310.0))) == ""


def unseen_load(case: Case):
    world = begun(case)
    assert world is not None
    scene = scene_of(case, *world)
    durations = replace(scene.durations, load=Duration(seconds=180.0, source=NOT_SEEN))
    return world, replace(scene, durations=durations)


@pytest.mark.parametrize("load", [60.0, 95.0, 240.0, 600.0])
@pytest.mark.parametrize("spare", [1, 2])
def test_the_load_that_was_is_found_again_from_how_long_rollouts_lasted(load: float, spare: int) -> None:
    case = replace(PLAIN, load=load, spare=spare)
    world, scene = unseen_load(case)
    now = world[0].now
    past_world = begun(case)
    assert past_world is not None
    lasted = rolled_out(*past_world).seconds
    found = fitted(scene, "load", lasted=lasted, source="fitted", now=now)
    assert found is not None
    # Probes and the scheduler's rounds come every 5 to 30 seconds: no total tells more.
    healthy = healthy_after([target_rule(group) for group in scene.groups], load)
    assert found.durations.load.seconds == pytest.approx(healthy, abs=20.0)
    assert found.durations.load.source == "fitted"
    again = predict(found, now=now)
    assert again.ends is Ends.WELL
    assert again.seconds == pytest.approx(lasted, abs=15.0)


def test_what_no_load_explains_is_not_fitted() -> None:
    world, scene = unseen_load(PLAIN)
    assert fitted(scene, "load", lasted=5.0, source="fitted", now=world[0].now) is None


def test_the_interval_of_generated_histories_holds_as_often_as_it_says() -> None:
    draw = random.Random(90)
    hits, level = 0, 0.0
    for _ in range(600):
        truth, number = draw.uniform(120.0, 1500.0), draw.randint(9, 30)
        bias = draw.uniform(0.7, 1.4)
        lasted = [truth * draw.lognormvariate(0.0, 0.12) for _ in range(number + 1)]
        known = calibration_of(SERVICE, [past(each) for each in lasted[:-1]], {}, {})
        seconds = truth * bias
        errors = errors_of(known, seconds, fits=True, name="rag")
        assert errors is not None
        interval = interval_of(seconds, errors.ratios)
        assert interval is not None
        hits += interval.low <= lasted[-1] <= interval.high
        level += interval.level
        assert interval.middle == pytest.approx(truth, rel=0.25)
    assert hits / 600 == pytest.approx(level / 600, abs=0.04)


def test_a_rollout_leaves_what_it_showed_and_nothing_else() -> None:
    new = Task(
        arn="n",
        task_definition_arn=SERVICE.task_definition,
        created_at=1.0,
        pull_started_at=2.0,
        pull_stopped_at=42.04,
        started_at=45.0,
    )
    gone = Task(arn="o", task_definition_arn=f"{ARN}/rag:8", stopping_at=100.0, stopped_at=112.0)
    assert measured_tag(measured_after(SERVICE, (new, gone))) == {"measured": "pull=40 start=3 stop=12"}
    assert measured_tag(measured_after(SERVICE, ())) == {}
    assert measured_tag({"pull": 0.04}) == {}


def test_earlier_revisions_tell_what_the_running_one_does_not() -> None:
    earlier = {
        f"{ARN}/rag:8": measured_tag({"stop": 12.0}),
        f"{ARN}/rag:7": measured_tag({"stop": 30.0, "load": 100.0}),
    }
    own = measured_tag({"load": 130.0})
    found = durations_of(SERVICE, (), own, earlier)
    assert (found.load.seconds, found.load.source) == (130.0, "measured on the rollout of rag:9")
    assert (found.stop.seconds, found.stop.source) == (12.0, "measured on the rollout of rag:8")
    assert lacks_any(found)
    absurd = "load=999999999 pull=1e308 start=nan stop=-5 xlaunch=7 launch=60"
    assert measured_by({"measured": absurd}) == {"launch": 60.0}
    whole = durations_of(SERVICE, (), measured_tag({"load": 1.0, "pull": 1.0, "start": 1.0, "stop": 1.0}))
    assert not lacks_any(whole)
