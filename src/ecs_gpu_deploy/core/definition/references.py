"""What a task definition names outside itself (roles, images, logs, secrets): can AWS ever take the name?

A role is given by name or ARN, a secret by its ARN in Secrets Manager or by a parameter's in SSM
(API Reference, RegisterTaskDefinition and Secret). What is asked of one name ends a sentence that begins with
the name's place: `taskRoleArn has '${ROLE}', …`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from ecs_gpu_deploy.core.definition.secret_text import looks_secret
from ecs_gpu_deploy.core.text import unsendable

_LEFT: Final = re.compile(r"\$\{[^}]*\}?|\$\(|<[A-Za-z][\w .-]*>|\{\{")
_LEFT_IN_OPTION: Final = re.compile(r"\$\{[^}]*\}?|<[A-Za-z][\w .-]*>")
"""Log drivers have templates of their own (`{{.Name}}`)."""
_PATTERNS: Final = frozenset({"awslogs-datetime-format", "awslogs-multiline-pattern"})
"""Log options in which anything may mean something."""
_ROLE: Final = re.compile(r"(?:arn:aws[a-z-]*:iam::\d{12}:role/)?[\w+=,.@/-]+", re.ASCII)
_SECRET: Final = re.compile(r"arn:aws[a-z-]*:(?:secretsmanager|ssm):[a-z0-9-]+:\d{12}:\S+|[A-Za-z0-9_.\-/]+")
_OPAQUE: Final = re.compile(
    r"[0-9A-Fa-f]{24,}|[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
    r"|(?=\D*\d)(?=[^a-z]*[a-z])(?=[^A-Z]*[A-Z])[A-Za-z0-9]{32,}"
)
"""Letters and digits as nobody names a parameter."""


def impossible_reference(definition: Mapping[str, Any], *, allow_placeholders: bool = False) -> str:
    """Return a sentence about the first name that AWS can never take, "" where there is none.

    That is a variable or placeholder that nobody replaced, unless they are allowed (in an image never, which
    could not be looked up); a role's ARN of another form; a secret's value in the place of its ARN.
    """
    for where, problem in _problems(definition, allow_placeholders=allow_placeholders):
        if problem:
            return f"{where} {problem}"
    return ""


def impossible_text(value: object, where: str = "the task definition") -> str:
    """Return a sentence about the first text that no request can hold (NUL, half a surrogate pair), or ""."""
    parts: Iterable[tuple[object, str]] = ()
    match value:
        case str():
            wrong = unsendable(value)
            return wrong and f"{where} {wrong}"
        case dict():
            parts = ((part, name) for name, item in value.items() for part in (name, item))
        case list():
            parts = ((item, where) for item in value)
    return next((wrong for part, name in parts if (wrong := impossible_text(part, name[:60]))), "")


def role_problem(role: str, *, allow_placeholders: bool = False) -> str:
    """Return why RegisterTaskDefinition, which takes a name or an ARN, can never take the role."""
    if left := _LEFT.search(role):
        return "" if allow_placeholders else _unreplaced(left)
    return "" if _ROLE.fullmatch(role) else f"is {role[:100]!r}, neither the name nor the ARN of a role."


def log_option_problem(name: str, value: str) -> str:
    """Return what nobody replaced in a log option."""
    left = None if name in _PATTERNS else _LEFT_IN_OPTION.search(value)
    return _unreplaced(left) if left else ""


def secret_problem(value: str, *, allow_placeholders: bool = False) -> str:
    """Return why the place of a secret can be none; what may be the secret itself is never shown."""
    if left := _LEFT.match(value):
        return "" if allow_placeholders else _unreplaced(left)
    if _SECRET.fullmatch(value) and not (_OPAQUE.fullmatch(value) or looks_secret(value)):
        return ""
    return (
        "does not come from an ARN of Secrets Manager or SSM, nor from a parameter's name: is it the secret "
        "itself?"
    )


def _unreplaced(left: re.Match[str]) -> str:
    return f"has {left[0][:60]!r}, which nobody replaced."


def _image_problem(image: str) -> str:
    left = _LEFT.search(image)
    return _unreplaced(left) if left else ""


def _problems(definition: Mapping[str, Any], *, allow_placeholders: bool) -> Iterator[tuple[str, str]]:
    """Yield each name's place and problem; the types have been checked."""
    for member in ("taskRoleArn", "executionRoleArn"):
        if role := definition.get(member):
            yield member, role_problem(role, allow_placeholders=allow_placeholders)
    for container in definition.get("containerDefinitions") or ():
        whose = f"of the container {str(container.get('name', ''))[:60]!r}"
        log = container.get("logConfiguration") or {}
        yield f"The image {whose}", _image_problem(container.get("image") or "")
        for name, value in (log.get("options") or {}).items():
            problem = "" if allow_placeholders else log_option_problem(name, value or "")
            yield f"The log option {name[:60]} {whose}", problem
        for secret in (*(container.get("secrets") or ()), *(log.get("secretOptions") or ())):
            if value := secret.get("valueFrom"):
                problem = secret_problem(value, allow_placeholders=allow_placeholders)
                yield f"The secret {str(secret.get('name', ''))[:60]!r} {whose}", problem
