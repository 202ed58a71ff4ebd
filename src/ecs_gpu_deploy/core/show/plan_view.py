"""What a plan says: does it fit, what comes when, what would help; as text, Markdown and gantt."""

from __future__ import annotations

from collections.abc import Iterator

from ecs_gpu_deploy.core.capacity.holders import held_by
from ecs_gpu_deploy.core.show.checks_view import checks_markdown, checks_text
from ecs_gpu_deploy.core.text import count, fenced, harmless, indented, markdown, span, table_code
from ecs_gpu_deploy.result import Plan, PlannedInstance, Predicted

_WORDS = {
    "fits": "fits now",
    "crawls": "fits one after the other",
    "scales": "fits after instances came",
    "never": "cannot fit",
    "unknown": "cannot be told",
}
_SHOWN_INSTANCES = 12


def plan_sentence(plan: Plan, *, service: str) -> str:
    """Return the answer in one sentence."""
    capacity, predicted = plan.capacity, plan.predicted
    answer = f"The rollout of {service} {_WORDS[capacity.fit]}"
    launched = sum(capacity.launches.values())
    if launched:
        answer = f"The rollout of {service} fits after {count(launched, 'instance')} came"
    if predicted is None or capacity.fit == "never":
        return f"{answer}: {capacity.why}"
    if predicted.ends != "succeeds":
        return f"{answer}, and {predicted.ends}{_after(predicted)}."
    return f"{answer} and takes about {_about(predicted)}."


def _about(predicted: Predicted) -> str:
    """Return how long it takes, with the interval where earlier rollouts give one."""
    interval = predicted.interval
    if interval is None:
        return span(predicted.seconds)
    return (
        f"{span(interval.middle)} ({span(interval.low)} to {span(interval.high)}, {interval.within} of "
        f"{interval.rollouts} earlier rollouts lay within such a one)"
    )


def _after(predicted: Predicted) -> str:
    at = predicted.seconds if predicted.breaker_at is None else predicted.breaker_at
    return (
        f" after about {span(at)} ({count(predicted.failures, 'task')} failed)" if predicted.failures else ""
    )


def plan_text(plan: Plan) -> str:
    """Return the plan for a terminal or log: steps, room, who holds GPUs, the times, what would help."""
    return "\n".join(harmless(indented(line)) for line in _lines(plan))


def _lines(plan: Plan) -> Iterator[str]:
    yield "steps:"
    for number, step in enumerate(plan.steps, start=1):
        yield f"    {number}. {step.does}"
    capacity = plan.capacity
    yield f"room: {_WORDS[capacity.fit]}. {capacity.why}"
    for instance in capacity.instances[:_SHOWN_INSTANCES]:
        yield f"    {_instance(instance)}"
    if len(capacity.instances) > _SHOWN_INSTANCES:
        yield f"    … and {count(len(capacity.instances) - _SHOWN_INSTANCES, 'instance')} more"
    if capacity.holders:
        yield f"GPUs held in the cluster: {held_by(capacity.holders)}"
    if capacity.remedies:
        yield "what would let it:" if capacity.fit == "never" else "what would speed it up:"
    for remedy in capacity.remedies:
        yield f"    {remedy.change} {_price_of(remedy.seconds, remedy.less, remedy.cost)}"
    if plan.predicted is not None:
        yield from _predicted_lines(plan.predicted)
    if plan.checks:
        yield from checks_text(plan.checks).splitlines()


def _price_of(seconds: float | None, less: int, cost: float | None) -> str:
    parts = [] if seconds is None else [f"then about {span(seconds)}"]
    parts += [f"{count(less, 'task')} fewer at the worst"] if less else ["as many tasks serve throughout"]
    parts += [] if cost is None else [f"{cost:.2f} for the instances"]
    return f"({', '.join(parts)})"


def _instance(instance: PlannedInstance) -> str:
    gpus = f"{instance.free_gpus} of {instance.gpus:g} GPUs free" if instance.gpus else "no GPU"
    lacks = f", lacks {', '.join(instance.lacks)}" if instance.lacks else ", has room for one more"
    ill = f", impaired: {', '.join(instance.impaired)}" if instance.impaired else ""
    return f"{instance.id} {instance.instance_type} {instance.availability_zone}: {gpus}{lacks}{ill}"


