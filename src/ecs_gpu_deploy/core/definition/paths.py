"""Paths into a task definition, in JMESPath's spelling, and assignment through them.

`containerDefinitions[?name=='rag'].image`, `containerDefinitions[0].environment[?name=='A'].value`,
`runtimePlatform.cpuArchitecture`, `volumes[-1].name`, `containerDefinitions[*].versionConsistency`,
`containerDefinitions[0].dockerLabels."com.example.team"`.
"""

from __future__ import annotations

import copy
import json
import re
from dataclasses import dataclass
from typing import Any, Final

from ecs_gpu_deploy.errors import InvalidInput

_SEGMENT: Final = re.compile(
    r"""(?P<dot>\.)?(?P<member>[A-Za-z_][A-Za-z0-9_-]*|"(?:[^"\\]|\\.)*")"""
    r"""|\[(?P<index>-?[0-9]{1,6})\]"""
    r"""|(?P<every>\[\*\])"""
    r"""|\[\?\s*(?P<key>[A-Za-z_][A-Za-z0-9_-]*)\s*==\s*(?P<literal>'(?:[^'\\]|\\.)*'|`[^`]*`)\s*\]"""
)
_HINT: Final = "Paths look like containerDefinitions[?name=='rag'].image or runtimePlatform.cpuArchitecture."


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """Select a member of an object."""

    name: str

    def __str__(self) -> str:
        return self.name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", self.name) else json.dumps(self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """Select an element of a list; negative ones count from the end."""

    at: int

    def __str__(self) -> str:
        return f"[{self.at}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Every:
    """Select all elements of a list."""

    def __str__(self) -> str:
        return "[*]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Select the elements of a list whose member `key` equals `value`."""

    key: str
    value: Any

    def __str__(self) -> str:
        if isinstance(self.value, str):
            value = "'" + re.sub(r"(['\\])", r"\\\1", self.value) + "'"
        else:
            value = f"`{json.dumps(self.value)}`"
        return f"[?{self.key}=={value}]"


Segment = Member | Index | Every | Where
Path = tuple[Segment, ...]


def path_from_text(text: str) -> Path:
    """Parse a path; raise `InvalidInput` that shows where it stops making sense."""
    segments: list[Segment] = []
    position = 0
    while position < len(text):
        match = _SEGMENT.match(text, position)
        member = match["member"] if match else None
        if match is None or (member is not None and bool(match["dot"]) != bool(segments)):
            raise InvalidInput(f"The path {text!r} cannot be read from {text[position:]!r} on.", hint=_HINT)
        segments.append(_segment(match, text))
        position = match.end()
    if not segments or not isinstance(segments[0], Member):
        raise InvalidInput(f"The path {text!r} does not begin with the name of a member.", hint=_HINT)
    return tuple(segments)


def path_text(path: Path) -> str:
    """Write a path as it is read."""
    dots = ("." if position and isinstance(segment, Member) else "" for position, segment in enumerate(path))
    return "".join(f"{dot}{segment}" for dot, segment in zip(dots, path, strict=True))


def assign(root: dict[str, Any], path: Path, value: Any) -> None:
    """Set `value` at `path` inside `root`, in place; None removes what is there.

    Objects that are missing on the way are created. Lists are never invented: a selection that matches
    nothing raises `InvalidInput` and names what the list has, except where the element itself was to be
    removed and is gone already.
    """
    parents: list[Any] = [root]
    for depth, segment in enumerate(path[:-1]):
        following = path[depth + 1]
        parents = [
            child
            for parent in parents
            for child in _children(
                parent,
                segment,
                path=path[: depth + 1],
                create=value is not None and isinstance(following, Member),
                tolerant=value is None,
            )
        ]
    for parent in parents:
        _assign_last(parent, path, value)


