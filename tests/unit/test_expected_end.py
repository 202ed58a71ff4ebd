"""When our own wait ends of a rollout that is foreseen: by the judge's bounds, before AWS's own or not."""

from __future__ import annotations

import pytest

from ecs_gpu_deploy.core.capacity.percents import limits_for
from ecs_gpu_deploy.core.judge.expected_end import Foretold, expected_end
from ecs_gpu_deploy.core.judge.options import WaitOptions
from ecs_gpu_deploy.model import CircuitBreaker

ON, OFF = CircuitBreaker(enable=True, rollback=True), CircuitBreaker()
FAILS = (100.0, 101.0, 190.0, 191.0)


def ends(
    foretold: Foretold,
    *,
    breaker: CircuitBreaker = ON,
    minimum: int = 100,
    maximum: int = 200,
    given: bool = False,
    threshold: int | None = None,
) -> tuple[str, float] | None:
    wait = WaitOptions(
        timeout=3600.0,
        timeout_given=False,
        poll_interval=10.0,
        poll_interval_given=False,
        placement_timeout=900.0,
        placement_timeout_given=given,
    )
    found = expected_end(
        foretold,
        breaker,
        limits_for(2, minimum=minimum, maximum=maximum),
        wait,
        desired=2,
        timeout=3600.0,
        crash_loop_threshold=threshold,
    )
    return None if found is None else (str(found.outcome), found.seconds)


@pytest.mark.parametrize(
    ("foretold", "expected"),
    [
        pytest.param(Foretold(seconds=400.0), None, id="AWS ends it well in time"),
        pytest.param(Foretold(seconds=4000.0), ("timed_out", 3600.0), id="AWS ends it after the timeout"),
        pytest.param(Foretold(seconds=None), ("timed_out", 3600.0), id="AWS never ends it"),
        pytest.param(Foretold(seconds=None, lacks_room=True), ("no_capacity", 900.0), id="no room at all"),
        pytest.param(
            Foretold(seconds=None, lacks_room=True, is_certain=True),
            ("no_capacity", 120.0),
            id="no instance could ever take it",
        ),
        pytest.param(
            Foretold(seconds=None, lacks_room=True, placed=[5.0], healthy=[160.0], freed=[165.0, 500.0]),
            ("no_capacity", 1400.0),
            id="the second finds none, counted from what moved last",
        ),
        pytest.param(
            Foretold(seconds=2000.0, lacks_room=True, placed=[5.0, 1200.0], healthy=[1150.0, 1900.0]),
            ("no_capacity", 905.0),
            id="the first loads for longer than we wait for the place of the second",
        ),
        pytest.param(
            Foretold(seconds=1700.0, lacks_room=True, placed=[5.0, 500.0], healthy=[400.0, 1600.0]),
            None,
            id="once all have a place a long load is none of it",
        ),
    ],
)
def test_when_the_run_ends(foretold: Foretold, expected: tuple[str, float] | None) -> None:
    assert ends(foretold) == expected


def test_a_placement_timeout_that_was_given_stands() -> None:
    assert ends(Foretold(seconds=None, lacks_room=True, is_certain=True), given=True) == (
        "no_capacity",
        900.0,
    )


def test_a_crash_loop_is_ours_to_call_where_no_breaker_is_on() -> None:
    failing = Foretold(seconds=None, failed=FAILS)
    assert ends(failing, breaker=OFF) == ("failed", 190.0)
    assert ends(failing, breaker=OFF, threshold=2) == ("failed", 101.0)
    assert ends(failing, breaker=ON) == ("timed_out", 3600.0)
    assert ends(Foretold(seconds=None, failed=FAILS, healthy=(150.0,)), breaker=OFF) == ("timed_out", 3600.0)


def test_percentages_that_let_nothing_move_are_called_at_once() -> None:
    assert ends(Foretold(seconds=None), minimum=75, maximum=125) == ("failed", 0.0)
