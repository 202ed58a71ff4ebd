"""In which order and when a task's containers start: `dependsOn`.

Everything about a container is known before it starts, so the times are worked out at once.
Source: AWS page "ContainerDependency"; the agent's words for a dependency that fails or times out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ecs_gpu_deploy.ecs_model.health import Probing, container_rule
from ecs_gpu_deploy.ecs_model.scripts import UNREADY_TIMEOUT
from ecs_gpu_deploy.ecs_model.state import Container

FAILED = (
    "dependency graph: failed to resolve container ordering dependency [{on}] for target [{target}]"
    " as dependency did not exit successfully."
)
TIMED_OUT = "dependency graph: container ordering dependency [{on}] for target [{target}] has timed out."


@dataclass(frozen=True, slots=True, kw_only=True)
class StartPlan:
    """When each container starts, in seconds from the first; None: never. `failure` is (when, who, why)."""

    starts: Mapping[str, float | None]
    failure: tuple[float, str, str] | None = None


def start_plan(containers: Sequence[Container]) -> StartPlan:
    """Work out the starts of a task's containers, and the first dependency that ends it.

    Source: API Reference, ContainerDependency.
    """
    by_name = {container.name: container for container in containers}
    starts: dict[str, float | None] = {}
    failures: list[tuple[float, str, str]] = []

    def start_of(name: str) -> float | None:
        if name not in starts:
            # A circle, which registration refuses, ends here.
            starts[name] = None
            ready: float | None = 0.0
            for dependency in by_name[name].definition.get("dependsOn") or ():
                resolved = resolved_at(name, str(dependency["containerName"]), str(dependency["condition"]))
                ready = None if ready is None or resolved is None else max(ready, resolved)
            starts[name] = ready
        return starts[name]

    def resolved_at(name: str, on: str, condition: str) -> float | None:
        begins = start_of(on) if on in by_name else None
        if begins is None:
            return None
        container = by_name[on]
        after = _resolved_after(container, condition)
        ended_badly = container.script.exit_code not in {None, 0}
        if condition == "SUCCESS" and ended_badly:
            why = FAILED.format(on=on, target=name)
            failures.append((begins + container.script.exit_after, name, why))
            return None
        limit = container.definition.get("startTimeout")
        if limit and (after is None or after > float(limit)):
            why = TIMED_OUT.format(on=on, target=name)
            failures.append((begins + float(limit), name, why))
            return None
        return None if after is None else begins + after

    for name in by_name:
        start_of(name)
    return StartPlan(starts=starts, failure=min(failures, default=None))


def _resolved_after(container: Container, condition: str) -> float | None:
    """Give the container's age at which the condition holds, or None for never."""
    script = container.script
    match condition:
        case "START":
            return 0.0
        case "COMPLETE" | "SUCCESS":
            return None if script.exit_code is None else script.exit_after
        case _:
            if not container.has_health_check or not script.container_check_works:
                return None
            timed_out = container.script.unhealthy_status == UNREADY_TIMEOUT
            rule = container_rule(container.definition.get("healthCheck") or {}, timed_out=timed_out)
            probing = Probing(rule=rule, next_probe=rule.interval)
            while (at := probing.next_verdict(script.answers, script.settled_after)) is not None:
                if probing.verdict:
                    return at
            return None
