"""Is an answer of the shape that AWS documents: held against botocore's service models before it is parsed.

botocore's JSON parser takes text that is no JSON for an empty answer, the letters of a text for the items of
a list, and any value for a text or a number. An answer that AWS did not mean (a proxy's page, half a body)
would then tell of services, tasks and images that are not there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from botocore.model import OperationModel, Shape

from ecs_gpu_deploy.edges.aws.answers import HalfAnswer, OddAnswer

_JSON_PROTOCOLS = frozenset({"json", "rest-json"})
_READS = ("Describe", "List", "Get", "Batch")
_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "structure": dict,
    "map": dict,
    "list": list,
    "string": str,
    "character": str,
    "blob": str,
    "boolean": bool,
    "integer": (int, float),
    "long": (int, float),
    "float": (int, float),
    "double": (int, float),
    "timestamp": (int, float, str),
}


def check_answer(operation_model: OperationModel, response_dict: Mapping[str, Any], **_: Any) -> None:
    """Raise OddAnswer for a successful answer in JSON of another shape; a handler of botocore's before-parse.

    HalfAnswer where it has none of the members that the operation documents: AWS sends an empty list where
    there is nothing to list. A change outside ECS is done when AWS says 200, whatever it tells of it.
    """
    shape = operation_model.output_shape
    if shape is None or operation_model.service_model.resolved_protocol not in _JSON_PROTOCOLS:
        return
    if operation_model.has_streaming_output or not 200 <= response_dict["status_code"] < 300:
        return
    request = f"{operation_model.service_model.service_name}.{operation_model.name}"
    try:
        answer = json.loads(response_dict["body"] or b"{}")
        odd = oddity(shape, answer)
    except (ValueError, RecursionError) as error:
        raise OddAnswer(f"the answer is no JSON ({type(error).__name__})", request=request) from None
    if odd:
        raise OddAnswer(f"the answer has another shape than AWS documents: {odd}", request=request)
    members = _members(shape)
    tells = operation_model.service_model.service_name == "ecs" or operation_model.name.startswith(_READS)
    if tells and members and not any(answer.get(name) is not None for name in members):
        raise HalfAnswer("the answer is empty", request=request)


def oddity(shape: Shape, value: Any, where: str = "") -> str:
    """Return in what *value* differs from the type that *shape* documents, "" where it does not.

    A member that is absent, null or not known yet is no difference.
    """
    if getattr(shape, "is_document_type", False):
        return ""
    if not _is_a(shape.type_name, value):
        return f"{where or 'the whole'} is {type(value).__name__}, not {shape.type_name}"
    parts: list[tuple[Shape, Any, str]] = []
    match shape.type_name:
        case "structure":
            members = _members(shape)
            parts = [
                (members[name], item, f"{where}.{name}" if where else name)
                for name, item in value.items()
                if name in members and item is not None
            ]
        case "list":
            member: Shape = shape.member  # type: ignore[attr-defined]
            parts = [(member, item, f"{where}[]") for item in value]
        case "map":
            kind: Shape = shape.value  # type: ignore[attr-defined]
            parts = [(kind, item, f"{where}{{}}") for item in value.values() if item is not None]
    return next((odd for part in parts if (odd := oddity(*part))), "")


def without_nulls(shape: Shape, value: Any) -> Any:
    """Return *value* without the members that *shape* documents and that are null; what is unknown stays."""
    match shape.type_name, value:
        case "structure", dict():
            members = _members(shape)
            return {
                name: without_nulls(members[name], item) if name in members else item
                for name, item in value.items()
                if item is not None or name not in members
            }
        case "list", list():
            member: Shape = shape.member  # type: ignore[attr-defined]
            return [without_nulls(member, item) for item in value]
        case "map", dict():
            return {name: item for name, item in value.items() if item is not None}
    return value


def _is_a(kind: str, value: object) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, _KINDS.get(kind, object))


def _members(shape: Shape) -> Mapping[str, Shape]:
    """Return the members of a structure that stand in the body, by the names that they have there."""
    members: Mapping[str, Shape] = getattr(shape, "members", {})
    return {
        str(member.serialization.get("name", name)): member
        for name, member in members.items()
        if "location" not in member.serialization
    }
