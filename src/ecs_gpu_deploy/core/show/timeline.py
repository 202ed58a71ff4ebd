"""When each phase of a rollout ran, and how long its tasks held their GPUs, drawn as a mermaid gantt."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from ecs_gpu_deploy.core.judge.stays import Stay
from ecs_gpu_deploy.core.show.progress import TaskGpus
from ecs_gpu_deploy.core.text import span

_SHOWN_STAYS = 16
_SHOWN_TASKS = 12


def gantt(
    stays: Sequence[Stay], tasks: Sequence[TaskGpus], *, until: float, late: Collection[str] = ()
) -> str:
    """Return the phases and the tasks as a fenced mermaid gantt with real times; "" without phases.

    *late* are the names of the phases that were late. A task's bar is the time for which it held its GPUs; in
    words it is said for how long its containers ran, as everywhere. *until* ends what still goes on. Times
    are epoch milliseconds (`dateFormat x`): mermaid 11 takes them for milliseconds under `X` too. It writes
    the viewer's local time. Only phase names and hexadecimal ids stand in it.
    """
    shown = [stay for stay in stays if stay.seconds > 0]
    if not shown:
        return ""
    longest = sorted(shown, key=lambda stay: stay.seconds, reverse=True)[:_SHOWN_STAYS]
    lines = ["```mermaid", "gantt", "    dateFormat x", "    axisFormat %H:%M:%S", "    todayMarker off"]
    lines.append("    section Rollout")
    for stay in sorted(longest, key=lambda stay: stay.began_at):
        tag = "crit, " if stay.name in late else ""
        lines.append(_bar(f"{stay.name} {span(stay.seconds)}", tag, stay.began_at, stay.ended_at))
    placed = [task for task in tasks if task.ours and task.placed_at is not None]
    if placed:
        lines.append("    section Tasks")
    for task in sorted(placed, key=lambda task: task.placed_at or 0.0)[:_SHOWN_TASKS]:
        began, ended = task.placed_at or 0.0, task.stopped_at or until
        word, tag = ("failed", "crit, ") if task.failed else ("ended", "done, ")
        if task.stopped_at is None or task.runs_on:
            word, tag = "runs", "active, "
        elif task.ran is not None:
            word = f"{'failed after' if task.failed else 'ran'} {span(task.ran)}"
        lines.append(_bar(f"{_bare(task.task_id)[:8]} {word}", tag, began, ended))
    return "\n".join([*lines, "```"])


def _bar(title: str, tag: str, began: float, ended: float) -> str:
    start = round(began)
    return f"    {title} :{tag}{start * 1000}, {max(round(ended), start + 1) * 1000}"


def _bare(text: str) -> str:
    """Return *text* without what mermaid reads as syntax."""
    return re.sub(r"[^\w-]", "", text, flags=re.ASCII)
