"""How far a rollout has come, as data: what the wait fills in and every view of it shows.

Times are epoch seconds, spans are seconds. A value that AWS did not show is None (or "" or empty).
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from ecs_gpu_deploy.core.judge.breaker import threshold
from ecs_gpu_deploy.core.judge.early_verdicts import placement_limit
from ecs_gpu_deploy.core.judge.evidence import is_failure, lifetime, waits_for_old_container
from ecs_gpu_deploy.core.judge.observed import History, Snapshot, Watched, is_ours, leaving_instances, ours_of
from ecs_gpu_deploy.core.judge.phases import PhaseFacts, PhaseName, deadlines
from ecs_gpu_deploy.core.judge.verdict import Waiting
from ecs_gpu_deploy.core.text import count
from ecs_gpu_deploy.model import Service, ServiceDeployment, Task, short_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """A lifecycle hook that waits for somebody: which, until when, and how to go on or back.

    `aws_command` goes on, or back, without this program.

    Source: AWS page "Pause hooks for Amazon ECS service deployments", docs/aws-facts.md#pause-hooks.
    """

    id: str
    stage: str
    expires_at: float | None = None
    timeout_action: str = ""
    continue_command: str = ""
    rollback_command: str = ""
    aws_command: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskGpus:
    """The GPUs that one task of the rollout held: for GPU-minutes held and wasted.

    `gpus` counts whole GPUs and fractions, 0 where the task asks for none. The GPUs are held from
    `placed_at` (pull and load included) to `stopped_at`, which is None while the task lives; `placed_at` is
    None for a task that never found a place. `ran` are the seconds for which its containers ran, None where
    they never did or still do. `failed` says that the task ended as a failure, `ours` that it belongs to the
    new revision, `runs_on` that it outlives the rollout, whose GPU time is over at `stopped_at`.
    """

    task_id: str
    gpus: float
    placed_at: float | None
    stopped_at: float | None = None
    ran: float | None = None
    failed: bool = False
    ours: bool = True
    runs_on: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One look at a rollout that still goes on.

    `phase_seconds` were spent in the phase up to now, over all stays in it, `deadline` are those after which
    it is late, and `before` those of every phase at the last look. `new_*` count the tasks of our revision,
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
    before: Mapping[str, float] = field(default_factory=dict)
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


def progress_of(
    watched: Watched,
    facts: PhaseFacts,
    history: History,
    snapshot: Snapshot,
    waiting: Waiting,
    *,
    service: Service,
) -> Progress:
    """Return what there is to show of one look; *service* is the service as it was last seen."""
    ours, deployment = ours_of(watched, service), snapshot.deployment
    now = snapshot.at
    unplaced = history.unplaced_since
    note = "" if waiting.hook is not None else waiting.note
    if not note and history.shortage is not None:
        note = history.shortage.note
    if not note and (waiting_tasks := _waiting_for_old(history)):
        note = f"{count(waiting_tasks, 'new task')} wait for old containers to stop (their stopTimeout)"
    return Progress(
        at=now,
        started_at=watched.started_at,
        phase=history.phase,
        phase_seconds=history.seconds.get(history.phase, 0.0),
        deadline=deadlines(facts)[history.phase] + history.allowed.get(history.phase, 0.0),
        before=history.seconds,
        new_running=ours.running_count if ours else 0,
        new_desired=ours.desired_count if ours else 0,
        new_healthy=history.healthy,
        old_running=sum(d.running_count for d in service.deployments if not is_ours(watched, d)),
        breaker_enabled=service.circuit_breaker.enable,
        breaker_failures=deployment.breaker_failures if deployment else ours.failed_tasks if ours else 0,
        breaker_threshold=(deployment.breaker_threshold if deployment else 0)
        or threshold(service.circuit_breaker, service.desired_count),
        failed_tasks=len(history.since_healthy),
        note=note,
        rolling_back=waiting.rolling_back,
        capacity_wait=None if unplaced is None else now - unplaced,
        capacity_limit=None if unplaced is None else placement_limit(watched, history),
        lifecycle_stage=waiting.stage,
        hook=hook_of(deployment, service) if waiting.hook and deployment else None,
    )


def _waiting_for_old(history: History) -> int:
    """Return how many new tasks have their instance and wait for an old container on it to stop."""
    leaving = leaving_instances(history)
    return sum(waits_for_old_container(task, leaving) for task in history.live)


def hook_of(deployment: ServiceDeployment, service: Service) -> Hook | None:
    """Return what a person needs to know of the first hook that waits, with the commands that answer it."""
    waiting = deployment.awaited_hooks
    if not waiting:
        return None
    hook = waiting[0]
    cluster, name = shlex.quote(short_id(service.cluster_arn)), shlex.quote(service.name)
    which = f"--cluster {cluster} --service {name} --service-deployment {deployment.arn}"
    which += f" --hook {shlex.quote(hook.id)}" if len(waiting) > 1 else ""
    aws = f"aws ecs continue-service-deployment --service-deployment-arn {deployment.arn} --hook-id {hook.id}"
    return Hook(
        id=hook.id,
        stage=deployment.lifecycle_stage,
        expires_at=hook.expires_at,
        timeout_action=hook.timeout_action,
        continue_command=f"ecs-gpu-deploy continue {which}",
        rollback_command=f"ecs-gpu-deploy reject {which}",
        aws_command=f"{aws} --action CONTINUE (or ROLLBACK)",
    )


def gpus_of(
    history: History, gpus_per_task: float, *, finished_at: float | None = None
) -> tuple[TaskGpus, ...]:
    """Return the GPUs that each task of ours held, in the order of their placement.

    Where the rollout is over, tasks that run on held them for it until *finished_at* (AWS's clock).

    *gpus_per_task* is what the task definition asks for; the ids that a task got count where AWS shows more
    (API Reference, Container, gpuIds).
    """
    tasks = sorted((*history.stopped, *history.live), key=lambda task: _placed_at(task) or 0.0)
    return tuple(
        TaskGpus(
            task_id=task.id,
            gpus=gpus_per_task if gpus_per_task > 0 else _gpu_ids(task),
            placed_at=_placed_at(task),
            stopped_at=task.stopped_at if task.last_status == "STOPPED" else finished_at,
            ran=lifetime(task) if task.last_status == "STOPPED" and task.started_at else None,
            failed=task.last_status == "STOPPED" and is_failure(task),
            runs_on=task.last_status != "STOPPED",
        )
        for task in tasks
    )


def _gpu_ids(task: Task) -> float:
    return float(len({gpu for container in task.containers for gpu in container.gpu_ids}))


def _placed_at(task: Task) -> float | None:
    """Return when a task got its instance: AWS says only when it was created and when its pull began."""
    if not task.container_instance_arn:
        return None
    return task.pull_started_at or task.created_at
