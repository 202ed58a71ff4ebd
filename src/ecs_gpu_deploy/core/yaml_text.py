"""YAML read as JSON: what JSON does not have stays text or is refused. `core.document` says what and why."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any, ClassVar, Final, NoReturn

import yaml

from ecs_gpu_deploy.errors import InvalidInput

_MOST_NODES: Final = 200_000
_TAG: Final = "tag:yaml.org,2002:"


def yaml_value(text: str, *, name: str) -> Any:
    """Parse the text of a file or input `name`; raise `InvalidInput` with one sentence and the line."""
    node = _composed(text, name=name)
    try:
        return _Loader("").construct_document(node)
    except yaml.YAMLError as error:
        raise _not_yaml(error, name) from None
    except ValueError as error:
        raise InvalidInput(f"{name!r} is not YAML: {error}.") from None


def _composed(text: str, *, name: str) -> yaml.Node:
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
    except yaml.YAMLError as error:
        raise _not_yaml(error, name) from None
    except ValueError as error:
        raise InvalidInput(f"{name!r} is not text that YAML can hold: {error}.") from None
    if node is None:
        raise InvalidInput(f"{name!r} is empty.", hint="JSON or YAML is meant.")
    if _expanded(node, sizes={}, open_nodes=set(), name=name) > _MOST_NODES:
        raise InvalidInput(f"{name!r} holds more than {_MOST_NODES} values once its aliases are expanded.")
    return node


def _expanded(node: yaml.Node, *, sizes: dict[int, int], open_nodes: set[int], name: str) -> int:
    """Count the values of a node with every alias expanded; an alias may not contain itself."""
    key = id(node)
    if key in open_nodes:
        raise InvalidInput(f"{name!r} has an alias that contains itself.")
    if key not in sizes:
        children: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            children = [child for pair in node.value for child in pair]
        elif isinstance(node, yaml.SequenceNode):
            children = list(node.value)
        open_nodes.add(key)
        sizes[key] = 1 + sum(
            _expanded(child, sizes=sizes, open_nodes=open_nodes, name=name) for child in children
        )
        open_nodes.discard(key)
    return sizes[key]


def _not_yaml(error: yaml.YAMLError, name: str) -> InvalidInput:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be parsed"
    where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
    tab = "\\t" in problem or "tab" in problem
    hint = "YAML is indented with spaces, never with tabs." if tab else ""
    return InvalidInput(f"{name!r} is neither JSON nor YAML: {problem}{where}.", hint=hint)


class _Loader(yaml.SafeLoader):
    """Construct JSON values only; everything that JSON does not have stays text or is refused."""

    yaml_constructors: ClassVar[dict[Any, Any]] = {}

    def construct_plain(self, node: yaml.ScalarNode) -> Any:
        match node.tag.removeprefix(_TAG):
            case "null":
                return None
            case "bool":
                return node.value.lower() == "true"
            case "int":
                return int(node.value)
            case "float":
                return float(node.value)
            case _:
                return node.value

    def construct_list(self, node: yaml.SequenceNode) -> list[Any]:
        return self.construct_sequence(node, deep=True)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    problem="a key is not text", problem_mark=key.start_mark
                )
            if (key.tag, key.value) in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"{key.value!r} is there twice", problem_mark=key.start_mark
                )
            seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep=deep)

    def construct_members(self, node: yaml.MappingNode) -> dict[Hashable, Any]:
        return self.construct_mapping(node, deep=True)

    def refuse(self, node: yaml.Node) -> NoReturn:
        raise yaml.constructor.ConstructorError(
            problem=f"the tag {node.tag!r} is not supported", problem_mark=node.start_mark
        )


_Loader.yaml_implicit_resolvers = {}
for _kind, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"-?(?:0|[1-9][0-9]*)", list("-0123456789")),
    ("float", r"-?(?:0|[1-9][0-9]*)\.[0-9]+(?:[eE][-+]?[0-9]+)?", list("-0123456789")),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(_TAG + _kind, re.compile(rf"(?:{_pattern})\Z"), _first)
for _kind in ("null", "bool", "int", "float", "str"):
    _Loader.add_constructor(_TAG + _kind, _Loader.construct_plain)
_Loader.add_constructor(_TAG + "seq", _Loader.construct_list)
_Loader.add_constructor(_TAG + "map", _Loader.construct_members)
_Loader.add_constructor(None, _Loader.refuse)
