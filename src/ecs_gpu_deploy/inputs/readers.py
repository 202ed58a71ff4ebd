"""How the text of an option is read: one reader a kind, InvalidInput for what it refuses."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from ecs_gpu_deploy.core.capacity.gpus import HINT, GpuRequest
from ecs_gpu_deploy.core.definition.container_overrides import ContainerOverride, container_overrides
from ecs_gpu_deploy.core.definition.secret_text import hidden, looks_secret
from ecs_gpu_deploy.core.definition.task_request import CapacityShare, strategy_problem
from ecs_gpu_deploy.core.document import document
from ecs_gpu_deploy.core.image.image_reference import ImageReference
from ecs_gpu_deploy.core.judge.deployment_settings import Threshold
from ecs_gpu_deploy.core.judge.phases import PhaseName
from ecs_gpu_deploy.core.text import nearest
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.inputs.options import Option

_HOLD_SECRETS = frozenset({"secrets", "build-secrets", "build-args", "environment"})
"""Options of which a line that is none may be a part of a secret."""


def _invalid(option: Option, text: str, wanted: str) -> InvalidInput:
    safe = hidden(text)
    shown = safe if len(safe) <= 60 else safe[:57] + "..."
    return InvalidInput(f"{option.name} is {shown!r}, which is not {wanted}.", hint=_meant(option, text))


def _meant(option: Option, text: str) -> str:
    """Return what was probably meant, or how it is written."""
    if option.kind != "choice":
        return _WRITTEN[option.kind].format(name=option.name)
    choices = {each.lower(): each for each in option.choices}
    near = nearest(text.strip().lower(), choices)
    return f"Did you mean {choices[near]}?" if near else f"Write {' or '.join(option.choices)}."


_WRITTEN: Final[Mapping[str, str]] = {
    "boolean": "Write {name}: true or {name}: false.",
    "switch": "Write {name}: true or {name}: false.",
    "strategy": "NAME, NAME=WEIGHT or NAME=WEIGHT,BASE is meant, one a line, or the API's list in JSON.",
    "duration": "Write such as {name}: 90s, 20m or 1h30m.",
    "duration_or_zero": "Write such as {name}: 90s, 20m or 1h30m, or 0.",
    "deadlines": "Write one PHASE=DURATION a line, such as pull=10m.",
    "integer": "Write it in digits, such as {name}: 512.",
    "positive_integer": "Write it in digits, such as {name}: 3.",
    "number": "Write such as {name}: 2.5.",
    "gpu": "Write such as gpu: 1, gpu: 0.25 or gpu: ALL; gpu: 0 for none.",
    "accounts": "Write such as {name}: 123456789012, one a line.",
    "policy": 'Write it as JSON: {{"Version": "2012-10-17", "Statement": […]}}.',
    "words": 'Write {name}: ["serve", "--port", "80"], or the words as in a shell.',
    "mapping": "Write NAME: VALUE, one a line, or JSON.",
    "gpu_sharing": "Write memory: MiB and maxComputePercent: PERCENT.",
    "threshold": "Write such as {name}: 3, {name}: 50% or {name}: UNBOUNDED_PERCENT=50.",
    "container_overrides": "Write CONTAINER: {{command: […]}}, in YAML or JSON.",
}
"""Kind of option → how a value of it is written."""


def _text(_option: Option, texts: tuple[str, ...]) -> str:
    return texts[-1].strip()


def _token(option: Option, texts: tuple[str, ...]) -> str:
    token = texts[-1].strip()
    if not re.fullmatch(r"[ -~]{1,4000}", token):
        raise InvalidInput(
            f"{option.name} is not one token.",
            hint="Write it alone, or an environment variable's name.",
        )
    return token


def _boolean(option: Option, texts: tuple[str, ...]) -> bool:
    match texts[-1].strip().lower():
        case "true" | "yes" | "on" | "1":
            return True
        case "false" | "no" | "off" | "0":
            return False
        case _:
            raise _invalid(option, texts[-1], "a boolean (true or false)")


def _choice(option: Option, texts: tuple[str, ...]) -> str:
    value = next((each for each in option.choices if each.lower() == texts[-1].strip().lower()), None)
    if value is None:
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
    if not re.fullmatch(r"(?=0*[1-9])\d{1,9}", texts[-1].strip(), re.ASCII):
        raise _invalid(option, texts[-1], "a whole number of 1 or more")
    return int(texts[-1])


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


_JSON = re.compile(r"\s*(?:\{|\[\s*[\"{\]])")


def _lines(texts: tuple[str, ...]) -> list[str]:
    return [line.strip() for text in texts for line in text.splitlines() if line.strip()]


def _assignments(option: Option, texts: tuple[str, ...]) -> dict[str, str | None]:
    hint = f"Write one NAME=VALUE a line in {option.name}; NAME alone removes it."
    if option.secret:
        hint = (
            f"Write one NAME=VALUE a line in {option.name}; NAME alone is the environment variable. A value "
            'of several lines stands in quotes: "NAME=VALUE".'
        )
    return dict(_named(option, texts, hint=hint))


def _pairs(option: Option, texts: tuple[str, ...]) -> dict[str, str]:
    hint = f"Write one NAME=VALUE a line in {option.name}."
    result: dict[str, str] = {}
    for name, value in _named(option, texts, hint=hint):
        if value is None:
            raise _not_assigned(option, name, hint)
        result[name] = value
    return result


def _named(option: Option, texts: tuple[str, ...], *, hint: str) -> Iterator[tuple[str, str | None]]:
    """Yield the names and values of lines NAME=VALUE, or of a text in JSON that says the same."""
    for text in texts:
        if _JSON.match(text):
            yield from _named_in_json(option, text, hint)
            continue
        for line in _values(option, text, hint) if option.secret else _lines((text,)):
            name, equals, value = line.partition("=")
            yield _name(option, name, hint, line=line), value if equals else None


_BEGINS: Final = re.compile(r"-----BEGIN (?P<what>[A-Z0-9 ]+)-----")
_CLOSES: Final = re.compile(r'(?<!")(?:"")*"\s*\Z')
"""A quote at the end of a line, which no other doubles."""
_HEREDOC: Final = re.compile(r"(?P<name>[^\s=<]+)<<(?P<end>\S+)")


def _values(option: Option, text: str, hint: str) -> Iterator[str]:
    """Yield each NAME=VALUE of *text*, whose value may have several lines.

    Such a value is a key (-----BEGIN … to -----END …), `NAME<<END` to END as in GitHub's own files, or in
    quotes, as docker/build-push-action takes it: "NAME=VALUE", a quote in it doubled.
    """
    lines = iter(text.splitlines())
    for raw in lines:
        line = raw.strip()
        if heredoc := _HEREDOC.fullmatch(line):
            *value, last = ["", *_through(lines, re.compile(rf"\s*{re.escape(heredoc['end'])}\s*\Z"))]
            if last.strip() != heredoc["end"]:
                raise InvalidInput(f"{option.name} has no line that ends the value of a name.", hint=hint)
            yield f"{heredoc['name']}=" + "\n".join(value[1:])
        elif line.startswith('"') and "=" in line:
            parts = [raw.lstrip()]
            if not _CLOSES.search(parts[0][1:]):
                parts += _through(lines, _CLOSES)
            quoted = "\n".join(parts).rstrip()
            if not _CLOSES.search(quoted[1:]):
                raise InvalidInput(f"{option.name} has a quote that is not closed.", hint=hint)
            yield quoted[1:-1].replace('""', '"')
        elif (key := _BEGINS.search(line)) and "-----END" not in line:
            closing = re.compile(f"-----END {key['what']}-----")
            yield "\n".join([line, *(each.strip() for each in _through(lines, closing))])
        elif line:
            yield line


def _through(lines: Iterator[str], last: re.Pattern[str]) -> Iterator[str]:
    """Yield lines up to the first in which *last* is found, that one too."""
    for line in lines:
        yield line
        if last.search(line):
            return


def _name(option: Option, text: str, hint: str, *, line: str = "") -> str:
    name = text.strip()
    if not name or re.search(r"\s|^[{\[\"]", name) or (option.secret and not re.fullmatch(r"[\w.-]+", name)):
        raise _not_assigned(option, line or text, hint)
    if looks_secret(name):
        raise InvalidInput(f"{option.name} has a secret where a name belongs.", hint=hint)
    return name


def _not_assigned(option: Option, text: str, hint: str) -> InvalidInput:
    is_name = option.name == "build-args" and re.fullmatch(r"[A-Z][A-Z0-9_]*", text)  # Docker takes one alone
    is_shown = option.name not in _HOLD_SECRETS or is_name
    shown = f"the line {hidden(text[:40])!r}" if is_shown else "a line"
    which = ", which" if is_shown else " that"
    return InvalidInput(f"{option.name} has {shown}{which} is not NAME=VALUE.", hint=hint)


def _named_in_json(option: Option, text: str, hint: str) -> Iterator[tuple[str, str | None]]:
    """Yield what {"NAME": "VALUE"}, ["NAME=VALUE"] and ECS's own [{"name": …, "value": …}] say."""
    value = document(text, name=option.name)
    if isinstance(value, dict):
        for name, item in value.items():
            yield _name(option, name, hint), _plain_value(option, name, item)
        return
    for item in value if isinstance(value, list) else ():
        match item:
            case str() if "\n" not in item:
                name, equals, text = item.partition("=")
                yield _name(option, name, hint, line=item), text if equals else None
            case (
                {"name": str(name), "value": given, **rest}
                | {"name": str(name), "valueFrom": given, **rest}
                | {"key": str(name), "value": given, **rest}
            ) if not rest:
                yield _name(option, name, hint), _plain_value(option, name, given)
            case _:
                raise InvalidInput(
                    f"{option.name} is a JSON list whose elements are not NAME=VALUE.", hint=hint
                )


