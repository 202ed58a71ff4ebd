"""Run a batch to its end: start what finds room, look → observed → judge → show, until it is over.

A lack of room is waited for within placement-timeout. The time counts only while none of our own tasks
holds a place: those make room when they end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.capacity.compute import Compute, compute_of
from ecs_gpu_deploy.core.definition.task_request import TaskRequest
from ecs_gpu_deploy.core.diagnose.batch_causes import batch_diagnoses, failed_tasks, is_explained
from ecs_gpu_deploy.core.judge.batch import (
    BatchHistory,
    BatchLook,
    BatchWatched,
    ends_of,
    judge_batch,
    missing,
    observed_batch,
    progress_text,
)
from ecs_gpu_deploy.core.judge.batch_phases import batch_seconds
from ecs_gpu_deploy.core.judge.batch_request import Rounds
from ecs_gpu_deploy.core.judge.options import WaitOptions
from ecs_gpu_deploy.core.judge.pace import (
    HEARTBEAT_SECONDS,
    LAST_LOOK_SECONDS,
    LATE_LINES_PAUSES,
    seconds_to_next_batch_look,
)
from ecs_gpu_deploy.core.judge.task_end import Stage
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.core.show.batch_view import end_line
from ecs_gpu_deploy.core.text import count
from ecs_gpu_deploy.edges.aws.answers import Unclear
from ecs_gpu_deploy.edges.aws.ecs_tasks import EcsTasks
from ecs_gpu_deploy.edges.aws.logs import LogFollower
from ecs_gpu_deploy.edges.machine.signals import Cancelled, heed_held, held_signals
from ecs_gpu_deploy.model import LogTail, Task
from ecs_gpu_deploy.result import Diagnosis, Judgement, Outcome, Phase, TaskEnd
from ecs_gpu_deploy.steps.observe_batch import BatchLooker
from ecs_gpu_deploy.steps.start_batch import start_tasks

_PROVISIONING_SECONDS = 60.0
"""After so long in PROVISIONING it is said what the instances lack."""
_SHOWN_ENDS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What is to run: RunTask's request, how many, and the mark that makes the client tokens.

    `definition` is the raw task definition, `named` the container that was named for the work. Without a
    `request` (None) only *known* tasks are watched.
    """

    request: TaskRequest | None
    definition: Mapping[str, Any]
    wanted: int
    mark: str = ""
    named: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSeen:
    """What is known of a batch `at` the end of the wait; it `began` with its first task. Epoch seconds.

    `log_tails` are the last lines of the first failed tasks, as they were seen at the verdict; `problems`
    say why log lines could not be followed.
    """

    watched: BatchWatched
    history: BatchHistory
    began: float
    at: float
    log_tails: tuple[LogTail, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Return the tasks of the batch as they were last seen."""
        return tuple(self.history.tasks.values())

    @property
    def live(self) -> tuple[str, ...]:
        """Return the ARNs of the tasks that have not ended."""
        return tuple(task.arn for task in self.history.live)

    @property
    def ends(self) -> tuple[TaskEnd, ...]:
        """Return how each task ended, or that it runs."""
        return ends_of(self.watched, self.history)

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Return the seconds in each phase, by the tasks' own time stamps."""
        ends = [task.stopped_at for task in self.tasks if task.stopped_at is not None]
        goes_on = self.history.live or missing(self.watched, self.history)
        until = self.at if goes_on else max(ends, default=self.at)
        seconds = batch_seconds(self.tasks, began=self.began, until=max(until, self.began))
        limits = {Stage.PLACEMENT: self.watched.placement_timeout, Stage.RUN: self.watched.timeout}
        return tuple(
            Phase(name=stage, seconds=seconds[stage], deadline=limits.get(stage, 0.0)) for stage in seconds
        )

    def diagnoses(self, verdict: Verdict) -> tuple[Diagnosis, ...]:
        """Return the causes of what failed."""
        return batch_diagnoses(self.watched, self.history, verdict, self.log_tails)

    def with_tasks(self, tasks: Sequence[Task], *, at: float) -> BatchSeen:
        """Return the batch with tasks that a RunTask started whose answer was lost, as they are *at* now."""
        look = BatchLook(at=at, started=tasks)
        return replace(self, history=observed_batch(self.watched, self.history, look), at=at)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchWait:
    """How a wait for a batch ended; no `verdict` where the job was cancelled, or RunTask's answer `lost`."""

    verdict: Verdict | None
    seen: BatchSeen
    lost: Unclear | None = None


class BatchWatcher:
    """The loop over one batch. What it has seen leaves it as a `BatchWait`."""

    def __init__(
        self, context: Context, batch: Batch, wait: WaitOptions, *, known: Sequence[Task] = ()
    ) -> None:
        now = context.clock.now()
        self._context, self._request = context, batch.request
        self._interval = wait.poll_interval
        self._watched = BatchWatched(
            definition=batch.definition,
            wanted=batch.wanted,
            began=now,
            timeout=wait.timeout,
            placement_timeout=wait.placement_timeout,
            named=batch.named,
            compute=_compute(batch, known),
            restarts=batch.request is not None,
        )
        self._history = BatchHistory(placed_at=now, tasks={task.arn: task for task in known})
        edge = EcsTasks(context.aws, context.ecs.cluster)
        reporter = context.reporter
        self._looker = BatchLooker(context.aws, context.ecs, edge, reporter, definition=batch.definition)
        self._edge, self._mark, self._rounds = edge, batch.mark, Rounds()
        began = [at for at in (task.created_at for task in known) if at is not None]
        self._began = min(began, default=now) if batch.request is None else now
        containers = batch.definition.get("containerDefinitions") or ()
        self._logs = LogFollower(context.aws, containers, since=min([now, *began]))
        self._names = len(containers)
        self._tails: tuple[LogTail, ...] = ()
        self._shown_ends: set[str] = set()
        self._last: tuple[str, float] = ("", now)
        self._asked_for_room = False

    def wait(self) -> BatchWait:
        """Start and look until every task has ended, or we end the wait."""
        return self._until_interrupted(self._waited)

    def start_all(self) -> BatchWait:
        """Start the tasks without waiting for their end."""
        return self._until_interrupted(self._started)

    def _until_interrupted(self, run: Callable[[], Verdict]) -> BatchWait:
        try:
            return BatchWait(verdict=run(), seen=self._seen())
        except Cancelled:
            return BatchWait(verdict=None, seen=self._seen())
        except Unclear as error:
            return BatchWait(verdict=None, seen=self._seen(), lost=error)

    def _seen(self) -> BatchSeen:
        return BatchSeen(
            watched=self._watched,
            history=self._history,
            began=self._began,
            at=self._context.clock.now(),
            log_tails=self._tails,
            problems=self._logs.problems,
        )

    def _started(self) -> Verdict:
        while True:
            now = self._context.clock.now()
            with self._context.aws.bounded(self._seconds_left(now)):
                self._start(now)
            if not missing(self._watched, self._history):
                reason = f"{count(len(self._history.tasks), 'task')} started; nobody waited."
                return Verdict(outcome=Outcome.STARTED, reason=reason)
            verdict = judge_batch(self._watched, self._history, now)
            if verdict:
                return verdict
            self._sleep(now)

    def _waited(self) -> Verdict:
        while True:
            now = self._context.clock.now()
            with self._context.aws.bounded(self._seconds_left(now)):
                self._start(now)
                self._look(now)
            verdict = judge_batch(self._watched, self._history, now)
            if self._wants_room(verdict, now):
                self._look_for_room(now)
                verdict = judge_batch(self._watched, self._history, now)
            with self._context.aws.bounded(self._seconds_left(now)):
                self._show(now)
            if verdict:
                self._look_at_late_lines(verdict)
                return verdict
            self._sleep(now)

    def _seconds_left(self, now: float) -> float:
        return max(self._watched.began + self._watched.timeout - now, LAST_LOOK_SECONDS)

    def _sleep(self, now: float) -> None:
        self._context.clock.sleep(
            seconds_to_next_batch_look(
                self._watched,
                self._history,
                now,
                interval=self._interval,
                next_try=self._rounds.next_try if self._request else now,
            )
        )

    def _start(self, now: float) -> None:
        request, known = self._request, self._history.tasks
        wanted, rounds = missing(self._watched, self._history), self._rounds
        if request is None or not wanted or now < rounds.next_try:
            return
        started = 0
        with held_signals():
            # A request that is under way ends before a signal is heeded: what it started is then known.
            for done in start_tasks(
                self._edge, request, mark=self._mark, round_number=rounds.number, wanted=wanted
            ):
                look = BatchLook(at=now, started=done.tasks, refusals=done.refusals)
                self._history = observed_batch(self._watched, self._history, look)
                started += len(done.tasks)
                heed_held()
        self._rounds = rounds.after(wanted=wanted, started=started, now=now)
        heed_held()
        if new := [task for arn, task in self._history.tasks.items() if arn not in known]:
            self._say(f"{count(len(new), 'task')} started: {_listed(new)}", now)
        left = missing(self._watched, self._history)
        if left and self._rounds.tries == 1:
            why = ", ".join(dict.fromkeys(each.told for each in self._history.refusals)) or "no room"
            self._say(f"no room for {count(left, 'task')} ({why}); trying again", now)
            self._look_for_room(now)

    def _wants_room(self, verdict: Verdict | None, now: float) -> bool:
        """Say whether to ask what the instances lack: once while tasks wait for one, and at the end."""
        waits = any(task.last_status == "PROVISIONING" for task in self._history.live)
        if verdict is not None:
            return waits and verdict.outcome == Outcome.NO_CAPACITY
        return waits and not self._asked_for_room and now - self._history.placed_at >= _PROVISIONING_SECONDS

    def _look_for_room(self, now: float) -> None:
        self._asked_for_room = True
        waiting = sum(task.last_status == "PROVISIONING" for task in self._history.live)
        shortage = self._looker.look_for_room(
            self._request.overrides if self._request else None, self._watched.compute, provisioning=waiting
        )
        if shortage is not None:
            known = self._history.shortage
            self._history = observed_batch(self._watched, self._history, BatchLook(at=now, shortage=shortage))
            if known is None or known.note != shortage.note:
                self._say(shortage.note, now)

    def _look(self, now: float) -> None:
        seen = self._looker.look_at_tasks(self._history.live, now)
        look = BatchLook(at=now, blind=True)
        if seen is not None:
            look = BatchLook(at=now, seen=seen.tasks, unknown=seen.unknown)
        self._history = observed_batch(self._watched, self._history, look)

    def _look_at_late_lines(self, verdict: Verdict) -> None:
        """Give the last lines a moment to arrive; a longer one where nothing else tells why a task failed."""
        if not any(task.started_at for task in self._history.tasks.values()):
            return
        for seconds in LATE_LINES_PAUSES:
            self._context.clock.sleep(seconds)
            self._show_lines(to_the_end=True)
            failed = failed_tasks(self._watched, self._history)
            self._tails = self._looker.look_at_logs(failed)
            may_come = any(tail.may_come for tail in self._tails)
            found = batch_diagnoses(self._watched, self._history, verdict, self._tails)
            if verdict.outcome != Outcome.FAILED or not may_come or is_explained(found):
                return

    # Showing

    def _show(self, now: float) -> None:
        self._show_lines(to_the_end=False)
        for end in ends_of(self._watched, self._history):
            if end.judgement is not Judgement.RUNNING and end.task_arn not in self._shown_ends:
                self._shown_ends.add(end.task_arn)
                if end.judgement is not Judgement.SUCCEEDED or len(self._shown_ends) <= _SHOWN_ENDS:
                    self._say(end_line(end), now)
        text = progress_text(self._watched, self._history)
        last, at = self._last
        if text != last or now - at >= HEARTBEAT_SECONDS:
            self._last = (text, now)
            self._say(text, now)

    def _show_lines(self, *, to_the_end: bool) -> None:
        started = [task.id for task in self._history.tasks.values() if task.started_at is not None]
        several = self._watched.wanted > 1
        for line in self._logs.follow(started, to_the_end=to_the_end):
            parts = [line.task_id[:8]] * several + [line.container] * (self._names > 1)
            mark = f"[{' '.join(parts)}] " if parts else ""
            self._context.reporter.block(f"{mark}{line.text}")

    def _say(self, text: str, now: float) -> None:
        self._context.reporter.say(text, now=now)


def _compute(batch: Batch, known: Sequence[Task]) -> Compute:
    request = batch.request
    return compute_of(
        launch_types=[request.launch_type if request else "", *(task.launch_type for task in known)],
        providers=[
            *(request.providers if request else ()),
            *(task.capacity_provider for task in known),
        ],
        compatibilities=batch.definition.get("requiresCompatibilities") or (),
    )


def _listed(tasks: Sequence[Task]) -> str:
    shown = ", ".join(task.id[:8] for task in tasks[:10])
    return shown if len(tasks) <= 10 else f"{shown}, …"
