"""The world file: what the local AWS holds at its start. Read, checked, and refused in one sentence."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any, cast

import yaml

from ecs_gpu_deploy.core.text import nearest
from ecs_gpu_deploy.errors import InvalidInput

DOCUMENTATION = "See docs/sandbox.md for the members of a world file."
Entry = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A checked world; each entry is as it stands in the file."""

    region: str = "eu-central-1"
    account: str = "123456789012"
    start_time: str | None = None
    seed: int = 0
    history_seconds: float = 7200.0
    clusters: Sequence[str | Entry] = ()
    instances: Sequence[Entry] = ()
    capacity_providers: Sequence[Entry] = ()
    task_definitions: Sequence[Entry] = ()
    target_groups: Sequence[Entry] = ()
    services: Sequence[Entry] = ()
    images: Sequence[Entry] = ()
    repositories: Sequence[str] = ()
    log_groups: Sequence[str] = ()
    secrets: Sequence[str] = ()
    parameters: Sequence[str] = ()
    roles: Sequence[str | Entry] = ()
    github: Entry | None = None
    registry: Entry | None = None
    faults: Sequence[Entry] = ()
    deny: Sequence[str] = ()
    timeline: Sequence[Entry] = ()

    @classmethod
    def from_text(cls, text: str, *, name: str) -> World:
        """Read YAML or JSON text; raise `InvalidInput` with one sentence about the first thing wrong."""
        try:
            document = yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506 - derived from SafeLoader
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f" (line {mark.line + 1})" if mark is not None else ""
            problem = getattr(error, "problem", None) or "it is not YAML"
            raise InvalidInput(f"World file {name} cannot be read{where}: {problem}.") from error
        return cls.from_document(document if document is not None else {}, name=name)

    @classmethod
    def from_document(cls, document: object, *, name: str) -> World:
        """Take a parsed document; raise `InvalidInput` with one sentence about the first thing wrong."""
        if not isinstance(document, dict):
            raise InvalidInput(
                f"World file {name} must be a mapping such as `clusters: [...]`,"
                f" but it is a {type(document).__name__}.",
                hint=DOCUMENTATION,
            )
        if problem := first_problem(document):
            raise InvalidInput(f"World file {name}: {problem}", hint=DOCUMENTATION)
        world = cls(**document)
        world.start(default=0.0)
        return world

    @classmethod
    def default(cls) -> World:
        """Return the world that a stranger can deploy to at once: the article's service on four GPUs."""
        text = files("ecs_gpu_deploy.sandbox.world").joinpath("default_world.yml").read_text(encoding="utf-8")
        return cls.from_text(text, name="default_world.yml")

    def start(self, *, default: float) -> float:
        """Return the start time in epoch seconds."""
        return epoch_of_iso(self.start_time, name="start_time") if self.start_time else default


def epoch_of_iso(text: str, *, name: str) -> float:
    """Read an ISO 8601 time, UTC where it names no zone; raise `InvalidInput` for anything else."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(
            f"{name} {text!r} is not a time.", hint="Write it as 2026-11-23T08:00:00Z."
        ) from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


class _UniqueKeyLoader(yaml.SafeLoader):
    """Refuse a key that stands twice in a mapping: YAML's loader would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str) and key in seen and key != "<<":
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            if isinstance(key, str):
                seen.add(key)
        return super().construct_mapping(node, deep=deep)


# A time written without quotes stays text: the schema and `epoch_of_iso` say what is wrong with it.
_UniqueKeyLoader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@cache
def schema() -> Mapping[str, Any]:
    """Return the JSON schema of a world file."""
    text = files("ecs_gpu_deploy.sandbox.world").joinpath("world.schema.json").read_text(encoding="utf-8")
    return cast(Mapping[str, Any], json.loads(text))


def first_problem(document: Mapping[str, Any]) -> str | None:
    """Return one sentence about the first thing that the schema refuses: where, what, and what was meant."""
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - slow to import, wanted only here
    from jsonschema.exceptions import ValidationError  # noqa: PLC0415

    def deepest(error: ValidationError) -> ValidationError:
        if not error.context:
            return error
        return deepest(max(error.context, key=lambda child: len(child.absolute_path)))

    # A wrong value makes its whole mapping "unevaluated" as well: the value is what is worth telling.
    errors = sorted(
        Draft202012Validator(schema()).iter_errors(document),
        key=lambda error: (
            error.validator == "unevaluatedProperties",
            [str(part) for part in error.absolute_path],
        ),
    )
    if not errors:
        return None
    return _sentence(deepest(errors[0]))


def _sentence(error: Any) -> str:
    where = _path(error.absolute_path)
    match error.validator:
        case "additionalProperties" | "unevaluatedProperties":
            known = sorted(set(_known_members(error.schema)))
            member = min(set(error.instance) - set(known), default="?")
            near = nearest(member, known)
            meant = f"did you mean {near!r}?" if near else f"known are {', '.join(known)}."
            return f"{where}unknown member {member!r}; {meant}"
        case "required":
            missing = next(name for name in error.validator_value if name not in error.instance)
            return f"{where}the member {missing!r} is missing."
        case "minProperties":
            return f"{where}nothing is said to happen.{_described(error.schema)}"
        case "type":
            wanted = error.validator_value
            names = wanted if isinstance(wanted, str) else " or ".join(wanted)
            return f"{where}{_shown(error.instance)} is not of type {names}.{_described(error.schema)}"
        case "enum":
            allowed = ", ".join(map(str, error.validator_value))
            return f"{where}{_shown(error.instance)} is none of {allowed}."
        case _:
            return f"{where}{error.message}.{_described(error.schema)}"


def _path(path: Sequence[str | int]) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f"{'.' if text else ''}{part}"
    return f"{text}: " if text else ""


def _shown(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _described(part: Mapping[str, Any] | bool) -> str:
    text = part.get("description", "") if isinstance(part, Mapping) else ""
    return f" Meant is: {text}." if text else ""


def _known_members(part: Mapping[str, Any]) -> Iterator[str]:
    yield from part.get("properties", ())
    for other in part.get("allOf", ()):
        reference = str(other.get("$ref", ""))
        yield from _known_members(schema()["$defs"][reference.rpartition("/")[2]] if reference else other)


def members() -> tuple[str, ...]:
    """Return the names of a world's top-level members."""
    return tuple(field.name for field in fields(World))
