"""When each phase of a rollout ran, and how long its tasks held their GPUs, drawn as a mermaid gantt."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ecs_gpu_deploy.core.judge.phases import PhaseName
from ecs_gpu_deploy.core.show.progress import Progress, TaskGpus
from ecs_gpu_deploy.core.text import span

_KEPT_SPANS = 200
_SHOWN_SPANS = 16
_SHOWN_TASKS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseSpan:
    """One stay of the rollout in one phase, in epoch seconds. A crash loop comes back to a phase."""

    name: str
    began_at: float
    ended_at: float
    is_late: bool = False

    @property
    def seconds(self) -> float:
        """Return how long it lasted."""
        return max(self.ended_at - self.began_at, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The phases seen so far, oldest first; a bounded number of them."""

    spans: tuple[PhaseSpan, ...] = ()

    def with_look(self, progress: Progress) -> Timeline:
        """Return the timeline after one more look at the rollout."""
        began = progress.at - progress.phase_seconds
        now = PhaseSpan(name=progress.phase, began_at=began, ended_at=progress.at, is_late=progress.is_late)
        if not self.spans:
            return Timeline(spans=(now,))
        *earlier, last = self.spans
        if last.name == now.name:
            return Timeline(spans=(*earlier, replace(now, began_at=last.began_at)))
        ended = replace(last, ended_at=max(began, last.began_at))
        return Timeline(spans=(*earlier, ended, now)[-_KEPT_SPANS:])

    def seconds(self, phase: PhaseName) -> float:
        """Return the seconds spent in *phase*, over all stays in it."""
        return sum(stay.seconds for stay in self.spans if stay.name == phase)


def gantt(spans: Sequence[PhaseSpan], tasks: Sequence[TaskGpus], *, until: float) -> str:
    """Return the phases and the tasks as a fenced mermaid gantt with real times; "" without phases.

    *until* ends what still goes on. Times are epoch milliseconds (`dateFormat x`): mermaid 11 takes them for
    milliseconds under `X` too. It writes the viewer's local time. Only phase names and hexadecimal ids stand
    in it.
    """
    shown = [stay for stay in spans if stay.seconds > 0]
    if not shown:
        return ""
    longest = sorted(shown, key=lambda stay: stay.seconds, reverse=True)[:_SHOWN_SPANS]
    lines = ["```mermaid", "gantt", "    dateFormat x", "    axisFormat %H:%M:%S", "    todayMarker off"]
    lines.append("    section Rollout")
    for stay in sorted(longest, key=lambda stay: stay.began_at):
        tag = "crit, " if stay.is_late else ""
        lines.append(_bar(f"{stay.name} {span(stay.seconds)}", tag, stay.began_at, stay.ended_at))
    placed = [task for task in tasks if task.ours and task.placed_at is not None]
    if placed:
        lines.append("    section Tasks")
    for task in sorted(placed, key=lambda task: task.placed_at or 0.0)[:_SHOWN_TASKS]:
        began, ended = task.placed_at or 0.0, task.stopped_at or until
        word, tag = ("failed after", "crit, ") if task.failed else ("ran", "done, ")
        if task.stopped_at is None:
            word, tag = "runs", "active, "
        lines.append(
            _bar(f"{_bare(task.task_id)[:8]} {word} {span(max(ended - began, 0.0))}", tag, began, ended)
        )
    return "\n".join([*lines, "```"])


def _bar(title: str, tag: str, began: float, ended: float) -> str:
    start = round(began)
    return f"    {title} :{tag}{start * 1000}, {max(round(ended), start + 1) * 1000}"


def _bare(text: str) -> str:
    """Return *text* without what mermaid reads as syntax."""
    return re.sub(r"[^\w-]", "", text, flags=re.ASCII)
