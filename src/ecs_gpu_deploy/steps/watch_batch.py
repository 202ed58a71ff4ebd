"""Run a batch to its end: start what finds room, look, show phases and log lines, judge every task.

A lack of room is waited for within placement-timeout. The time counts only while none of our own tasks
holds a place: those make room when they end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ecs_gpu_deploy.core.capacity.fit import requirement_of
from ecs_gpu_deploy.core.capacity.shortage import Shortage, shortage_of
from ecs_gpu_deploy.core.diagnose.diagnosis import diagnoses_of, diagnosis
from ecs_gpu_deploy.core.judge.batch import (
    A_CALL,
    Refusal,
    Stage,
    client_token,
    lacks,
    never_placed,
    progress_text,
    retry_wait,
    stage_of,
    task_end,
    verdict_of,
)
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.core.text import count, span
from ecs_gpu_deploy.edges.aws.answers import AwsError, Passing, refused
from ecs_gpu_deploy.edges.aws.ecs_tasks import EcsTasks
from ecs_gpu_deploy.edges.aws.logs import LogFollower, fetch_log_tail
from ecs_gpu_deploy.model import LogTail, Service, Task
from ecs_gpu_deploy.result import Diagnosis, Outcome, Phase, TaskEnd
from ecs_gpu_deploy.steps.context import Context

_HEARTBEAT = 60.0
_SHORTEST_SLEEP = 0.2
_LATE_LINES = 3.0
_LOG_TAILS = 8
_SHOWN_ENDS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What is to run: RunTask's request, how many, and the mark that makes the client tokens.

    `definition` is the raw task definition. Without a `request` (None) only *known* tasks are watched.
    """

    request: Mapping[str, Any] | None
    definition: Mapping[str, Any]
    wanted: int
    mark: str = ""


@dataclass(slots=True)
class _State:
    tasks: dict[str, Task] = field(default_factory=dict)
    unplaced: list[Task] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    round: int = 0
    tries: int = 0
    next_try: float = 0.0
    placed_at: float = 0.0
    looked_at: float = 0.0
    shortage: Shortage | None = None
    seconds: dict[Stage, float] = field(default_factory=dict)


