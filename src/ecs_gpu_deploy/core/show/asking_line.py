"""The line of a workflow that asked for this run, for the annotation: found only where there is no doubt."""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

_USES = re.compile(r"(?:[\w.-]+/)?ecs-gpu-deploy(?:/[^@\s]*)?@\S+", re.ASCII)
_RUNS = re.compile(r"(?:^|[\s;&|(])ecs-gpu-deploy\s")
"""What asks for it: the action, one of the reusable workflows, or the program on the command line."""


def asking_line(workflow: str, *, job: str, step: str, repository: str) -> int | None:
    """Return the number of the line in the text of a workflow whose step uses the action; None in doubt.

    *job* and *step* are the ids of GITHUB_JOB and GITHUB_ACTION, *repository* is the action's own where it is
    known ("" otherwise). In a reusable workflow the file is the caller's, whose job has another id: there it
    is the one job that calls. What is no workflow has no line. Source: GitHub "Variables reference".
    """
    try:
        root = yaml.compose(workflow, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    jobs = dict(_members(_member(root, "jobs")))
    own = jobs.get(job)
    steps = _member(own, "steps")
    asking = [each for each in getattr(steps, "value", ()) if _asks(each, repository)]
    asks = [each for each in asking if _may_be(each, step)]
    if not asking:
        asks = [each for each in jobs.values() if _asks(each, repository)]
    if len(asks) != 1:
        return None
    shown = _member(asks[0], "uses") or _member(asks[0], "run")
    return int(shown.start_mark.line) + 1 if shown is not None else None


def _asks(node: yaml.Node, repository: str) -> bool:
    uses = _text(node, "uses")
    if uses:
        return bool(_USES.fullmatch(uses)) or bool(repository and uses.startswith(f"{repository}@"))
    return bool(_RUNS.search(_text(node, "run")))


def _may_be(step: yaml.Node, given: str) -> bool:
    """Say whether *given*, GITHUB_ACTION, can be that of *step*: its id, else `__run` or `__owner_action`.

    The second of a kind has `_2` behind it, an action of the checkout is `__self`; the steps within a
    composite action have the name of the step that uses it (GitHub "Variables reference"; actions/runner,
    pull request 615).
    """
    if not given or (own := _text(step, "id")):
        return not given or own == given
    if _text(step, "run"):
        return given.startswith("__run")
    return given.startswith("__") and not given.startswith(("__run", "__self"))


def _members(node: yaml.Node | None) -> Iterator[tuple[str, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                yield key.value, value


def _member(node: yaml.Node | None, name: str) -> yaml.Node | None:
    return next((value for key, value in _members(node) if key == name), None)


def _text(node: yaml.Node, name: str) -> str:
    value = _member(node, name)
    return str(value.value) if isinstance(value, yaml.ScalarNode) else ""
