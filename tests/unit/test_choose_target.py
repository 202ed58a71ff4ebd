"""Which target of a load balancer gets the next request."""

from __future__ import annotations

from collections import Counter

import pytest

from ecs_gpu_deploy.ecs_model.statuses import TargetState
from ecs_gpu_deploy.sandbox.neighbours.load_balancers import CheckedGroup, Rule
from ecs_gpu_deploy.sandbox.runtime.choose_target import Standing, Target, choose

BLUE, GREEN = "blue", "green"


def target(number: int, state: str = "healthy", group: str = BLUE) -> Target:
    return Target(
        group_arn=group,
        task_arn=f"task-{group}-{number}",
        address=("i-1", number),
        host_port=number,
        state=TargetState(state),
    )


def asked(
    targets: list[Target],
    requests: int,
    *,
    weights: dict[str, float] | None = None,
    since: dict[int, float] | None = None,
    now: float = 1000.0,
    **settings: float | bool,
) -> Counter[int]:
    """Count the requests of each port."""
    rule = Rule(forward=tuple((weights or {BLUE: 1.0}).items()))
    groups = {arn: CheckedGroup(arn=arn, **settings) for arn in (BLUE, GREEN)}  # type: ignore[arg-type]
    standings = {one.key: Standing(healthy_since=(since or {}).get(one.host_port, 0.0)) for one in targets}
    chosen = [choose(rule, targets, groups, standings, now) for _ in range(requests)]
    return Counter(one.host_port for one in chosen if one is not None)


@pytest.mark.parametrize(
    ("states", "counted"),
    [
        pytest.param(["healthy", "healthy", "healthy"], {1: 4, 2: 4, 3: 4}, id="healthy ones in turn"),
        pytest.param(["healthy", "unhealthy", "draining", "initial"], {1: 12}, id="healthy ones alone"),
        pytest.param(
            ["unhealthy", "unhealthy", "draining"], {1: 6, 2: 6}, id="all of them where none is healthy"
        ),
        pytest.param(["initial", "draining"], {}, id="none that was never checked"),
        pytest.param([], {}, id="none"),
    ],
)
def test_who_is_asked(states: list[str], counted: dict[int, int]) -> None:
    targets = [target(number, state) for number, state in enumerate(states, start=1)]
    assert asked(targets, 12) == counted


def test_a_target_without_a_port_here_is_not_asked() -> None:
    assert asked([target(0), target(1)], 4) == {1: 4}


@pytest.mark.parametrize(
    ("age", "counted"),
    [
        pytest.param(0.0, {1: 95, 2: 5}, id="at first a twentieth"),
        pytest.param(25.0, {1: 80, 2: 20}, id="a quarter of its time, a quarter of its share"),
        pytest.param(100.0, {1: 50, 2: 50}, id="then all of it"),
    ],
)
def test_a_new_target_starts_slowly(age: float, counted: dict[int, int]) -> None:
    seen = asked([target(1), target(2)], 100, since={2: 1000.0 - age}, slow_start=100.0)
    assert abs(seen[2] - counted[2]) <= 1
    assert sum(seen.values()) == 100


def test_where_all_start_slowly_each_has_its_share() -> None:
    assert asked([target(1), target(2)], 10, since={1: 990.0, 2: 999.0}, slow_start=100.0) == {1: 5, 2: 5}


def test_the_one_with_the_fewest_requests_in_flight_is_asked() -> None:
    rule = Rule(forward=((BLUE, 1.0),))
    targets = [target(1), target(2)]
    standings = {targets[0].key: Standing(in_flight=2), targets[1].key: Standing(in_flight=1)}
    groups = {BLUE: CheckedGroup(arn=BLUE, least_outstanding=True)}
    assert choose(rule, targets, groups, standings, 0.0) is targets[1]


def test_target_groups_share_by_the_weights_of_the_rule_however_many_targets_each_has() -> None:
    targets = [target(1), target(2), target(3, group=GREEN)]
    assert asked(targets, 40, weights={BLUE: 90.0, GREEN: 10.0}) == {1: 18, 2: 18, 3: 4}
    assert asked(targets, 40, weights={BLUE: 100.0, GREEN: 0.0}) == {1: 20, 2: 20}
