"""docs/config.schema.json: what editors know of the configuration file, from the table of options."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from ecs_gpu_deploy.inputs.config_file import PROFILES
from ecs_gpu_deploy.inputs.options import OPTIONS, Option
from tools.action_metadata import input_description

_TEXT: Final = {"type": ["string", "number"]}
_LINES: Final = {"type": ["string", "number", "array"], "items": {"type": ["string", "number"]}}
_MAPPING: Final = {"type": ["string", "object", "array"]}
_NUMBER: Final = {"type": "number"}
_INTEGER: Final = {"type": "integer"}
_BOOLEAN: Final = {"type": "boolean"}
_TYPES: Final[Mapping[str, Mapping[str, Any]]] = {
    **dict.fromkeys(("boolean", "switch"), _BOOLEAN),
    **dict.fromkeys(("integer", "positive_integer"), _INTEGER),
    **dict.fromkeys(("text", "token", "gpu", "duration", "duration_or_zero", "threshold"), _TEXT),
    **dict.fromkeys(("lines", "names", "accounts", "words"), _LINES),
    **dict.fromkeys(("assignments", "pairs", "mapping", "images", "deadlines", "gpu_sharing"), _MAPPING),
    **dict.fromkeys(("container_overrides", "policy", "strategy"), _MAPPING),
    "number": _NUMBER,
}
"""Kind of an option → its values in the file, which are read as the text of an input would be."""


def config_schema() -> str:
    """Return the schema as JSON."""
    options = {option.name: _schema(option) for option in OPTIONS}
    profile = {"type": ["object", "null"], "properties": options, "additionalProperties": False}
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ecs-gpu-deploy: configuration file",
        "type": "object",
        "properties": {
            **options,
            PROFILES: {
                "description": "Named sets of options, laid over the others where profile names one.",
                "type": "object",
                "additionalProperties": profile,
            },
        },
        "additionalProperties": False,
    }
    return json.dumps(schema, indent=2, ensure_ascii=False)


def _schema(option: Option) -> dict[str, Any]:
    described = {"description": input_description(option)}
    if option.choices:
        return {**described, "enum": sorted({*option.choices, *option.batch_choices})}
    return {**described, **_TYPES[option.kind]}
