"""The sandbox's time: stepped by its clients, or wall time multiplied.

`ecs_model` never looks at a clock; this is the one that it is given.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal, Protocol

CLOCK_VARIABLE = "ECS_GPU_DEPLOY_CLOCK"
"""Names this clock to the program, which then sleeps by it."""


class ModelClock(Protocol):
    """Say what time it is in the model, in epoch seconds (UTC)."""

    @property
    def mode(self) -> Literal["stepped", "scaled"]:
        """How the clock moves."""

    @property
    def speed(self) -> float:
        """Model seconds per wall second; 0 where the clock is stepped."""

    def now(self) -> float:
        """Return the model's time."""


@dataclass(slots=True)
class SteppedClock:
    """Stand still until told to move: a 20-minute rollout takes as long as its computing."""

    at: float
    mode: Literal["stepped", "scaled"] = field(default="stepped", init=False)
    speed: float = field(default=0.0, init=False)

    def now(self) -> float:
        """Return the model's time."""
        return self.at

    def advance(self, seconds: float) -> float:
        """Move by some seconds, never back, and return the new time."""
        self.at += max(0.0, seconds)
        return self.at


@dataclass(slots=True)
class ScaledClock:
    """Run with the wall clock, `speed` times as fast: for foreign clients and for a person watching."""

    start: float
    speed: float = 1.0
    mode: Literal["stepped", "scaled"] = field(default="scaled", init=False)
    _wall_start: float = field(default_factory=time.monotonic, init=False)

    def now(self) -> float:
        """Return the model's time."""
        return self.start + (time.monotonic() - self._wall_start) * self.speed
