"""How far a rollout has come, as data: what the wait fills in and every view of it shows.

Times are epoch seconds, spans are seconds. A value that AWS did not show is None (or "" or empty).
"""

from __future__ import annotations

from dataclasses import dataclass

from ecs_gpu_deploy.core.phases import PhaseName


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """A lifecycle hook that waits for somebody: which, until when, and how to go on or back.

    Source: aws-facts A3 (PAUSE hooks), AWS page "Lifecycle hooks for Amazon ECS service deployments".
    """

    id: str
    stage: str
    expires_at: float | None = None
    timeout_action: str = ""
    continue_command: str = ""
    rollback_command: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskGpus:
    """The GPUs that one task of the rollout held: for GPU-minutes held and wasted.

    `gpus` counts whole GPUs and fractions, 0 where the task asks for none. The GPUs are held from
    `placed_at` (pull and load included) to `stopped_at`, which is None while the task lives; `placed_at` is
    None for a task that never found a place. `failed` says that the task ended as a failure, `ours` that it
    belongs to the new revision.
    """

    task_id: str
    gpus: float
    placed_at: float | None
    stopped_at: float | None = None
    failed: bool = False
    ours: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One look at a rollout that still goes on.

    `deadline` are the seconds after which the phase is late. `new_*` count the tasks of our revision,
    `old_running` those of all others. `breaker_enabled` says whether the circuit breaker is on at all;
    `breaker_failures` of `breaker_threshold` are its own counters. `note` is one sentence about what AWS does
    where that is more than the phase tells. `capacity_wait` are the seconds for which nothing found a place
    (None: nothing waits), of at most `capacity_limit`.
    """

    at: float
    started_at: float
    phase: PhaseName
    phase_seconds: float
    deadline: float
    new_running: int = 0
    new_desired: int = 0
    new_healthy: int = 0
    old_running: int = 0
    breaker_enabled: bool = False
    breaker_failures: int = 0
    breaker_threshold: int = 0
    failed_tasks: int = 0
    note: str = ""
    rolling_back: bool = False
    capacity_wait: float | None = None
    capacity_limit: float | None = None
    lifecycle_stage: str = ""
    hook: Hook | None = None

    @property
    def is_late(self) -> bool:
        """Say whether the phase has lasted longer than its deadline."""
        return self.phase_seconds > self.deadline > 0

    @property
    def key(self) -> tuple[object, ...]:
        """Return what makes two looks different enough for a new line: everything but the passing time."""
        return (
            self.phase,
            self.new_running,
            self.new_desired,
            self.new_healthy,
            self.old_running,
            self.breaker_failures,
            self.failed_tasks,
            self.note,
            self.rolling_back,
            self.capacity_wait is None,
            self.lifecycle_stage,
            self.hook,
            self.is_late,
        )
