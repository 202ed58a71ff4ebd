"""What is foreseen of a rollout, against what then happens: the model begun from what is seen, run ahead."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, event, given, settings
from rollout_worlds import CASES, PLAIN, Case, begun, rolled_out, scene_of

from ecs_gpu_deploy.core.past.durations import Duration
from ecs_gpu_deploy.ecs_model.health import container_rule, healthy_after, target_rule
from ecs_gpu_deploy.forecast.begin import load_behind
from ecs_gpu_deploy.forecast.prediction import Ends, advice_of, predict
from ecs_gpu_deploy.model import TargetGroup


@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(case=CASES)
def test_the_end_is_foreseen_within_a_tenth_or_15_seconds(case: Case) -> None:
    world = begun(case)
    assume(world is not None)
    assert world is not None
    found = predict(scene_of(case, *world), now=world[0].now)
    outcome = rolled_out(*world)
    event(f"{found.ends}")
    assert (found.ends is Ends.WELL) is outcome.ended, (found.ends, found.seconds, outcome)
    if outcome.ended:
        allowed = max(15.0, outcome.seconds / 10)
        assert found.seconds == pytest.approx(outcome.seconds, abs=allowed), (found.seconds, outcome)


def foreseen(case: Case, *, load: float | None = None, breaker: bool = False, grace: int = 155):
    """Return the scene of a case and its prediction; *load* is how long a new task takes indeed."""
    world = begun(case)
    assert world is not None
    scene = scene_of(case, *world)
    if load is not None:
        durations = replace(scene.durations, load=Duration(seconds=load, source="known"))
        scene = replace(scene, durations=durations)
    configuration = {
        **scene.service.deployment_configuration,
        "deploymentCircuitBreaker": {"enable": breaker, "rollback": breaker},
    }
    service = replace(scene.service, deployment_configuration=configuration, health_check_grace_period=grace)
    scene = replace(scene, service=service)
    return scene, predict(scene, now=world[0].now)


def test_one_spare_gpu_goes_one_by_one_and_holds_it_twice() -> None:
    scene, found = foreseen(PLAIN)
    assert found.ends is Ends.WELL
    assert [phase.name for phase in found.phases] == ["placement", "pull", "start", "load", "drain"]
    assert [task.name for task in found.tasks] == ["old 1", "old 2", "new 1", "new 2"]
    assert found.breaker_at is None
    # Each new task loads and each old one drains while the other is there: about 120 and 31 seconds.
    assert found.double_gpu_seconds == pytest.approx(2 * (105 + 13 + 31), abs=40)
    assert found.gpu_seconds == pytest.approx(2 * found.seconds + found.double_gpu_seconds, abs=5)
    advice = advice_of(scene, found)
    assert advice.timeout == 600
    assert (advice.grace_period, advice.start_period, advice.start_period_is_capped) == (180, 120, False)


def test_a_grace_period_shorter_than_the_load_ends_at_the_breaker() -> None:
    _, found = foreseen(replace(PLAIN, spare=2), load=600.0, breaker=True, grace=60)
    assert found.ends is Ends.BACK
    assert found.failures >= 3
    assert found.breaker_at is not None
    assert found.breaker_at < found.seconds


def test_instances_that_come_are_counted_with_their_time() -> None:
    _, found = foreseen(replace(PLAIN, spare=0, managed=True, more=4))
    assert found.ends is Ends.WELL
    assert found.launched == 2
    assert 0 < found.launched_seconds < 2 * found.seconds


@pytest.mark.parametrize("seen", [22.0, 93.0, 122.0, 128.0, 360.0])
def test_probes_between_load_and_healthy_are_counted_once(seen: float) -> None:
    group = TargetGroup(arn="t", interval=15, healthy_threshold=2, unhealthy_threshold=3)
    rules = [target_rule(group), container_rule({"interval": 10, "startPeriod": 60})]
    load = load_behind(rules, seen)
    assert healthy_after(rules, load) == pytest.approx(seen, abs=8)
    assert load_behind([], seen) == seen


def test_no_room_stands_still_for_as_long_as_is_looked_ahead() -> None:
    scene, found = foreseen(replace(PLAIN, spare=0))
    assert found.ends is Ends.NEVER
    assert found.phases == ()
    assert advice_of(scene, found).timeout >= 600
