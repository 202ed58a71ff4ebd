"""What a task's `secrets` get: values of Secrets Manager and Parameter Store, as the ECS agent reads them.

Source: Amazon ECS Developer Guide, "Pass Secrets Manager secrets through Amazon ECS environment variables".
"""

from __future__ import annotations

import json
from typing import Any


class NoValue(LookupError):
    """The secret or parameter has no such value; the text is the agent's."""


def secret_value(secretsmanager: Any, value_from: str) -> str:
    """Read `arn[:json-key:stage:version]` or a name; raise `NoValue` where that says nothing."""
    parts = value_from.split(":")
    is_arn = value_from.startswith("arn:")
    identifier = ":".join(parts[:7]) if is_arn else value_from
    key, stage, version = (*parts[7:10], "", "", "")[:3] if is_arn else ("", "", "")
    try:
        found = secretsmanager.get_secret_value(identifier, version or None, stage or None)
    except Exception as error:  # moto's errors have no common class
        name = getattr(error, "error_type", type(error).__name__)
        raise NoValue(f"{name}: {getattr(error, 'message', error)}") from error
    text = str(found.get("SecretString", ""))
    if not key:
        return text
    try:
        return str(json.loads(text)[key])
    except (ValueError, LookupError, TypeError) as error:
        raise NoValue(f"retrieved secret from Secrets Manager did not contain json key {key}") from error


def parameter_names(name_or_arn: str) -> tuple[str, str]:
    """Return what a parameter may be called: as written, and without the slash that an ARN has before it."""
    name = name_or_arn.partition(":parameter")[2] or name_or_arn
    return name, name.removeprefix("/")


def parameter_value(ssm: Any, name_or_arn: str) -> str:
    """Read a parameter, decrypted; raise `NoValue` where there is none."""
    names = parameter_names(name_or_arn)
    for candidate in names:
        found = ssm.get_parameter(candidate)
        if found is not None:
            return str(found.decrypt(found.value))
    raise NoValue(f"invalid ssm parameters: {names[0]}")
