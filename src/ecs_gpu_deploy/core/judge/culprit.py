"""Which container ended a task. AWS says that an essential one did, and not which.

Source: docs/aws-facts.md#stopped-tasks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from ecs_gpu_deploy.core.definition.task_definition import is_essential
from ecs_gpu_deploy.model import Container

SIGKILL: Final = 137
SIGTERM: Final = 143
_SIGNALLED: Final = frozenset({SIGKILL, SIGTERM})
_OUT_OF_MEMORY: Final = "OutOfMemoryError"


def side_containers(definition: Mapping[str, Any], *, named: Iterable[str] = ()) -> frozenset[str]:
    """Return the containers of a raw task definition whose end does not end the task: not essential.

    One of *named*, whose work somebody asked for by name, is none of them.
    """
    containers = definition.get("containerDefinitions") or ()
    side = {str(c.get("name", "")) for c in containers if not is_essential(c)}
    return frozenset(side - set(named))


def is_out_of_memory(container: Container) -> bool:
    """Say whether the agent saw the memory limit at work; the exit code may be 0 then."""
    return container.reason.startswith(_OUT_OF_MEMORY)


def culprit_of(containers: Sequence[Container], side: Collection[str] = ()) -> Container | None:
    """Return the container whose end ended the task; None where none of them ran.

    *side* names those that are not essential: such a one is it only where it kept an essential one from
    starting, or where no other ended. Of two essential ones it is the one that did not end by SIGTERM or
    with 0; then the one with 0, since what ECS stops ends by SIGTERM.
    """
    never_ran = any(c.exit_code is None and c.name not in side for c in containers)
    ended = [c for c in containers if c.exit_code is not None]
    return min(ended, key=lambda c: _rank(c, is_side=c.name in side, never_ran=never_ran), default=None)


def _rank(container: Container, *, is_side: bool, never_ran: bool) -> int:
    code = container.exit_code
    if is_side:
        return (3 if never_ran else 7) if code else 8
    if is_out_of_memory(container):
        return 0
    return {SIGKILL: 2, 0: 4, SIGTERM: 5}.get(code or 0, 1)


def was_stopped(container: Container, containers: Sequence[Container], side: Collection[str] = ()) -> bool:
    """Say whether ECS stopped *container* after another one had ended the task.

    A SIGKILL of an essential one is its own end, unless another one failed: ECS kills only what does not
    heed SIGTERM within its stopTimeout, and a kernel that kills for memory leaves the same code.
    """
    if container.exit_code not in _SIGNALLED or container.reason:
        return False
    culprit = culprit_of(containers, side)
    if culprit is None or culprit is container:
        return False
    return container.exit_code == SIGTERM or container.name in side or bool(culprit.exit_code)