def _predicted_lines(predicted: Predicted) -> Iterator[str]:
    if predicted.ends == "stands still":
        yield f"foreseen: stands still, as far as was looked ahead ({span(predicted.seconds)})"
    else:
        word = "within" if predicted.ends == "succeeds" else "after"
        yield f"foreseen: {predicted.ends} {word} {span(predicted.seconds)}"
        for phase in predicted.phases:
            yield f"    {phase.name}: {span(phase.began)} to {span(phase.ended)}"
        if predicted.breaker_at is not None:
            yield f"    the circuit breaker acts after {span(predicted.breaker_at)}"
        cost = f", which cost {predicted.cost:.2f}" if predicted.cost is not None else ""
        yield (
            f"    GPU-minutes: {predicted.gpu_minutes:.0f} in all, {predicted.double_gpu_minutes:.0f} held "
            f"twice{cost} ({predicted.price_source})"
        )
    if (run := predicted.run_ends) is not None:
        yield f"the run itself would end after {span(run.seconds)}, {run.outcome}: {run.why}"
    if (interval := predicted.interval) is not None:
        yield (
            f"by earlier rollouts: {span(interval.low)} to {span(interval.high)}, about "
            f"{span(interval.middle)}; {interval.level:.0%} lie within such an interval ({interval.source})"
        )
    if predicted.calibration:
        yield f"calibrated: {predicted.calibration}"
    told = ", ".join(
        f"{name} {span(each.seconds)} ({each.source})" for name, each in predicted.durations.items()
    )
    yield f"reckoned with: {told}"
    timeout = "" if predicted.timeout is None else f"timeout {span(predicted.timeout)}, "
    yield (
        f"settings that fit: {timeout}healthCheckGracePeriodSeconds {predicted.grace_period}, "
        f"startPeriod {predicted.start_period}"
    )


def plan_markdown(plan: Plan) -> str:
    """Return the plan for job summary and comment, below its sentence; everything foreign is escaped."""
    capacity, predicted = plan.capacity, plan.predicted
    parts = ["\n".join(f"{number}. {markdown(each.does)}" for number, each in enumerate(plan.steps, 1))]
    if capacity.fit != "never":
        parts.append(markdown(capacity.why))
    if capacity.instances:
        rows = ["| Instance | Type | Zone | GPUs free | Lacks |", "|---|---|---|---|---|"]
        rows += [
            f"| {table_code(each.id)} | {table_code(each.instance_type)} | "
            f"{markdown(each.availability_zone)} | {each.free_gpus} of {each.gpus:g} | "
            f"{markdown(', '.join(each.lacks)) or '–'} |"
            for each in capacity.instances[:_SHOWN_INSTANCES]
        ]
        parts.append("\n".join(rows))
    if capacity.holders:
        parts.append(f"GPUs held in the cluster: {markdown(held_by(capacity.holders))}")
    if capacity.remedies:
        parts.append(
            "\n".join(
                f"- {markdown(each.change)} {markdown(_price_of(each.seconds, each.less, each.cost))}"
                for each in capacity.remedies
            )
        )
    if predicted is not None:
        parts += [plan_gantt(predicted)] if predicted.phases else []
        parts.append("\n".join(f"- {markdown(line.strip())}" for line in _predicted_lines(predicted)))
    if plan.checks:
        parts.append(checks_markdown(plan.checks))
    if plan.changes:
        parts.append(fenced(plan.changes.splitlines(), language="diff"))
    return "\n\n".join(parts)


def plan_gantt(predicted: Predicted) -> str:
    """Return the phases as a fenced mermaid gantt that begins at zero."""
    lines = ["```mermaid", "gantt", "    dateFormat x", "    axisFormat %M:%S", "    todayMarker off"]
    lines.append("    section Foreseen")
    for phase in predicted.phases:
        begin, end = round(phase.began), max(round(phase.ended), round(phase.began) + 1)
        lines.append(f"    {phase.name} {span(phase.ended - phase.began)} :{begin * 1000}, {end * 1000}")
    if predicted.breaker_at is not None:
        at = round(predicted.breaker_at)
        lines.append(f"    breaker :crit, milestone, {at * 1000}, {at * 1000}")
    return "\n".join([*lines, "```"])
