"""JSON or YAML text into plain JSON values, strictly: nothing guessed, nothing executed, nothing lost.

YAML is read with the scalars of YAML 1.2's JSON schema: `yes`, `on`, `2026-11-23`, `0755` and `1e5` stay
text (a short commit SHA must not become a number), duplicate keys are refused, aliases may not explode.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any, Final, NoReturn

from ecs_gpu_deploy.errors import InvalidInput

_DEEPEST: Final = 60
_LONGEST: Final = 2_000_000
_BRACKETS: Final = re.compile(r"""[\[\]{}]|"(?:[^"\\]|\\.)*(?:"|\Z)|'[^'\n]*'""", re.DOTALL)
"""A bracket, or a text in quotes, whose brackets do not count."""
_PROGRAMS: Final = (
    ".js",
    ".cjs",
    ".mjs",
    ".ts",
    ".py",
    ".sh",
    ".rb",
    ".tf",
    ".jsonnet",
    ".libsonnet",
    ".hcl",
)

JsonValue = Any
"""What `json.loads` gives: dict, list, str, int, float, bool or None."""


def document(text: str, *, name: str) -> JsonValue:
    """Parse the text of a file or input `name`; raise `InvalidInput` with one sentence and the line."""
    lower = name.lower()
    if lower.endswith(_PROGRAMS):
        raise InvalidInput(
            f"{name!r} is a program, and programs are never executed here.",
            hint="Give its output as JSON or YAML.",
        )
    if len(text) > _LONGEST:
        raise InvalidInput(f"{name!r} is longer than {_LONGEST} characters: is it the right file?")
    text = text.removeprefix("\ufeff")
    if not text.strip():
        raise InvalidInput(f"{name!r} is empty.", hint="JSON or YAML is meant.")
    if text.lstrip()[0] in "[{" and _nesting(text) > _DEEPEST + 1:
        raise _too_deep(name)
    try:
        value = _parsed(text, json_only=lower.endswith(".json"), name=name)
        _check(value, name=name, depth=0)
    except RecursionError:
        raise _too_deep(name) from None
    return value


def _nesting(text: str) -> int:
    """Return how many brackets are open at once in JSON, or in YAML written like it.

    json.loads gives up at a depth of its own: 1,000 or 10,000 levels or none, by the version of Python.
    """
    deepest = level = 0
    for match in _BRACKETS.finditer(text):
        if match[0] in "[{":
            level += 1
            deepest = max(deepest, level)
        elif match[0] in "]}":
            level -= 1
    return deepest


def _parsed(text: str, *, json_only: bool, name: str) -> JsonValue:
    try:
        return json.loads(
            text,
            object_pairs_hook=lambda pairs: _unique(pairs, name=name),
            parse_constant=lambda constant: _no_constant(constant, name),
        )
    except json.JSONDecodeError as error:
        if json_only:
            raise InvalidInput(
                f"{name!r} is not JSON: {error.msg} in line {error.lineno}, column {error.colno}."
            ) from None
    except ValueError as error:
        raise InvalidInput(f"{name!r} is not JSON: {error}.") from None
    from ecs_gpu_deploy.core.yaml_text import yaml_value  # noqa: PLC0415  (most starts need no YAML)

    return yaml_value(text, name=name)


def _no_constant(constant: str, name: str) -> NoReturn:
    raise InvalidInput(f"{name!r} is not JSON: {constant} is no number.")


def _unique(pairs: Iterable[tuple[str, Any] | list[str]], *, name: str) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise InvalidInput(f"{name!r} has {key!r} twice.", hint="Leave one of them out.")
        result[key] = value
    return result


def _check(value: JsonValue, *, name: str, depth: int) -> None:
    if depth > _DEEPEST:
        raise _too_deep(name)
    if isinstance(value, dict):
        for key, child in value.items():
            if not isinstance(key, str):
                raise InvalidInput(f"{name!r}: the key {key!r} is not text.", hint="Put it in quotes.")
            _check(child, name=name, depth=depth + 1)
    elif isinstance(value, list):
        for child in value:
            _check(child, name=name, depth=depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        raise InvalidInput(f"{name!r} holds a number that is too large.")


def _too_deep(name: str) -> InvalidInput:
    return InvalidInput(f"{name!r} is nested more than {_DEEPEST} levels deep.")
