"""Check requests and write responses by botocore's service model, each shape compiled once to a closure.

A request that does not fit raises `ApiError` as AWS answers; a response that does not fit raises
`WrongResponse`, which is our own bug. Writing and checking are one pass over the data, and a part that is
already written (`Fragment`) is taken as it is: 200 services with 100 events each must answer in milliseconds.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files
from json.encoder import encode_basestring_ascii
from typing import Any, cast

from ecs_gpu_deploy.sandbox.protocol.api_errors import ApiError, invalid_parameter, serialization

type_names: Mapping[type, str] = {
    str: "STRING_VALUE",
    int: "NUMBER_VALUE",
    float: "DECIMAL_VALUE",
}
"""What AWS's parser calls a JSON value of each Python type; true and false are told apart below."""

Check = Callable[[Any, str], None]
Write = Callable[[Any, str], str]

OPEN_SHAPES = frozenset({"TaskDefinition", "ContainerDefinition", "RegisterTaskDefinitionRequest"})
"""Shapes that keep members unknown to this botocore, with all below them: a newer API would know them."""


class WrongResponse(Exception):
    """A response of ours does not fit the service model: a bug in the sandbox."""


class Fragment(str):
    """JSON text that has been checked and written before."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Shape:
    """One named shape of a service model, as its file has it."""

    name: str
    definition: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """The type: structure, list, map, string, integer..."""
        return str(self.definition["type"])


@cache
def service_model(service: str) -> Mapping[str, Any]:
    """Read the newest model of a service that the installed botocore has.

    The file itself is read: importing botocore's session would take most of the sandbox's start-up time.
    """
    versions = files("botocore").joinpath("data", service).iterdir()
    newest = max((version for version in versions if version.name[0].isdigit()), key=lambda one: one.name)
    for name in ("service-2.json.gz", "service-2.json"):
        file = newest.joinpath(name)
        if file.is_file():
            content = file.read_bytes()
            text = gzip.decompress(content) if name.endswith(".gz") else content
            return cast(Mapping[str, Any], json.loads(text))
    raise FileNotFoundError(f"botocore has no model of {service}")


class Protocol:
    """The operations of one service: names, request checks, response writers."""

    def __init__(self, service: str) -> None:
        self._model = service_model(service)
        self.operation_names = frozenset(self._model["operations"])
        self._checks: dict[str, Check] = {}
        self._writers: dict[str, Write] = {}
        self._compiling_writers: dict[tuple[str, bool], Write] = {}
        self._compiling_checks: dict[tuple[str, bool], Check] = {}

    def shape(self, name: str) -> Shape:
        """Return a named shape."""
        return Shape(name, self._model["shapes"][name])

    def _shape_of(self, operation: str, side: str) -> Shape | None:
        reference = self._model["operations"][operation].get(side)
        return self.shape(reference["shape"]) if reference else None

    def check_request(self, operation: str, parameters: Any) -> None:
        """Raise `ApiError` unless the parameters fit the operation's input shape."""
        check = self._checks.get(operation)
        if check is None:
            shape = self._shape_of(operation, "input")
            check = self._checks[operation] = self._check(shape, open_=False)
        check(parameters, "")

    def written_response(self, operation: str, response: Mapping[str, Any]) -> str:
        """Write a response as JSON text; raise `WrongResponse` where it does not fit the output shape."""
        writer = self._writers.get(operation)
        if writer is None:
            shape = self._shape_of(operation, "output")
            writer = self._writers[operation] = self._writer(shape, open_=False)
        return writer(response, operation)

    def fragment(self, shape_name: str, value: Any) -> Fragment:
        """Write a value of a named shape once, for use inside later responses."""
        key = f"shape:{shape_name}"
        writer = self._writers.get(key)
        if writer is None:
            writer = self._writers[key] = self._writer(self.shape(shape_name), open_=False)
        return Fragment(writer(value, shape_name))

    def _check(self, shape: Shape | None, *, open_: bool) -> Check:
        if shape is None:
            return _anything
        open_ = open_ or shape.name in OPEN_SHAPES
        key = (shape.name, open_)
        if key in self._compiling_checks:
            return self._compiling_checks[key]
        built: list[Check] = []

        def checked_later(value: Any, path: str) -> None:  # shapes may be recursive
            built[0](value, path)

        self._compiling_checks[key] = checked_later
        match shape.kind:
            case "structure":
                built.append(self._structure_check(shape, open_=open_))
            case "list":
                member = self.shape(shape.definition["member"]["shape"])
                built.append(_list_check(self._check(member, open_=open_)))
            case "map":
                value_shape = self.shape(shape.definition["value"]["shape"])
                built.append(_map_check(self._check(value_shape, open_=open_)))
            case _:
                built.append(_scalar_check(shape))
        return built[0]

    def _structure_check(self, shape: Shape, *, open_: bool) -> Check:
        members = {
            name: self._check(self.shape(member["shape"]), open_=open_)
            for name, member in shape.definition["members"].items()
        }
        required = tuple(shape.definition.get("required", ()))
        known = ", ".join(members)

        def check(value: Any, path: str) -> None:
            if not isinstance(value, dict):
                raise _wrong_type(value, "structure")
            for name, member in value.items():
                if member is None:
                    continue
                member_check = members.get(name)
                at = f"{path}.{name}" if path else name
                if member_check is not None:
                    member_check(member, at)
                elif not open_:
                    raise invalid_parameter(f'Unknown parameter in input: "{at}", must be one of: {known}')
            for name in required:
                if value.get(name) is None:
                    at = f"{path}.{name}" if path else name
                    raise invalid_parameter(
                        f"1 validation error detected: Value null at '{at}' failed to satisfy constraint:"
                        " Member must not be null"
                    )

        return check

    def _writer(self, shape: Shape | None, *, open_: bool) -> Write:
        if shape is None:
            return lambda _value, _path: "{}"
        open_ = open_ or shape.name in OPEN_SHAPES
        key = (shape.name, open_)
        if key in self._compiling_writers:
            return self._compiling_writers[key]
        built: list[Write] = []

        def written_later(value: Any, path: str) -> str:
            return built[0](value, path)

        self._compiling_writers[key] = written_later
        match shape.kind:
            case "structure":
                built.append(self._structure_writer(shape, open_=open_))
            case "list":
                member = self.shape(shape.definition["member"]["shape"])
                built.append(_list_writer(self._writer(member, open_=open_)))
            case "map":
                value_shape = self.shape(shape.definition["value"]["shape"])
                built.append(_map_writer(self._writer(value_shape, open_=open_)))
            case _:
                built.append(_scalar_writer(shape))
        return built[0]

    def _structure_writer(self, shape: Shape, *, open_: bool) -> Write:
        members = {
            name: (f"{json.dumps(name)}:", self._writer(self.shape(member["shape"]), open_=open_))
            for name, member in shape.definition["members"].items()
        }

        def write(value: Any, path: str) -> str:
            if type(value) is Fragment:
                return value
            if not isinstance(value, Mapping):
                raise WrongResponse(f"{path}: {value!r} is not a structure")
            parts = []
            for name, member in value.items():
                if member is None:
                    continue
                known = members.get(name)
                if known is not None:
                    parts.append(known[0] + known[1](member, name))
                elif open_:
                    parts.append(f"{json.dumps(name)}:{json.dumps(member)}")
                else:
                    raise WrongResponse(f"{path}: {shape.name} has no member {name!r}")
            return "{" + ",".join(parts) + "}"

        return write


