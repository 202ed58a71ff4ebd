"""The preflight of several services: each for itself, and whether they find free GPUs together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.core.text import count
from ecs_gpu_deploy.facts import Fact
from ecs_gpu_deploy.inputs.requests import Preflight
from ecs_gpu_deploy.model import Service
from ecs_gpu_deploy.result import Finding, Severity
from ecs_gpu_deploy.steps.follow_rollout import Plan
from ecs_gpu_deploy.steps.look_ahead import LookedAhead
from ecs_gpu_deploy.steps.preflight import preflight
from ecs_gpu_deploy.steps.render_revision import Rendering


@dataclass(frozen=True, slots=True, kw_only=True)
class OneOfSeveral:
    """A service that is to get the revision: what it is called, its own context, as it was seen, its plan."""

    name: str
    context: Context
    seen: Service
    plan: Plan


def preflight_several(
    context: Context,
    wish: Preflight,
    parts: Sequence[OneOfSeveral],
    rendering: Rendering,
    *,
    together: bool,
    untouched: str,
) -> Verdict | None:
    """Look ahead at each of *parts*; return a verdict where what one of them is told ends the run.

    *together*: all begin at once, and then share what is free. One after the other each finds the room that
    the one before leaves, which holds as much after its rollout as before. The plan in the result is that of
    the first, or of the one that ends the run.
    """
    if wish.mode == "off":
        return None
    first: list[Fact] = []
    aheads: list[tuple[OneOfSeveral, LookedAhead]] = []
    for part in parts:
        kept: list[Fact] = []
        own = replace(
            part.context,
            record=_recorder(context, part.name, kept),
            reporter=context.reporter.of(part.name),
        )
        current = own.ecs.fetch_task_definition(part.plan.service.task_definition)
        shown = replace(rendering, current=current, changes=part.plan.changes)
        ahead = preflight(own, wish, part.plan, part.seen, shown, command="deploy", untouched=untouched)
        if isinstance(ahead, Verdict):
            for fact in kept:
                context.record(fact)
            return replace(ahead, reason=f"{part.name}: {ahead.reason}")
        if ahead is not None:
            aheads.append((part, ahead))
        first = first or kept
    for fact in first:
        context.record(fact)
    if together:
        _tell_shared(context, aheads)
    return None


def _recorder(context: Context, name: str, kept: list[Fact]) -> Callable[[Fact], None]:
    """Return what tells findings at once, with the service's *name*, and keeps the rest."""

    def record(fact: Fact) -> None:
        if isinstance(fact, Finding):
            context.record(replace(fact, message=f"{name}: {fact.message}", service=name))
        else:
            kept.append(fact)

    return record


def _tell_shared(context: Context, aheads: Sequence[tuple[OneOfSeveral, LookedAhead]]) -> None:
    """Record where services of a cluster together want more GPUs at once than are free in it."""
    by_cluster: dict[str, list[tuple[str, LookedAhead]]] = defaultdict(list)
    for part, ahead in aheads:
        by_cluster[part.seen.cluster_arn].append((part.name, ahead))
    for those in by_cluster.values():
        wanted = sum(ahead.added_gpus for _, ahead in those)
        free = max(ahead.free_gpus for _, ahead in those)
        launches = any(ahead.plan.capacity.launches for _, ahead in those)
        if len(those) < 2 or wanted <= free or launches:
            continue
        context.record(
            Finding(
                code="shared-room",
                severity=Severity.WARNING,
                message=f"{', '.join(name for name, _ in those)} begin at once and hold "
                f"{count(round(wanted), 'GPU')} more than now at the most, and {free} "
                f"{'is' if free == 1 else 'are'} free: what is foreseen of each holds for it alone, and they "
                "wait for each other's old tasks.",
                hint="Set parallel to false: one after the other each finds the room that it has now.",
            )
        )
