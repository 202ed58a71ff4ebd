"""The configuration file: defaults for any option, and named profiles that are laid over them.

region: eu-central-1
cluster: ki-cluster
profiles:
  production: {service: ki-rag-api, role-to-assume: "arn:aws:iam::123456789012:role/deploy"}
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from ecs_gpu_deploy.core.document import document
from ecs_gpu_deploy.core.text import nearest
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.inputs.options import BY_NAME, COMMAND, FILE_OPTIONS

DEFAULT_FILE: Final = ".github/ecs-gpu-deploy.yml"
"""Read where it is there and no other one is named."""
PROFILES: Final = "profiles"
_OF_ONE_VALUE: Final = frozenset(
    {"text", "token", "boolean", "switch", "choice", "integer", "positive_integer", "number", "gpu"}
    | {"duration", "duration_or_zero", "threshold"}
)
"""Kinds of options of which a list or a mapping can be no value."""
_ELSEWHERE: Final = frozenset(option.name for option in (COMMAND, *FILE_OPTIONS))


def config_values(text: str, *, name: str, profile: str = "") -> Mapping[str, Any]:
    """Return option → value of the file *name* that holds *text*, those of *profile* before the others.

    Raise InvalidInput, with the line, for a key that is no option, and for a profile that is not there.
    """
    body = document(text, name=name)
    if body is None:
        body = {}
    if not isinstance(body, dict):
        raise InvalidInput(f"The configuration file {name!r} is not a mapping of options.")
    profiles = body.pop(PROFILES, None) or {}
    if not isinstance(profiles, dict):
        raise InvalidInput(
            f"{_place(text, name, PROFILES)}: profiles is not a mapping.",
            hint="Write each profile's name with its options below it.",
        )
    _check_keys(body, text, name)
    for one, options in profiles.items():
        if options is not None and not isinstance(options, dict):
            raise InvalidInput(
                f"{_place(text, name, one)}: the profile {one!r} is not a mapping of options.",
                hint="Write option: value below it.",
            )
        _check_keys(options or {}, text, name)
    if not profile:
        return body
    if profile not in profiles:
        raise InvalidInput(
            f"profile is {profile[:80]!r}, which is not in {name}.", hint=_meant(profile, profiles, "profile")
        )
    return {**body, **(profiles[profile] or {})}


def no_file_for(profile: str) -> InvalidInput:
    """Return the error for a profile where there is no file."""
    return InvalidInput(
        f"profile is {profile[:80]!r}, and there is no configuration file.",
        hint=f"Write {DEFAULT_FILE}, or name another one with config; the action needs a checkout before it.",
    )


def _check_keys(options: Mapping[str, Any], text: str, name: str) -> None:
    for key, value in options.items():
        if key not in BY_NAME:
            raise InvalidInput(
                f"{_place(text, name, key)}: unknown key {key[:80]!r} of the configuration file.",
                hint=_meant(key, BY_NAME, "key"),
            )
        if isinstance(value, list | dict) and BY_NAME[key].kind in _OF_ONE_VALUE:
            what = "a list" if isinstance(value, list) else "a mapping"
            raise InvalidInput(
                f"{_place(text, name, key)}: {key} takes one value, and {what} stands there.",
                hint=f"Write {key}: VALUE.",
            )


def _meant(wrong: str, known: Iterable[str], what: str) -> str:
    if wrong in _ELSEWHERE and what == "key":
        return f"Leave it out: {wrong} is said where the program is called, not in the file."
    if meant := nearest(wrong, known, cutoff=0.5):
        return f"Did you mean {meant}?"
    if what == "profile":
        names = sorted(known)
        return f"It has {', '.join(names)}." if names else f"Its {PROFILES} are none."
    return "The keys are the inputs: docs/inputs.md."


def _place(text: str, name: str, key: str) -> str:
    """Return file and line of a key."""
    found = re.search(rf"""^[ \t{{,-]*["']?{re.escape(key)}["']?[ \t]*:""", text, re.MULTILINE)
    line = text.count("\n", 0, found.start()) + 1 if found else 0
    return f"{name}, line {line}" if line else name
