"""How the text of an option is read: one reader a kind, InvalidInput for what it refuses."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping
from typing import Any

from ecs_gpu_deploy.core.capacity.gpus import HINT, GpuRequest
from ecs_gpu_deploy.core.document import document
from ecs_gpu_deploy.core.image.image_reference import ImageReference
from ecs_gpu_deploy.core.judge.phases import PhaseName
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.inputs.options import Option


def _invalid(option: Option, text: str, wanted: str) -> InvalidInput:
    shown = text if len(text) <= 60 else text[:57] + "..."
    return InvalidInput(
        f"{option.name} is {shown!r}, which is not {wanted}.", hint=f"Set {option.name} to one."
    )


def _text(_option: Option, texts: tuple[str, ...]) -> str:
    return texts[-1].strip()


def _boolean(option: Option, texts: tuple[str, ...]) -> bool:
    match texts[-1].strip().lower():
        case "true" | "yes" | "on" | "1":
            return True
        case "false" | "no" | "off" | "0":
            return False
        case _:
            raise _invalid(option, texts[-1], "a boolean (true or false)")


def _choice(option: Option, texts: tuple[str, ...]) -> str:
    value = texts[-1].strip().lower()
    if value not in option.choices:
        raise _invalid(option, texts[-1], f"one of {', '.join(option.choices)}")
    return value


_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?", re.ASCII)


_MAX_DURATION = 14 * 24 * 3600.0


def _duration_or_zero(option: Option, texts: tuple[str, ...]) -> float:
    text = texts[-1].strip().lower().replace(" ", "")
    match = _DURATION.fullmatch(text)
    if not text or not match:
        raise _invalid(option, texts[-1], "a duration (seconds, or such as 90s, 20m, 1h30m)")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    total = hours * 3600 + minutes * 60 + seconds
    if total > _MAX_DURATION:
        raise _invalid(option, texts[-1], "at most 14 days")
    return total


def _deadlines(option: Option, texts: tuple[str, ...]) -> dict[str, float]:
    deadlines = {}
    for phase, text in _assignments(option, texts).items():
        if phase not in set(PhaseName):
            raise _invalid(option, phase, f"one of the phases {', '.join(PhaseName)}")
        deadlines[phase] = _duration(option, (text or "",))
    return deadlines


def _duration(option: Option, texts: tuple[str, ...]) -> float:
    value = _duration_or_zero(option, texts)
    if value <= 0:
        raise _invalid(option, texts[-1], "longer than 0 seconds")
    return value


def _integer(option: Option, texts: tuple[str, ...]) -> int:
    text = texts[-1].strip()
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise _invalid(option, texts[-1], "a whole number of 0 or more")
    return int(text)


def _positive_integer(option: Option, texts: tuple[str, ...]) -> int:
    value = _integer(option, texts)
    if value == 0:
        raise _invalid(option, texts[-1], "a whole number of 1 or more")
    return value


def _number(option: Option, texts: tuple[str, ...]) -> float:
    text = texts[-1].strip()
    if not re.fullmatch(r"\d{1,9}(?:\.\d{1,9})?", text, re.ASCII):
        raise _invalid(option, texts[-1], "a number of 0 or more, such as 2.5")
    return float(text)


def _gpu(option: Option, texts: tuple[str, ...]) -> GpuRequest:
    try:
        return GpuRequest.from_value(texts[-1])
    except ValueError as error:
        raise _invalid(option, texts[-1], "a number of GPUs (1, 0.25), ALL, or 0 for none") from error


def _gpu_sharing(option: Option, texts: tuple[str, ...]) -> GpuRequest:
    try:
        return GpuRequest.from_value(_mapping(option, texts))
    except ValueError as error:
        raise InvalidInput(f"{option.name} cannot be used: {error}", hint=HINT) from error


def _lines(texts: tuple[str, ...]) -> list[str]:
    return [line.strip() for text in texts for line in text.splitlines() if line.strip()]


def _assignments(option: Option, texts: tuple[str, ...]) -> dict[str, str | None]:
    result: dict[str, str | None] = {}
    for line in _lines(texts):
        name, equals, value = line.partition("=")
        if not name.strip() or re.search(r"\s", name.strip()):
            raise InvalidInput(
                f"{option.name} has the line {name[:40]!r}, which is not NAME=VALUE.",
                hint=f"Write one NAME=VALUE a line in {option.name}; NAME alone removes it.",
            )
        result[name.strip()] = value if equals else None
    return result


def _pairs(option: Option, texts: tuple[str, ...]) -> dict[str, str]:
    result: dict[str, str] = {}
    for line in _lines(texts):
        name, equals, value = line.partition("=")
        if not equals or not name.strip() or re.search(r"\s", name.strip()):
            raise InvalidInput(
                f"{option.name} has the line {name[:40]!r}, which is not NAME=VALUE.",
                hint=f"Write one NAME=VALUE a line in {option.name}.",
            )
        result[name.strip()] = value
    return result


def _lines_of(_option: Option, texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_lines(texts)))


def _names(_option: Option, texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in re.split(r"[\s,]+", ",".join(_lines(texts))) if name))


def _accounts(option: Option, texts: tuple[str, ...]) -> tuple[str, ...]:
    accounts = tuple(re.split(r"[\s,]+", ",".join(_lines(texts)).strip(",")))
    for account in accounts:
        if not re.fullmatch(r"\d{12}", account, re.ASCII):
            raise _invalid(option, account, "an AWS account id of 12 digits")
    return accounts


def _policy(option: Option, texts: tuple[str, ...]) -> str:
    try:
        policy = json.loads(texts[-1])
    except ValueError as error:
        raise _invalid(option, texts[-1], f"JSON ({error})") from error
    if not isinstance(policy, dict) or "Statement" not in policy:
        raise _invalid(option, texts[-1], "a policy with a Statement")
    text = json.dumps(policy, separators=(",", ":"))
    if len(text) > 2048:
        raise _invalid(option, texts[-1], "a policy of at most 2,048 characters (STS's limit)")
    return text


def _images(_option: Option, texts: tuple[str, ...]) -> dict[str, str]:
    """Return container → image; the key "" stands for the one container that is meant by default."""
    result: dict[str, str] = {}
    for line in _lines(texts):
        container, equals, uri = line.partition("=")
        name, reference = (container.strip(), uri.strip()) if equals else ("", line)
        if equals and not name:
            raise InvalidInput(
                f"image has the line {line[:80]!r} without a container before the '='.", hint=""
            )
        if name in result:
            whose = f"container {name!r}" if name else "the default container"
            raise InvalidInput(
                f"image is given twice for {whose}.", hint="Name the containers: CONTAINER=URI, one a line."
            )
        ImageReference.from_text(reference)
        result[name] = reference
    return result


def _words(option: Option, texts: tuple[str, ...]) -> tuple[str, ...]:
    text = texts[-1].strip()
    if not text.startswith("["):
        try:
            return tuple(shlex.split(text))
        except ValueError as error:
            raise _invalid(option, texts[-1], f"splittable as a shell does ({error})") from error
    try:
        words = json.loads(text)
    except ValueError as error:
        raise _invalid(option, texts[-1], "a JSON list of texts") from error
    if not all(isinstance(word, str) for word in words):
        raise _invalid(option, texts[-1], "a JSON list of texts")
    return tuple(words)


def _mapping(option: Option, texts: tuple[str, ...]) -> dict[str, object]:
    value = document(texts[-1], name=option.name)
    if not isinstance(value, dict):
        raise _invalid(option, texts[-1], "a mapping in YAML or JSON")
    return value


READERS: Mapping[str, Callable[[Option, tuple[str, ...]], Any]] = {
    "text": _text,
    "boolean": _boolean,
    "flag": _boolean,
    "choice": _choice,
    "duration": _duration,
    "duration_or_zero": _duration_or_zero,
    "deadlines": _deadlines,
    "integer": _integer,
    "positive_integer": _positive_integer,
    "number": _number,
    "gpu": _gpu,
    "gpu_sharing": _gpu_sharing,
    "assignments": _assignments,
    "images": _images,
    "pairs": _pairs,
    "lines": _lines_of,
    "names": _names,
    "accounts": _accounts,
    "policy": _policy,
    "words": _words,
    "mapping": _mapping,
}


ABSENT: Mapping[str, object] = {
    **dict.fromkeys(("text", "policy"), ""),
    **dict.fromkeys(("boolean", "flag"), False),
    **{kind: {} for kind in ("deadlines", "assignments", "images", "pairs", "mapping")},
    **dict.fromkeys(("lines", "names", "accounts"), ()),
}
"""What an option of a kind is where nobody gave it; None for the kinds that are not here."""
