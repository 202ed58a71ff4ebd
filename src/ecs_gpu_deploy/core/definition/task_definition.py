"""Task definitions as raw JSON: read, made registrable, and the containers in them.

They stay what `json.loads` gives, end to end, so that a member that no SDK knows yet survives a deployment
(aws-actions/amazon-ecs-deploy-task-definition #701, #704, #464). No function changes its argument.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ecs_gpu_deploy.core.document import document
from ecs_gpu_deploy.core.text import nearest
from ecs_gpu_deploy.errors import InvalidInput

READ_ONLY: Final = frozenset(
    {
        "compatibilities",
        "deleteRequestedAt",
        "deregisteredAt",
        "registeredAt",
        "registeredBy",
        "requiresAttributes",
        "revision",
        "status",
        "taskDefinitionArn",
    }
)
"""Members of DescribeTaskDefinition's answer that RegisterTaskDefinition does not take."""


def registrable(raw_describe: Mapping[str, Any]) -> dict[str, Any]:
    """Give the input of RegisterTaskDefinition for what DescribeTaskDefinition answered.

    `{"taskDefinition": {…}, "tags": […]}` is unwrapped, and its tags become the input member `tags`.
    Besides the read-only members, only tags in AWS's own `aws:` name space go: AWS sets them (CloudFormation)
    and refuses them in a request. Everything else stays, known or not
    (docs/aws-facts.md#task-definitions-as-raw-json).
    """
    inner = raw_describe.get("taskDefinition", raw_describe)
    if not isinstance(inner, Mapping):
        raise InvalidInput(
            "The member taskDefinition is not an object.", hint="The answer of describe is meant."
        )
    result = {key: copy.deepcopy(value) for key, value in inner.items() if key not in READ_ONLY}
    if inner is not raw_describe and raw_describe.get("tags"):
        result["tags"] = copy.deepcopy(raw_describe["tags"])
    if isinstance(result.get("tags"), list):
        result["tags"] = [tag for tag in result["tags"] if not _set_by_aws(tag)]
        if not result["tags"]:
            del result["tags"]
    return result


