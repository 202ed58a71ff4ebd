"""What differs between two task definitions, in words a person can read and without a secret.

Two task definitions are compared as ECS understands them: containers, variables, secrets, volumes and tags
by name and not by position, without the read-only members and without the defaults that ECS fills in
(docs/aws-facts.md#registered-defaults).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ecs_gpu_deploy.core.defaults import HEALTH_CHECK
from ecs_gpu_deploy.core.definition.provenance import without_provenance
from ecs_gpu_deploy.core.definition.secret_text import MASK, hidden, hidden_words
from ecs_gpu_deploy.core.definition.sizes import cpu_units, memory_mib
from ecs_gpu_deploy.core.definition.task_definition import registrable

_IDENTITY: Final[Mapping[str, str]] = {
    "containerDefinitions": "name",
    "dependsOn": "containerName",
    "devices": "hostPath",
    "environment": "name",
    "extraHosts": "hostname",
    "inferenceAccelerators": "deviceName",
    "mountPoints": "containerPath",
    "properties": "name",
    "resourceRequirements": "type",
    "secretOptions": "name",
    "secrets": "name",
    "systemControls": "namespace",
    "tags": "key",
    "tmpfs": "containerPath",
    "ulimits": "name",
    "volumes": "name",
    "volumesFrom": "sourceContainer",
}
"""Lists whose order means nothing to ECS, with the member that tells their elements apart."""

_SETS: Final = frozenset({"requiresCompatibilities", "add", "drop"})
_FOLDED: Final[Mapping[str, str]] = {
    "environment": "value",
    "secrets": "valueFrom",
    "secretOptions": "valueFrom",
    "properties": "value",
    "tags": "value",
    "resourceRequirements": "value",
}
"""Lists of named values: `environment[A]` says what `environment[A].value` would."""

_EMPTY_IS_ABSENT: Final = frozenset(
    {
        *_IDENTITY,
        "command",
        "credentialSpecs",
        "dnsSearchDomains",
        "dnsServers",
        "dockerLabels",
        "dockerSecurityOptions",
        "driverOpts",
        "entryPoint",
        "environmentFiles",
        "host",
        "labels",
        "links",
        "linuxParameters",
        "options",
        "placementConstraints",
        "portMappings",
        "requiresCompatibilities",
    }
)
"""Members that ECS returns empty where the registration had none, or the other way round."""

_FALSE_IS_ABSENT: Final = frozenset(
    {
        "configuredAtLaunch",
        "disableNetworking",
        "enableFaultInjection",
        "interactive",
        "privileged",
        "pseudoTerminal",
        "readOnly",
        "readonlyRootFilesystem",
    }
)
_SECRET_NAME: Final = re.compile(r"token|passw|secret|api-?_?key|credential|private", re.IGNORECASE)
_PLAIN: Final = re.compile(r"[A-Za-z0-9_./:@+-]+")
_LONGEST: Final = 300

_Step = tuple[str, str]
"""(".", member) or ("[", the identity or position of an element)."""
_Steps = tuple[_Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Say what one value was and is; None means that it was, or is, not there.

    `path` addresses containers and variables by name: `containerDefinitions[rag].environment[LOG_LEVEL]`.
    Where `masked`, `old` and `new` hold `***` and never the value; what only has a secret in it (a command, a
    label) holds `***` in the secret's place.
    """

    path: str
    old: Any
    new: Any
    masked: bool = False


