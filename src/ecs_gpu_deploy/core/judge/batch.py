"""Judge a batch: what was seen of it so far, and the verdict over that.

Everything is a function of what was seen and of the time passed in; times are epoch seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ecs_gpu_deploy.core.capacity.compute import Compute
from ecs_gpu_deploy.core.capacity.shortage import Shortage
from ecs_gpu_deploy.core.judge.batch_request import Refusal, is_lack, lacks
from ecs_gpu_deploy.core.judge.evidence import VANISHED_SECONDS
from ecs_gpu_deploy.core.judge.task_end import MISSING, Stage, stage_of, task_end
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.core.text import count, span
from ecs_gpu_deploy.model import Task
from ecs_gpu_deploy.result import Judgement, Outcome, TaskEnd


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchWatched:
    """What is waited for: *wanted* tasks of a raw task definition.

    `named` is the container whose work it is, where somebody named it. `restarts` says that a task which
    never found a place is started again; where we only watch tasks of others it is not.
    """

    definition: Mapping[str, Any]
    wanted: int
    began: float
    timeout: float
    placement_timeout: float
    named: str = ""
    compute: Compute = field(default_factory=Compute)
    restarts: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLook:
    """One look: what RunTask answered, if it was asked, and what DescribeTasks showed.

    `seen` is None where DescribeTasks was not asked or, `blind`, did not answer; `unknown` names the
    tasks that AWS says it does not know. `shortage` is why there is no place, where that was looked up.
    """

    at: float
    started: Sequence[Task] = ()
    refusals: Sequence[Refusal] | None = None
    seen: Sequence[Task] | None = None
    blind: bool = False
    unknown: Collection[str] = ()
    shortage: Shortage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchHistory:
    """All that was seen of a batch.

    `tasks` are by ARN, as they were last seen. `unknown_since` tells since when AWS does not know a task;
    `blind` says that it did not answer at the last look. `unplaced` are tasks for which no place was ever
    found; they are not among `tasks` any more. `placed_at` is when a task of ours last held or got a place,
    `shortage` why there is none.
    """

    placed_at: float
    tasks: Mapping[str, Task] = field(default_factory=dict)
    unknown_since: Mapping[str, float] = field(default_factory=dict)
    blind: bool = False
    unplaced: tuple[Task, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    shortage: Shortage | None = None

    @property
    def live(self) -> tuple[Task, ...]:
        """Return the tasks that have not ended."""
        return tuple(task for task in self.tasks.values() if stage_of(task) != Stage.ENDED)

    @property
    def holds_a_place(self) -> bool:
        """Say whether a task of ours holds a place, which it gives back when it ends."""
        return any(stage_of(task) != Stage.PLACEMENT for task in self.live)


def missing(watched: BatchWatched, history: BatchHistory) -> int:
    """Return how many tasks have not been started."""
    return max(watched.wanted - len(history.tasks), 0)


def observed_batch(watched: BatchWatched, history: BatchHistory, look: BatchLook) -> BatchHistory:
    """Return what is known after one more look."""
    tasks = {**history.tasks, **{task.arn: task for task in look.started}}
    tasks |= {task.arn: task for task in look.seen or ()}
    unknown_since = _unknown_since(history, look)
    for arn in unknown_since if look.seen is not None else ():
        if look.at - unknown_since[arn] >= VANISHED_SECONDS:
            tasks[arn] = replace(tasks[arn], last_status=MISSING)
    unplaced = [task for task in tasks.values() if watched.restarts and never_placed(task)]
    kept = {arn: task for arn, task in tasks.items() if task not in unplaced}
    refusals = tuple(history.refusals if look.refusals is None else look.refusals or ())
    after = replace(
        history,
        tasks=kept,
        unknown_since=unknown_since,
        blind=look.blind or (history.blind and look.seen is None),
        unplaced=(*history.unplaced, *unplaced),
        refusals=(*refusals, *(Refusal(reason=task.stopped_reason) for task in unplaced)),
        shortage=look.shortage or history.shortage,
    )
    return replace(after, placed_at=look.at) if look.started or after.holds_a_place else after


def _unknown_since(history: BatchHistory, look: BatchLook) -> dict[str, float]:
    """Return since when AWS does not know a task; only its answers teach that."""
    if look.seen is None:
        return dict(history.unknown_since)
    return {arn: history.unknown_since.get(arn, look.at) for arn in look.unknown}


def never_placed(task: Task) -> bool:
    """Say whether *task* ended because no room was found for it, so that it may be started again.

    Source: docs/aws-facts.md#provisioning.
    """
    return (
        task.last_status == "STOPPED"
        and task.stop_code == "TaskFailedToStart"
        and task.pull_started_at is None
        and is_lack(task.stopped_reason)
    )


def ends_of(watched: BatchWatched, history: BatchHistory) -> tuple[TaskEnd, ...]:
    """Return how each task ended, or that it runs."""
    return tuple(task_end(task, watched.definition, named=watched.named) for task in history.tasks.values())


def judge_batch(watched: BatchWatched, history: BatchHistory, now: float) -> Verdict | None:
    """Return the verdict over a batch at *now*, None while it goes on."""
    return (
        _impossible(watched, history)
        or _ended(watched, history)
        or _no_place(watched, history, now)
        or _timed_out(watched, history, now)
    )


def _impossible(watched: BatchWatched, history: BatchHistory) -> Verdict | None:
    left = missing(watched, history)
    if not left or not history.refusals or lacks(history.refusals):
        return None
    return Verdict(
        outcome=Outcome.NO_CAPACITY,
        reason=f"AWS can start {count(left, 'task')} nowhere {watched.compute.place}: {_refused(history)}.",
        ours=True,
    )


def _ended(watched: BatchWatched, history: BatchHistory) -> Verdict | None:
    if missing(watched, history) or history.live:
        return None
    return verdict_of(ends_of(watched, history))


def verdict_of(ends: Sequence[TaskEnd]) -> Verdict:
    """Return the verdict over a batch that has ended."""
    failed = [end for end in ends if end.judgement is not Judgement.SUCCEEDED]
    if not failed:
        those = "The task" if len(ends) == 1 else f"All {len(ends)} tasks"
        return Verdict(outcome=Outcome.SUCCEEDED, reason=f"{those} ended well (exit code 0).")
    whys = Counter(end.reason for end in failed)
    shown = "; ".join(f"{why}" if n == 1 else f"{why} ({n} tasks)" for why, n in whys.most_common(3))
    what = "The task failed" if len(ends) == 1 else f"{len(failed)} of {len(ends)} tasks failed"
    if all(end.judgement is Judgement.UNKNOWN for end in failed):
        what = what.replace("failed", "vanished")
    return Verdict(outcome=Outcome.FAILED, reason=f"{what}: {shown}.")


def _no_place(watched: BatchWatched, history: BatchHistory, now: float) -> Verdict | None:
    waiting = missing(watched, history) + sum(stage_of(t) == Stage.PLACEMENT for t in history.live)
    if not waiting or history.holds_a_place or history.blind:
        return None
    without = now - history.placed_at
    certain = history.shortage is not None and history.shortage.certain
    if not certain and without < watched.placement_timeout:
        return None
    why = _refused(history)
    return Verdict(
        outcome=Outcome.NO_CAPACITY,
        reason=f"No place was found for {waiting} of {count(watched.wanted, 'task')} for {span(without)}"
        + (f" ({why})." if why else ".")
        + (f" {history.shortage.message}" if history.shortage else ""),
        ours=True,
    )


def _timed_out(watched: BatchWatched, history: BatchHistory, now: float) -> Verdict | None:
    if now - watched.began < watched.timeout:
        return None
    return Verdict(
        outcome=Outcome.TIMED_OUT,
        reason=f"Not finished after {span(watched.timeout)}: {progress_text(watched, history)}.",
        ours=True,
    )


def _refused(history: BatchHistory) -> str:
    return ", ".join(dict.fromkeys(refusal.told for refusal in history.refusals))


def progress_text(watched: BatchWatched, history: BatchHistory) -> str:
    """Return how far a batch is, in one line: `placement 3 · run 12 · ended 5 of 20`."""
    stages = Counter(stage_of(task) for task in history.tasks.values())
    left = missing(watched, history)
    parts = [f"{count(left, 'task')} not started"] if left else []
    parts += [f"{stage} {stages[stage]}" for stage in list(Stage)[:-1] if stages[stage]]
    parts.append(f"ended {stages[Stage.ENDED]} of {watched.wanted}")
    return " · ".join(parts)