def _plain_value(option: Option, name: str, value: Any) -> str | None:
    match value:
        case None | str():
            return value
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case _:
            kind = "a number with a point" if isinstance(value, float) else "no text"
            raise InvalidInput(
                f"{option.name} has {kind} as the value of {hidden(name)[:60]!r}.", hint="Put it in quotes."
            )


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


def _json(option: Option, text: str, wanted: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _invalid(option, text, f"{wanted} ({type(error).__name__})") from error


def _policy(option: Option, texts: tuple[str, ...]) -> str:
    policy = _json(option, texts[-1], "JSON")
    if not isinstance(policy, dict) or "Statement" not in policy:
        raise _invalid(option, texts[-1], "a policy with a Statement")
    text = json.dumps(policy, separators=(",", ":"))
    if len(text) > 2048:
        raise _invalid(option, texts[-1], "a policy of at most 2,048 characters (STS's limit)")
    return text


def _images(option: Option, texts: tuple[str, ...]) -> dict[str, str]:
    """Return container → image; the key "" stands for the one container that is meant by default."""
    result: dict[str, str] = {}
    for line in _image_lines(option, texts):
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


def _image_lines(option: Option, texts: tuple[str, ...]) -> list[str]:
    hint = "Write one CONTAINER=URI a line."
    return [
        line
        for text in texts
        for line in (
            [n if uri is None else f"{n}={uri}" for n, uri in _named_in_json(option, text, hint)]
            if _JSON.match(text)
            else _lines((text,))
        )
    ]


def _words(option: Option, texts: tuple[str, ...]) -> tuple[str, ...]:
    text = texts[-1].strip()
    if not text.startswith("["):
        try:
            return tuple(shlex.split(text))
        except ValueError as error:
            raise _invalid(option, texts[-1], f"splittable as a shell does ({error})") from error
    words = _json(option, text, "a JSON list of texts")
    if not all(isinstance(word, str) for word in words):
        raise _invalid(option, texts[-1], "a JSON list of texts")
    return tuple(words)


def _mapping(option: Option, texts: tuple[str, ...]) -> dict[str, object]:
    value = document(texts[-1], name=option.name)
    if not isinstance(value, dict):
        raise _invalid(option, texts[-1], "a mapping in YAML or JSON")
    return value


def _container_overrides(option: Option, texts: tuple[str, ...]) -> tuple[ContainerOverride, ...]:
    return container_overrides(_mapping(option, texts), option=option.name)


_THRESHOLD = re.compile(
    r"(?:(COUNT|BOUNDED_PERCENT|UNBOUNDED_PERCENT)=)?(\d{1,6})(%?)", re.ASCII | re.IGNORECASE
)


def _threshold(option: Option, texts: tuple[str, ...]) -> Threshold:
    match = _THRESHOLD.fullmatch(texts[-1].strip())
    kind, number, percent = match.groups() if match else (None, "0", "")
    if not int(number) or (kind and percent):
        raise _invalid(option, texts[-1], "a number of failed tasks, or a percentage of the desired count")
    return Threshold(
        type=kind.upper() if kind else "BOUNDED_PERCENT" if percent else "COUNT", value=int(number)
    )


_SHARE = re.compile(
    r"(?P<name>[^=,\s]+)(?:\s*=\s*(?P<weight>\d{1,4})(?:\s*,\s*(?P<base>\d{1,6}))?)?", re.ASCII
)
_SHARE_MEMBERS = frozenset({"capacityProvider", "weight", "base"})


def _strategy(option: Option, texts: tuple[str, ...]) -> tuple[CapacityShare, ...]:
    shares = [share for text in texts for share in _shares(option, text)]
    names = [share.capacity_provider for share in shares]
    if twice := next((name for name in names if names.count(name) > 1), ""):
        raise InvalidInput(f"{option.name} names {twice!r} twice.", hint="Name each capacity provider once.")
    if wrong := strategy_problem(shares):
        raise InvalidInput(f"{option.name} {wrong}", hint=_WRITTEN["strategy"])
    return tuple(shares)


def _shares(option: Option, text: str) -> Iterator[CapacityShare]:
    """Yield the shares of lines NAME=WEIGHT,BASE, or of the API's list in JSON."""
    if not _JSON.match(text):
        for line in _lines((text,)):
            found = _SHARE.fullmatch(line)
            if found is None:
                raise InvalidInput(f"{option.name} has the line {line[:60]!r}.", hint=_WRITTEN["strategy"])
            name, weight, base = found.groups()
            yield CapacityShare(
                capacity_provider=name, weight=1 if weight is None else int(weight), base=int(base or 0)
            )
        return
    items = _json(option, text, "a JSON list of capacityProvider, weight and base")
    for item in items if isinstance(items, list) else [items]:
        numbers = [item.get(name, 0) for name in ("weight", "base")] if isinstance(item, dict) else []
        if (
            not numbers
            or not isinstance(item.get("capacityProvider"), str)
            or not _SHARE_MEMBERS.issuperset(item)
            or any(
                isinstance(number, bool) or not isinstance(number, int) or number < 0 for number in numbers
            )
        ):
            raise InvalidInput(f"{option.name} has {str(item)[:80]!r}.", hint=_WRITTEN["strategy"])
        yield CapacityShare(capacity_provider=item["capacityProvider"], weight=numbers[0], base=numbers[1])


READERS: Mapping[str, Callable[[Option, tuple[str, ...]], Any]] = {
    "text": _text,
    "token": _token,
    "boolean": _boolean,
    "switch": _boolean,
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
    "strategy": _strategy,
    "container_overrides": _container_overrides,
    "threshold": _threshold,
}


ABSENT: Mapping[str, object] = {
    **dict.fromkeys(("text", "policy", "token"), ""),
    **dict.fromkeys(("boolean",), False),
    **{kind: {} for kind in ("deadlines", "assignments", "images", "pairs", "mapping")},
    **dict.fromkeys(("lines", "names", "accounts", "strategy", "container_overrides"), ()),
}
"""What an option of a kind is where nobody gave it; None for the kinds that are not here."""