def _segment(match: re.Match[str], text: str) -> Segment:
    member, index, key, literal = match["member"], match["index"], match["key"], match["literal"]
    try:
        if member is not None:
            return Member(name=str(json.loads(member)) if member.startswith('"') else member)
        if index is not None:
            return Index(at=int(index))
        if key is not None:
            raw = literal.startswith("'")
            value = re.sub(r"\\(['\\])", r"\1", literal[1:-1]) if raw else json.loads(literal[1:-1])
            return Where(key=key, value=value)
    except json.JSONDecodeError:
        raise InvalidInput(f"The path {text!r} holds {match[0]!r}, which is not JSON.", hint=_HINT) from None
    return Every()


def _children(parent: Any, segment: Segment, *, path: Path, create: bool, tolerant: bool) -> list[Any]:
    match segment:
        case Member(name=name):
            _check_object(parent, path)
            if parent.get(name) is None:
                if create:
                    _check_spelling(parent, name, path)
                    parent[name] = {}
                elif tolerant:
                    return []
                else:
                    raise InvalidInput(
                        f"{path_text(path)} does not exist, so there is no list to select from.",
                        hint="Set the whole list.",
                    )
            return [parent[name]]
        case _:
            return [parent[at] for at in _selected(parent, segment, path)]


def _assign_last(parent: Any, path: Path, value: Any) -> None:
    segment = path[-1]
    match segment:
        case Member(name=name):
            _check_object(parent, path)
            if value is None:
                parent.pop(name, None)
                return
            _check_spelling(parent, name, path)
            parent[name] = copy.deepcopy(value)
        case _:
            if value is None and isinstance(segment, Where) and isinstance(parent, list):
                parent[:] = [element for element in parent if not _matches(element, segment)]
                return
            for at in reversed(_selected(parent, segment, path)):
                if value is None:
                    del parent[at]
                else:
                    parent[at] = copy.deepcopy(value)


def _selected(parent: Any, segment: Index | Every | Where, path: Path) -> list[int]:
    """Give the positions of the elements that a segment selects, at least one."""
    where = path_text(path[:-1])
    if not isinstance(parent, list):
        raise InvalidInput(f"{where} is {_kind(parent)}, not a list: {segment} selects nothing.")
    count = len(parent)
    match segment:
        case Index(at=at):
            if not -count <= at < count:
                raise InvalidInput(f"{where} has {count} elements; {segment} is outside.")
            return [at % count]
        case Every():
            if not parent:
                raise InvalidInput(f"{where} is empty; {segment} selects nothing.")
            return list(range(count))
        case Where(key=key):
            found = [at for at, element in enumerate(parent) if _matches(element, segment)]
            if not found:
                known = [element[key] for element in parent if isinstance(element, dict) and key in element]
                shown = ", ".join(repr(name) for name in known[:20]) or "nothing"
                raise InvalidInput(f"{where} has no element {segment}; its {key} values are {shown}.")
            return found


def _matches(element: Any, segment: Where) -> bool:
    if not isinstance(element, dict) or segment.key not in element:
        return False
    found = element[segment.key]
    return bool(found == segment.value) and isinstance(found, bool) == isinstance(segment.value, bool)


def _check_object(value: Any, path: Path) -> None:
    if not isinstance(value, dict):
        where = path_text(path[:-1])
        selector = " Select an element: [0], [*] or [?name=='…']." if isinstance(value, list) else ""
        raise InvalidInput(f"{where} is {_kind(value)}, not an object: it has no {path[-1]}.{selector}")


def _check_spelling(parent: dict[str, Any], name: str, path: Path) -> None:
    """Refuse a new member that differs from a present one by case only: ECS would ignore it in silence."""
    if name in parent:
        return
    for present in parent:
        if present.lower() == name.lower():
            raise InvalidInput(f"{path_text(path)} does not exist: {present!r} does, and case matters.")


def _kind(value: Any) -> str:
    match value:
        case dict():
            return "an object"
        case list():
            return "a list"
        case str():
            return "text"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case _:
            return "null"
