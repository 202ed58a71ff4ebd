"""How a rollout that goes on is shown: one line for an append-only log, a frame of lines for a terminal.

Both views tell the same, from the same data. Notes are AWS's or ours and may carry anything: they are made
safe here.
"""

from __future__ import annotations

from dataclasses import replace

from ecs_gpu_deploy.core.judge.phases import PhaseName
from ecs_gpu_deploy.core.show.progress import Hook, Progress
from ecs_gpu_deploy.core.text import count, log_line, short_arns, span

_WORTH_TELLING = 60.0
_BAR = 24
_ORDER = tuple(PhaseName)

Segment = tuple[str, str]
"""(style, text); the styles are "", "strong", "done", "active", "late", "quiet"."""
Line = tuple[Segment, ...]


def progress_line(progress: Progress, *, told: str = "") -> str:
    """Return one line: `pull 6m12s · load 9m03s of 20m · new 0/2 · old 2 · breaker 1/3`.

    Phases that are over are named where they took a minute or longer. A note that was *told* in the line
    before is left out: a heartbeat is short.
    """
    note = [] if progress.note == told else _note(progress)
    return " · ".join([*_phases(progress), *_facts(progress), *_wait(progress), *note])


def _phases(progress: Progress) -> list[str]:
    if progress.rolling_back:
        return ["rolling back"]
    over = [phase for phase in _ORDER if phase != progress.phase and _is_over(phase, progress)]
    told = [phase for phase in over if _spent(phase, progress) >= _WORTH_TELLING]
    return [*(f"{phase} {span(_spent(phase, progress))}" for phase in told), _current(progress)]


def _spent(phase: PhaseName, progress: Progress) -> float:
    return progress.before.get(phase, 0.0)


def _is_over(phase: PhaseName, progress: Progress) -> bool:
    return _spent(phase, progress) > 0 and _ORDER.index(phase) < _ORDER.index(progress.phase)


def _current(progress: Progress) -> str:
    late = " (late)" if progress.is_late else ""
    limit = f" of {span(progress.deadline)}" if progress.deadline > 0 else ""
    return f"{progress.phase} {span(progress.phase_seconds)}{limit}{late}"


def _facts(progress: Progress) -> list[str]:
    facts = [_counts(progress)] if progress.new_desired or progress.new_running else []
    if progress.old_running:
        facts.append(f"old {progress.old_running}")
    if progress.lifecycle_stage:
        facts.append(f"stage {log_line(progress.lifecycle_stage, limit=60)}")
    if progress.hook is not None:
        expires = progress.hook.expires_at
        facts.append("a hook waits" + (f", {span(expires - progress.at)} left" if expires else ""))
    if progress.breaker_enabled and progress.breaker_failures:
        facts.append(f"breaker {progress.breaker_failures}/{progress.breaker_threshold}")
    if progress.failed_tasks > progress.breaker_failures or (
        progress.failed_tasks and not progress.breaker_enabled
    ):
        facts.append(f"{count(progress.failed_tasks, 'task')} failed")
    return facts


def _counts(progress: Progress) -> str:
    running, healthy = progress.new_running, progress.new_healthy
    if healthy >= progress.new_desired > 0:
        return f"new {healthy}/{progress.new_desired} healthy"
    beside = f", {healthy} healthy" if healthy else ""
    return f"new {running}/{progress.new_desired} running{beside}"


def _wait(progress: Progress) -> list[str]:
    if progress.capacity_wait is None:
        return []
    limit = f" of {span(progress.capacity_limit)}" if progress.capacity_limit else ""
    return [f"no room for {span(progress.capacity_wait)}{limit}"]


def _note(progress: Progress) -> list[str]:
    note = log_line(short_arns(progress.note), limit=300)
    return [note] if note else []


def hook_lines(hook: Hook, *, at: float) -> tuple[str, ...]:
    """Return what a person must do about a lifecycle hook that waits for an answer."""
    left = "" if hook.expires_at is None else f" for another {span(hook.expires_at - at)}"
    then = f", then AWS does {hook.timeout_action}" if hook.timeout_action and left else ""
    lines = [log_line(f"the hook {hook.id} waits at {hook.stage} for an answer{left}{then}")]
    commands = {
        "to go on:    ": hook.continue_command,
        "to roll back:": hook.rollback_command,
        "or:          ": hook.aws_command,
    }
    lines += [f"  {what} {log_line(command)}" for what, command in commands.items() if command]
    return tuple(lines)


def event_line(message: str, *, service: str = "") -> str:
    """Return a service event as a person reads it: without the service's name, ARNs cut to names."""
    return f"event: {log_line(short_arns(message.removeprefix(f'(service {service}) ')))}"


def frame(progress: Progress) -> tuple[Line, ...]:
    """Return the live view: a head, one line for each phase, and what there is to note."""
    head = "rolling back" if progress.rolling_back else "rollout"
    facts = "".join(f" · {fact}" for fact in _facts(progress))
    lines: list[Line] = [
        (
            ("late" if progress.rolling_back else "strong", head),
            ("strong", f" {span(progress.at - progress.started_at)}"),
            ("", facts),
        )
    ]
    lines += [_phase_line(phase, progress) for phase in _ORDER]
    lines += [(("late", f" ! {note}"),) for note in (*_wait(progress), *_note(progress))]
    if progress.hook is not None:
        lines += [(("active", f" {line}"),) for line in hook_lines(progress.hook, at=progress.at)]
    return tuple(lines)


def _phase_line(phase: PhaseName, progress: Progress) -> Line:
    name = f"{phase:<9}"
    if phase == progress.phase and not progress.rolling_back:
        style = "late" if progress.is_late else "active"
        share = min(progress.phase_seconds / progress.deadline, 1.0) if progress.deadline > 0 else 0.0
        full = round(share * _BAR)
        limit = f" of {span(progress.deadline)}" if progress.deadline > 0 else ""
        return (
            (style, f" ▸ {name} {span(progress.phase_seconds):>7} "),
            (style, "━" * full),
            ("quiet", "─" * (_BAR - full)),
            (style, limit + (" (late)" if progress.is_late else "")),
        )
    if _spent(phase, progress) > 0:
        over = _is_over(phase, progress) and not progress.rolling_back
        sign = "✓" if over else "·"
        return (("done" if over else "quiet", f" {sign} {name} {span(_spent(phase, progress)):>7}"),)
    return (("quiet", f"   {name}".rstrip()),)


def ticked(progress: Progress, seconds: float) -> Progress:
    """Return *progress* as it looks *seconds* later, when nothing but time has passed."""
    waited = progress.capacity_wait
    return replace(
        progress,
        at=progress.at + seconds,
        phase_seconds=progress.phase_seconds + seconds,
        capacity_wait=None if waited is None else waited + seconds,
    )