def without_tags(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Return a definition for the diff: where a revision came from is no difference in what runs."""
    return {key: value for key, value in definition.items() if key != "tags"}


def read_task_definition(text: str, *, name: str) -> dict[str, Any]:
    """Parse the text of a task-definition file, JSON or YAML, and check what must be there.

    `name` is the file's name, for messages and for its ending. Raise `InvalidInput` with one sentence.
    A whole number where ECS wants text becomes text, and digits where it wants a number become one
    (API Reference, RegisterTaskDefinition).
    """
    value = document(text, name=name)
    if not isinstance(value, dict):
        kind = "a list" if isinstance(value, list) else "a single value"
        raise InvalidInput(
            f"{name!r} holds {kind}; a task definition is a mapping with containerDefinitions."
        )
    task_definition = registrable(value)
    if "containerDefinitions" not in task_definition:
        other = next((key for key in task_definition if key.lower() in _MISSPELT), "")
        spelt = f"; it has {other!r}, which ECS spells containerDefinitions" if other else ""
        raise InvalidInput(f"{name!r} is no task definition: it has no containerDefinitions{spelt}.")
    _check_containers(task_definition["containerDefinitions"], name=name)
    if not isinstance(task_definition.get("family"), str) or not task_definition["family"]:
        raise InvalidInput(f"{name!r} has no family.", hint="Add family: the name that its revisions share.")
    _turn(task_definition, texts=("cpu", "memory"))
    for container in task_definition["containerDefinitions"]:
        _turn_container(container)
    return task_definition


def _turn_container(container: dict[str, Any]) -> None:
    """Turn numbers and texts of a container to what ECS wants; its environment has been checked."""
    _turn(container, numbers=_CONTAINER_NUMBERS)
    check = container.get("healthCheck")
    if isinstance(check, dict):
        _turn(check, numbers=("interval", "retries", "startPeriod", "timeout"))
    for member, texts, numbers in _ENTRIES:
        entries = container.get(member)
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict):
                _turn(entry, texts=texts, numbers=numbers)


def _turn(api: dict[str, Any], *, texts: Sequence[str] = (), numbers: Sequence[str] = ()) -> None:
    for member in texts:
        if isinstance(api.get(member), int) and not isinstance(api[member], bool):
            api[member] = str(api[member])
    for member in numbers:
        if isinstance(api.get(member), str) and _DIGITS.fullmatch(api[member]):
            api[member] = int(api[member])


def container_names(task_definition: Mapping[str, Any]) -> tuple[str, ...]:
    """Give the names of the containers, in order."""
    return tuple(str(container.get("name", "")) for container in _containers(task_definition))


def container_named(task_definition: Mapping[str, Any], name: str = "") -> str:
    """Resolve which container is meant: the named one, or the only one.

    Raise `InvalidInput` that names the containers that exist, and the nearest one.
    """
    names = container_names(task_definition)
    family = task_definition.get("family", "")
    known = ", ".join(repr(known) for known in names)
    if name in names and name:
        return name
    if not names:
        raise InvalidInput(f"The task definition {family!r} has no containers.")
    if name:
        near = nearest(name, names)
        meant = f" Is {near!r} meant?" if near else ""
        raise InvalidInput(
            f"The task definition {family!r} has no container {name!r}; it has {known}.{meant}"
        )
    if len(names) > 1:
        raise InvalidInput(
            f"The task definition {family!r} has several containers, and none is named: {known}.",
            hint="Name one with container; an image alone can name its own: NAME=URI.",
        )
    return names[0]


def container_definition(task_definition: Mapping[str, Any], name: str = "") -> dict[str, Any]:
    """Give the definition of the container that `container_named` resolves, itself and not a copy."""
    wanted = container_named(task_definition, name)
    return next(found for found in _containers(task_definition) if found.get("name") == wanted)


def network_mode(definition: Mapping[str, Any]) -> str:
    """Return a raw task definition's network mode; bridge where it names none (page "TaskDefinition")."""
    return definition.get("networkMode") or "bridge"


def is_essential(container: Mapping[str, Any]) -> bool:
    """Say whether a task ends with a raw container definition's container; it does unless that says false.

    Source: API Reference, ContainerDefinition, "essential".
    """
    return container.get("essential") is not False


def images(task_definition: Mapping[str, Any]) -> dict[str, str]:
    """Give container name → image, as written."""
    return {
        str(container.get("name", "")): str(container.get("image", ""))
        for container in _containers(task_definition)
    }


_DIGITS: Final = re.compile(r"\d{1,9}", re.ASCII)
_CONTAINER_NUMBERS: Final = ("cpu", "memory", "memoryReservation", "startTimeout", "stopTimeout")
_ENTRIES: Final = (
    ("environment", ("value",), ()),
    ("portMappings", (), ("containerPort", "hostPort")),
    ("resourceRequirements", ("value",), ()),
    ("ulimits", (), ("hardLimit", "softLimit")),
)
"""Lists of a container, and which members of their entries are text and which numbers in the API."""
_MISSPELT: Final = frozenset({"containerdefinitions", "container_definitions", "containers"})


def _containers(task_definition: Mapping[str, Any]) -> Sequence[dict[str, Any]]:
    containers = task_definition.get("containerDefinitions")
    if not isinstance(containers, list):
        return ()
    return [container for container in containers if isinstance(container, dict)]


def _check_containers(containers: Any, *, name: str) -> None:
    if not isinstance(containers, list) or not containers:
        raise InvalidInput(f"{name!r}: containerDefinitions is not a list of at least one container.")
    seen: set[str] = set()
    for position, container in enumerate(containers):
        if not isinstance(container, dict):
            raise InvalidInput(f"{name!r}: containerDefinitions[{position}] is not a mapping.")
        own = container.get("name")
        if not isinstance(own, str) or not own:
            raise InvalidInput(f"{name!r}: containerDefinitions[{position}] has no name.")
        if own in seen:
            raise InvalidInput(f"{name!r} has two containers named {own!r}.", hint="Names are unique in ECS.")
        seen.add(own)
        variables = container.get("environment")
        for variable in variables if isinstance(variables, list) else ():
            if isinstance(variable, dict) and isinstance(variable.get("value"), bool | float):
                raise InvalidInput(
                    f"{name!r}: the variable {variable.get('name')!r} of container {own!r} is not text.",
                    hint="Put its value in quotes.",
                )


def _set_by_aws(tag: Any) -> bool:
    return isinstance(tag, dict) and str(tag.get("key", "")).lower().startswith("aws:")