class BatchWatcher:
    """The loop over one batch."""

    def __init__(self, context: Context, batch: Batch, *, known: Sequence[Task] = ()) -> None:
        self._context, self._batch = context, batch
        self._edge = EcsTasks(context.aws, context.settings.cluster)
        self._began = context.clock.now()
        self._state = _State(placed_at=self._began, next_try=self._began, looked_at=self._began)
        for task in known:
            self._state.tasks[task.arn] = task
        since = min((t.started_at or t.created_at or self._began for t in known), default=self._began)
        containers = batch.definition.get("containerDefinitions") or ()
        self._logs = LogFollower(context.aws, containers, since=since)
        self._names = len(containers)
        self._tails: tuple[LogTail, ...] | None = None
        self._shown_ends: set[str] = set()
        self._blind = ""
        self._last: tuple[str, float] = ("", self._began)

    # What came of it

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Return the tasks of the batch as they were last seen."""
        return tuple(self._state.tasks.values())

    @property
    def live(self) -> tuple[str, ...]:
        """Return the ARNs of the tasks that have not ended."""
        return tuple(t.arn for t in self.tasks if stage_of(t) != Stage.ENDED)

    @property
    def ends(self) -> tuple[TaskEnd, ...]:
        """Return how each task ended, or that it runs."""
        return tuple(task_end(task, self._batch.definition) for task in self.tasks)

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Return the seconds in each phase: that of the task which was least far."""
        settings, seconds = self._context.settings, self._state.seconds
        limits = {Stage.PLACEMENT: settings.placement_timeout, Stage.RUN: settings.timeout}
        return tuple(
            Phase(name=stage, seconds=seconds.get(stage, 0.0), deadline=limits.get(stage, 0.0))
            for stage in list(Stage)[:-1]
        )

    @property
    def problems(self) -> tuple[str, ...]:
        """Return why log lines could not be followed."""
        return self._logs.problems

    @property
    def log_tails(self) -> tuple[LogTail, ...]:
        """Return the last lines of the first failed tasks; asks AWS once."""
        if self._tails is None:
            failed = [end.task_arn for end in self.ends if end.judgement == "failed"]
            ran = [self._state.tasks[arn] for arn in failed if self._state.tasks[arn].started_at]
            containers = self._batch.definition.get("containerDefinitions") or ()
            self._tails = tuple(
                fetch_log_tail(self._context.aws, container, task.id)
                for task in ran[:_LOG_TAILS]
                for container in containers
            )
        return self._tails

    def diagnoses(self, verdict: Verdict) -> tuple[Diagnosis, ...]:
        """Return the causes of what failed."""
        if verdict.outcome == Outcome.SUCCEEDED:
            return ()
        failed = {end.task_arn for end in self.ends if end.judgement == "failed"}
        reasons: tuple[str, ...] = ()
        if verdict.outcome == Outcome.NO_CAPACITY:
            reasons = tuple(dict.fromkeys(refusal.told for refusal in self._state.refusals))
        found = diagnoses_of(
            tasks=(
                *(task for task in self.tasks if task.arn in failed),
                *(self._state.unplaced if verdict.outcome == Outcome.NO_CAPACITY else ()),
            ),
            log_tails=self.log_tails,
            reasons=reasons,
        )
        short = self._state.shortage
        if verdict.outcome != Outcome.NO_CAPACITY or short is None:
            return found
        why = diagnosis(short.code, evidence=reasons, message=short.message, hint=short.hint)
        return (why, *(each for each in found if each.code != short.code))

    # The loop

    def start_all(self) -> Verdict | None:
        """Start the tasks without waiting for their end; a verdict where that did not succeed."""
        while True:
            now = self._context.clock.now()
            verdict = self._start(now)
            if verdict or self._missing == 0:
                return verdict
            verdict = self._out_of_time(now)
            if verdict:
                return verdict
            self._context.clock.sleep(max(self._state.next_try - now, _SHORTEST_SLEEP))

    def wait(self) -> Verdict:
        """Start and look until every task has ended, or we end the wait."""
        context = self._context
        while True:
            now = context.clock.now()
            verdict = self._start(now)
            self._look(now)
            self._show(now)
            verdict = verdict or self._ended() or self._out_of_time(now)
            if verdict:
                self._show_late_lines()
                return verdict
            context.clock.sleep(max(self._interval(now), _SHORTEST_SLEEP))

    @property
    def _missing(self) -> int:
        return self._batch.wanted - len(self._state.tasks)

    def _interval(self, now: float) -> float:
        settings, state = self._context.settings, self._state
        ends = [self._began + settings.timeout - now]
        if self._missing:
            ends.append(max(state.next_try - now, 0.0))
        return float(min(settings.poll_interval, *ends))

    def _start(self, now: float) -> Verdict | None:
        """Send RunTask for what is missing, ten a call, until one finds no room for all of its ten."""
        batch, state = self._batch, self._state
        if batch.request is None or self._missing <= 0 or now < state.next_try:
            return None
        before, call = len(state.tasks), 0
        while self._missing > 0:
            number = min(A_CALL, self._missing)
            token = client_token(batch.mark, state.round, call)
            started = self._edge.run(batch.request, count=number, token=token)
            call += 1
            state.tasks |= {task.arn: task for task in started.tasks}
            if started.refusals:
                state.refusals = list(started.refusals)
                if not lacks(started.refusals):
                    return self._impossible(started.refusals)
            if len(started.tasks) < number:
                break
        state.round += 1
        if len(state.tasks) > before:
            state.tries, state.placed_at = 0, now
            new = len(state.tasks) - before
            self._say(f"{count(new, 'task')} started: {_listed(list(state.tasks.values())[before:])}", now)
        if self._missing > 0:
            state.tries += 1
            state.next_try = now + retry_wait(state.tries)
            if state.tries == 1:
                why = ", ".join(dict.fromkeys(r.told for r in state.refusals)) or "no room"
                self._say(f"no room for {count(self._missing, 'task')} ({why}); trying again", now)
                self._ask_why(now)
        return None

    def _ask_why(self, now: float) -> None:
        """Ask once what the instances lack: a task too large for all of them need not be waited for."""
        request = self._batch.request or {}
        strategy = request.get("capacityProviderStrategy") or ()
        if request.get("launchType") == "FARGATE":
            return
        pool = Service(
            arn="",
            name="",
            cluster_arn="",
            status="",
            task_definition="",
            desired_count=self._batch.wanted,
            running_count=0,
            pending_count=0,
            deployments=(),
            events=(),
            capacity_providers=tuple(item["capacityProvider"] for item in strategy),
        )
        with suppress(ValueError, AwsError):
            wanted = requirement_of(self._batch.definition, overrides=request.get("overrides"))
            waiting = sum(task.last_status == "PROVISIONING" for task in self.tasks)
            instances = self._context.ecs.observe_instances()
            self._state.shortage = shortage_of(wanted, pool, instances, provisioning=waiting)
        if self._state.shortage is not None:
            self._say(self._state.shortage.note, now)

    def _impossible(self, refusals: Sequence[Refusal]) -> Verdict:
        why = ", ".join(dict.fromkeys(refusal.told for refusal in refusals))
        return Verdict(
            outcome=Outcome.NO_CAPACITY,
            reason=f"AWS can start {count(self._missing, 'task')} nowhere in the cluster: {why}.",
            ours=True,
        )

    def _look(self, now: float) -> None:
        state = self._state
        live = self.live
        if live:
            try:
                seen = self._edge.observe(live)
            except AwsError as error:
                if not isinstance(error, Passing):
                    raise refused(error, "describe the tasks") from error
                if not self._blind:
                    self._blind = error.text
                    self._say(f"AWS does not answer about the tasks just now ({self._blind})", now)
                seen = ()
            else:
                if self._blind:
                    self._blind = ""
                    self._say("AWS answers again about the tasks", now)
            for task in seen:
                state.tasks[task.arn] = task
        least = min((list(Stage).index(stage_of(t)) for t in self.tasks), default=0)
        stage = Stage.PLACEMENT if self._missing > 0 else list(Stage)[least]
        if stage != Stage.ENDED:
            state.seconds[stage] = state.seconds.get(stage, 0.0) + now - state.looked_at
        state.looked_at = now
        if any(stage_of(t) not in {Stage.PLACEMENT, Stage.ENDED} for t in self.tasks):
            state.placed_at = now
        if self._batch.request is not None:
            for task in [task for task in self.tasks if never_placed(task)]:
                del state.tasks[task.arn]
                state.unplaced.append(task)
                state.refusals.append(Refusal(reason=task.stopped_reason))

    def _ended(self) -> Verdict | None:
        if self._missing > 0 or self.live:
            return None
        return verdict_of(self.ends)

    def _out_of_time(self, now: float) -> Verdict | None:
        settings, state = self._context.settings, self._state
        waits = self._missing > 0 or any(stage_of(t) == Stage.PLACEMENT for t in self.tasks)
        without = now - state.placed_at
        certain = state.shortage is not None and state.shortage.certain
        if waits and not self._holds_a_place() and (certain or without >= settings.placement_timeout):
            why = ", ".join(dict.fromkeys(r.told for r in state.refusals))
            what = count(self._batch.wanted, "task")
            waiting = self._missing + sum(stage_of(t) == Stage.PLACEMENT for t in self.tasks)
            return Verdict(
                outcome=Outcome.NO_CAPACITY,
                reason=f"No place was found for {waiting} of {what} for {span(without)}"
                + (f" ({why})." if why else ".")
                + (f" {state.shortage.message}" if state.shortage else ""),
                ours=True,
            )
        if now - self._began >= settings.timeout:
            return Verdict(
                outcome=Outcome.TIMED_OUT,
                reason=f"Not finished after {span(settings.timeout)}: "
                f"{progress_text(self.tasks, self._batch.wanted)}.",
                ours=True,
            )
        return None

    def _holds_a_place(self) -> bool:
        return any(stage_of(t) not in {Stage.PLACEMENT, Stage.ENDED} for t in self.tasks)

    # Showing

    def _show(self, now: float) -> None:
        self._show_lines(to_the_end=False)
        self._show_ends(now)
        text = progress_text(self.tasks, self._batch.wanted)
        last, at = self._last
        if text != last or now - at >= _HEARTBEAT:
            self._last = (text, now)
            self._say(text, now)

    def _show_ends(self, now: float) -> None:
        for end in self.ends:
            if end.judgement == "running" or end.task_arn in self._shown_ends:
                continue
            self._shown_ends.add(end.task_arn)
            if end.judgement == "failed" or len(self._shown_ends) <= _SHOWN_ENDS:
                without = "without an exit code" if end.started_at else "never ran"
                codes = ", ".join(
                    f"{c.name} exit {c.exit_code}" if c.exit_code is not None else f"{c.name} {without}"
                    for c in end.containers
                )
                ran = end.stopped_at - end.started_at if end.stopped_at and end.started_at else None
                took = f" after {span(ran)}" if ran is not None else ""
                why = f": {end.stopped_reason}" if end.judgement == "failed" else ""
                self._say(f"task {_short(end.task_arn)} {end.judgement}{took} ({codes}){why}", now)

    def _show_late_lines(self) -> None:
        """Give the last lines a moment to arrive: they are ingested after the task has ended."""
        if any(task.started_at for task in self.tasks):
            self._context.clock.sleep(_LATE_LINES)
            self._show_lines(to_the_end=True)

    def _show_lines(self, *, to_the_end: bool) -> None:
        started = [task.id for task in self.tasks if task.started_at is not None]
        several = self._batch.wanted > 1
        for line in self._logs.follow(started, to_the_end=to_the_end):
            parts = [line.task_id[:8]] * several + [line.container] * (self._names > 1)
            mark = f"[{' '.join(parts)}] " if parts else ""
            self._context.reporter.block(f"{mark}{line.text}")

    def _say(self, text: str, now: float) -> None:
        self._context.reporter.say(text, now=now)


def _listed(tasks: Sequence[Task]) -> str:
    shown = ", ".join(task.id[:8] for task in tasks[:10])
    return shown if len(tasks) <= 10 else f"{shown}, …"


def _short(arn: str) -> str:
    return arn.rpartition("/")[2][:8]
