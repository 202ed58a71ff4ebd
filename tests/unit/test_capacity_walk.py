"""Whether a rollout fits, crawls, waits for instances or stands still: the walk against the model of ECS."""

from __future__ import annotations

from hypothesis import assume, event, given, settings
from rollout_worlds import CASES, Case, begun, rolled_out, situation_of

from ecs_gpu_deploy.core.capacity.walk import walk


@settings(max_examples=600, deadline=None, derandomize=True, database=None)
@given(case=CASES)
def test_the_walk_comes_as_far_as_the_model(case: Case) -> None:
    world = begun(case)
    assume(world is not None)
    assert world is not None
    found = walk(situation_of(case, *world))
    outcome = rolled_out(*world)
    event(f"ends {found.ends}, lacks room {found.lacked_room}, launches {bool(found.launched)}")
    assert found.ends is outcome.ended, (found, outcome)
    assert found.lacked_room is outcome.lacked_room, (found, outcome)
    if case.minimum == 100:
        # Else the leaving of old tasks races with the minute in which managed scaling looks.
        assert bool(found.launched) is bool(outcome.launched), (found, outcome)
