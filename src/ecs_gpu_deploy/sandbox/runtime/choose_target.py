"""Which target gets the next request: in turn, by weight, slowly at first. Pure: the time is passed in.

Source: Elastic Load Balancing User Guide, "Target groups for your Application Load Balancers": routing
algorithms, slow start mode, target group health.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from ecs_gpu_deploy.ecs_model.statuses import TargetState
from ecs_gpu_deploy.sandbox.neighbours.load_balancers import CheckedGroup, Rule

LEAST_SHARE = 0.05
"""Of a target at the very beginning of its slow start: some requests have to come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A registered target: its address as AWS shows it, and the port of this machine where it really is."""

    group_arn: str
    task_arn: str
    address: tuple[str, int]
    host_port: int
    state: TargetState

    @property
    def key(self) -> Hashable:
        """What it is known by, whatever its state."""
        return self.group_arn, self.task_arn, self.address


@dataclass(slots=True)
class Standing:
    """What is remembered of a target: its turn, its requests, and since when it is healthy (seconds)."""

    turn: float = 0.0
    in_flight: int = 0
    healthy_since: float | None = None


def choose(
    rule: Rule,
    targets: Sequence[Target],
    groups: Mapping[str, CheckedGroup],
    standings: Mapping[Hashable, Standing],
    now: float,
) -> Target | None:
    """Choose the target of a request and take note of its turn; None where there is none to ask.

    Healthy ones only; where all are unhealthy, every one (fail open). A target that was never checked is
    not asked.
    """
    weights = dict(rule.forward)
    known = [each for each in targets if weights.get(each.group_arn) and each.host_port]
    healthy = [each for each in known if each.state is TargetState.HEALTHY]
    open_to = healthy or [each for each in known if each.state is TargetState.UNHEALTHY]
    if not open_to:
        return None
    if all(groups[each.group_arn].least_outstanding for each in open_to if each.group_arn in groups):
        return min(open_to, key=lambda each: standings[each.key].in_flight)
    grown = [_grown(groups.get(each.group_arn), standings[each.key], now) for each in open_to]
    if max(grown) < 1.0:
        grown = [1.0] * len(grown)  # all are in slow start: each has its whole share
    counts = [sum(other.group_arn == each.group_arn for other in open_to) for each in open_to]
    shares = [
        max(LEAST_SHARE, part) * weights[each.group_arn] / count
        for each, part, count in zip(open_to, grown, counts, strict=True)
    ]
    for each, share in zip(open_to, shares, strict=True):
        standings[each.key].turn += share
    chosen = max(open_to, key=lambda each: standings[each.key].turn)
    standings[chosen.key].turn -= sum(shares)
    return chosen


def _grown(group: CheckedGroup | None, standing: Standing, now: float) -> float:
    """Give how much of its share a target has, from 0 to 1."""
    if group is None or not group.slow_start or standing.healthy_since is None:
        return 1.0
    return min(1.0, (now - standing.healthy_since) / group.slow_start)