def identical(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Tell whether registering `b` would only repeat `a`."""
    return not _changed(a, b)


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Change, ...]:
    """Give every value that differs, by path, with variables masked, and in all else what looks secret."""
    changes = []
    for steps, was, now in _changed(old, new):
        before, after = _hidden(was), _hidden(now)
        masked = _is_secret(steps) or before == after
        changes.append(
            Change(
                path=_path_text(steps),
                old=MASK if masked and before is not None else before,
                new=MASK if masked and after is not None else after,
                masked=masked,
            )
        )
    return tuple(changes)


def diff_text(changes: Iterable[Change]) -> str:
    """Write changes for a log: a line each, `+` added, `-` removed, `~` changed; nothing for no change."""
    lines = []
    for change in changes:
        if change.old is None:
            lines.append(f"+ {change.path}: {_shown(change.new)}")
        elif change.new is None:
            lines.append(f"- {change.path}: {_shown(change.old)}")
        elif change.masked:
            lines.append(f"~ {change.path}: {MASK} (changed)")
        else:
            lines.append(f"~ {change.path}: {_shown(change.old)} → {_shown(change.new)}")
    return "\n".join(lines)


def diff_markdown(changes: Iterable[Change]) -> str:
    """Write changes as a fenced diff block, or nothing for no change.

    Inside the fence nothing is markup; line ends are written as escapes, and the fence is longer than every
    run of backticks in it, so no value can leave it.
    """
    lines = []
    for change in changes:
        if change.masked and change.old is not None and change.new is not None:
            lines.append(f"! {change.path}: {MASK} (changed)")
            continue
        if change.old is not None:
            lines.append(f"- {change.path}: {_shown(change.old)}")
        if change.new is not None:
            lines.append(f"+ {change.path}: {_shown(change.new)}")
    if not lines:
        return ""
    runs = (len(run) for line in lines for run in re.findall(r"`+", line))
    fence = "`" * max(3, 1 + max(runs, default=0))
    return "\n".join((f"{fence}diff", *lines, fence))


def _changed(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[tuple[_Steps, Any, Any]]:
    before, after = dict(_leaves(_settled(a))), dict(_leaves(_settled(b)))
    return [
        (steps, before.get(steps), after.get(steps))
        for steps in sorted(before.keys() | after.keys())
        if _spelt(before.get(steps)) != _spelt(after.get(steps))
    ]


def _spelt(leaf: Any) -> str:
    """Compare as JSON does: 1, 1.0, "1" and true are four values."""
    return json.dumps(leaf, sort_keys=True)


def _settled(task_definition: Mapping[str, Any]) -> dict[str, Any]:
    """Give a registrable copy without the defaults that ECS fills in and without our provenance tags.

    Those say where a revision came from, which is no reason for another one.
    """
    result = without_provenance(registrable(task_definition))
    for member, read in (("cpu", cpu_units), ("memory", memory_mib)):
        if isinstance(result.get(member), str) and (size := read(result[member])) is not None:
            result[member] = str(size)
    shared_network = result.get("networkMode") in {"awsvpc", "host"}
    containers = result.get("containerDefinitions")
    for container in containers if isinstance(containers, list) else ():
        if isinstance(container, dict):
            _settle_container(container, shared_network=shared_network)
    _drop_absent(result)
    return result


def _settle_container(container: dict[str, Any], *, shared_network: bool) -> None:
    if _is_number(container.get("cpu"), 0):
        del container["cpu"]
    if container.get("essential") is True:
        del container["essential"]
    check = container.get("healthCheck")
    if isinstance(check, dict):
        for member, setting in HEALTH_CHECK.items():
            if setting.default is not None and _is_number(check.get(member), setting.default):
                del check[member]
    mappings = container.get("portMappings")
    for mapping in mappings if isinstance(mappings, list) else ():
        if not isinstance(mapping, dict):
            continue
        if mapping.get("protocol") == "tcp":
            del mapping["protocol"]
        host_port, container_port = mapping.get("hostPort"), mapping.get("containerPort")
        same_port = shared_network and host_port is not None and _spelt(host_port) == _spelt(container_port)
        if _is_number(host_port, 0) or same_port:
            del mapping["hostPort"]


def _is_number(value: Any, number: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value == number


def _drop_absent(value: Any) -> None:
    """Remove members that mean the same as no member: null, and the empty or false ones ECS fills in."""
    if isinstance(value, list):
        for element in value:
            _drop_absent(element)
    elif isinstance(value, dict):
        for member, child in list(value.items()):
            _drop_absent(child)
            empty = child in ([], {}) and member in _EMPTY_IS_ABSENT
            if child is None or empty or (child is False and member in _FALSE_IS_ABSENT):
                del value[member]


def _leaves(value: Any, steps: _Steps = ()) -> Iterator[tuple[_Steps, Any]]:
    match value:
        case dict() if value:
            for member, child in value.items():
                yield from _leaves(child, (*steps, (".", str(member))))
        case list() if any(isinstance(element, dict | list) for element in value):
            for identity, element in _identified(value, steps[-1][1] if steps else ""):
                yield from _leaves(element, (*steps, ("[", identity)))
        case list() if steps and steps[-1][1] in _SETS and all(isinstance(word, str) for word in value):
            yield steps, sorted(value)
        case _:
            yield steps, value


def _identified(elements: list[Any], member: str) -> list[tuple[str, Any]]:
    """Give each element with its name where all have one of their own, else with its position."""
    key = _IDENTITY.get(member, "")
    by_name = [_named(element, member, key) for element in elements]
    names = [name for name, _ in by_name]
    if "" in names or len(set(names)) < len(names):
        return [(str(position), element) for position, element in enumerate(elements)]
    return by_name


def _named(element: Any, member: str, key: str) -> tuple[str, Any]:
    if not isinstance(element, dict):
        return "", element
    if member == "portMappings" and isinstance(element.get("containerPort"), int):
        rest = {name: value for name, value in element.items() if name not in {"containerPort", "protocol"}}
        return f"{element['containerPort']}/{element.get('protocol', 'tcp')}", rest
    name = element.get(key)
    if not key or not isinstance(name, str):
        return "", element
    rest = {other: value for other, value in element.items() if other != key}
    folded = _FOLDED.get(member)
    if folded is not None and set(rest) == {folded} and isinstance(rest[folded], str):
        return name, rest[folded]
    return name, rest


def _is_secret(steps: _Steps) -> bool:
    """Tell whether a value stays hidden: variables, volume drivers' options, options named as secrets."""
    members = [name for kind, name in steps if kind == "."]
    if "driverOpts" in members or ("environment" in members and members[-1] != "name"):
        return True
    named = {"options", "dockerLabels", "labels", "tags"} & set(members)
    return bool(named and _SECRET_NAME.search(steps[-1][1]))


def _hidden(value: Any) -> Any:
    """Return a leaf with its secrets as `***`; the words of a command are looked at as such."""
    match value:
        case str():
            return hidden(value)
        case list():
            return hidden_words(value)
        case _:
            return value


def _path_text(steps: _Steps) -> str:
    parts = []
    for kind, name in steps:
        text = name if _PLAIN.fullmatch(name) else _printable(name)
        if kind == "[":
            parts.append(f"[{text}]")
        else:
            parts.append(f".{text}" if parts else text)
    return "".join(parts)


def _shown(value: Any) -> str:
    text = value if value == MASK else _printable(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"


def _printable(value: Any) -> str:
    """Write JSON on one line, with everything invisible (controls, direction marks, line ends) escaped."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text
    )