def _anything(value: Any, path: str) -> None:
    del value, path


def _wrong_type(value: Any, wanted: str) -> ApiError:
    match value:
        case dict():
            return serialization("Start of structure or map found where not expected.")
        case list():
            return serialization("Start of list found where not expected")
        case bool():
            name = "TRUE_VALUE" if value else "FALSE_VALUE"
        case _:
            name = type_names.get(type(value), "NULL_VALUE")
    if wanted in ("structure", "list", "map"):
        return serialization("Unexpected field type")
    return serialization(f"{name} can not be converted to {'an' if wanted[0] in 'AEIO' else 'a'} {wanted}")


def _list_check(member: Check) -> Check:
    def check(value: Any, path: str) -> None:
        if not isinstance(value, list):
            raise _wrong_type(value, "list")
        for number, item in enumerate(value):
            member(item, f"{path}.{number + 1}.member")

    return check


def _map_check(member: Check) -> Check:
    def check(value: Any, path: str) -> None:
        if not isinstance(value, dict):
            raise _wrong_type(value, "map")
        for key, item in value.items():
            member(item, f"{path}.{key}")

    return check


def _scalar_check(shape: Shape) -> Check:
    allowed = tuple(shape.definition.get("enum", ()))
    enumerated = frozenset(allowed)
    wanted: dict[str, tuple[tuple[type, ...], str]] = {
        "string": ((str,), "String"),
        "integer": ((int,), "Integer"),
        "long": ((int,), "Long"),
        "float": ((int, float), "Float"),
        "double": ((int, float), "Double"),
        "boolean": ((bool,), "Boolean"),
        "timestamp": ((int, float, str), "Timestamp"),
        "blob": ((str,), "Blob"),
    }
    types, name = wanted[shape.kind]
    boolean = bool in types

    def check(value: Any, path: str) -> None:
        if not isinstance(value, types) or (isinstance(value, bool) and not boolean):
            raise _wrong_type(value, name)
        if enumerated and value not in enumerated:
            raise invalid_parameter(
                f"1 validation error detected: Value '{value}' at '{path}' failed to satisfy constraint:"
                f" Member must satisfy enum value set: [{', '.join(allowed)}]"
            )

    return check


