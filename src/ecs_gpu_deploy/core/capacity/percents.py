"""How many tasks a rolling deployment keeps and how many it may run: the percentages with AWS's rounding.

Source: docs/aws-facts.md#rounding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a service asks for: desired tasks, the fewest healthy, the most live."""

    desired: int
    lower: int
    upper: int

    @property
    def let_nothing_move(self) -> bool:
        """Say whether neither an old task may stop nor a new one start: whatever room there is."""
        return self.lower >= self.desired and self.upper <= self.desired


def limits_for(desired: int, *, minimum: int, maximum: int) -> Limits:
    """Return the limits for *desired* tasks at minimumHealthyPercent and maximumPercent.

    The lower is rounded up, the upper down (docs/aws-facts.md#rounding).
    """
    return Limits(
        desired=desired, lower=math.ceil(desired * minimum / 100), upper=math.floor(desired * maximum / 100)
    )


def minimum_to_free(desired: int, number: int = 1) -> int:
    """Return the highest minimumHealthyPercent at which *number* of *desired* tasks may stop; 0 at least."""
    return max(0, math.floor((desired - number) * 100 / desired)) if desired else 0


def maximum_to_add(desired: int, number: int = 1) -> int:
    """Return the lowest maximumPercent at which *number* tasks may start beside *desired* ones."""
    return math.ceil((desired + number) * 100 / desired) if desired else 200
