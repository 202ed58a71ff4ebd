"""What somebody asked of a wait: how long, how often, and what to do where we end it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ecs_gpu_deploy.core.judge.lifecycle import Stage

LeaveOrRollBack = Literal["leave", "rollback"]
OfSeveral = Literal["leave", "rollback", "rollback-all"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitOptions:
    """How long to wait. `…_given` says that somebody chose the value, so that it is not adapted."""

    timeout: float
    timeout_given: bool
    poll_interval: float
    poll_interval_given: bool
    placement_timeout: float
    placement_timeout_given: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutOptions:
    """How a rollout is watched, and what to do with it where we end the wait.

    `on_timeout` is rollback-all where `on_failure` of several services is. `settle` are the seconds for which
    it must stay up after AWS calls it complete; None: as long as its failed tasks took to fail. `until` is
    the lifecycle stage at which the wait ends, None for the end.
    """

    wait: WaitOptions
    on_timeout: OfSeveral
    on_failure: OfSeveral
    on_cancel: LeaveOrRollBack
    phase_deadlines: Mapping[str, float]
    crash_loop_threshold: int | None
    settle: float | None
    allow_desired_zero: bool
    until: Stage | None = None