def _list_writer(member: Write) -> Write:
    def write(value: Any, path: str) -> str:
        if type(value) is Fragment:
            return value
        if not isinstance(value, (list, tuple)):
            raise WrongResponse(f"{path}: {value!r} is not a list")
        return "[" + ",".join([member(item, path) for item in value]) + "]"

    return write


def _map_writer(member: Write) -> Write:
    def write(value: Any, path: str) -> str:
        if not isinstance(value, Mapping):
            raise WrongResponse(f"{path}: {value!r} is not a map")
        return "{" + ",".join(f"{json.dumps(key)}:{member(item, key)}" for key, item in value.items()) + "}"

    return write


def _scalar_writer(shape: Shape) -> Write:
    enumerated = frozenset(shape.definition.get("enum", ()))

    def write_string(value: Any, path: str) -> str:
        if not isinstance(value, str):
            raise WrongResponse(f"{path}: {value!r} is not a string")
        if enumerated and value not in enumerated:
            raise WrongResponse(f"{path}: {value!r} is none of {sorted(enumerated)}")
        return encode_basestring_ascii(value)

    def write_boolean(value: Any, path: str) -> str:
        if value is True:
            return "true"
        if value is False:
            return "false"
        raise WrongResponse(f"{path}: {value!r} is not a boolean")

    def write_integer(value: Any, path: str) -> str:
        if type(value) is not int:
            raise WrongResponse(f"{path}: {value!r} is not an integer")
        return repr(value)

    def write_number(value: Any, path: str) -> str:
        if type(value) is not int and type(value) is not float:
            raise WrongResponse(f"{path}: {value!r} is not a number")
        return repr(value)

    def write_timestamp(value: Any, path: str) -> str:
        if type(value) is float or type(value) is int:
            return repr(round(value, 3))  # AWS writes epoch seconds with milliseconds
        raise WrongResponse(f"{path}: {value!r} is not a time in epoch seconds")

    writers: dict[str, Write] = {
        "string": write_string,
        "boolean": write_boolean,
        "integer": write_integer,
        "long": write_integer,
        "float": write_number,
        "double": write_number,
        "timestamp": write_timestamp,
        "blob": write_string,
    }
    return writers[shape.kind]


def epoch_of(value: float | str) -> float:
    """Return a request's timestamp as epoch seconds; SDKs send a number, some an ISO 8601 string."""
    if isinstance(value, str):
        return datetime.fromisoformat(value).timestamp()
    return float(value)
