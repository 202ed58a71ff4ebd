"""An image's configuration: what it is built for, and what its containers start with.

Source: OCI image specification, "Image Configuration".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def image_config_of(text: str) -> Mapping[str, Any]:
    """Read a configuration as the rules' document has it; ValueError where it is none.

    `platform` is such as linux/amd64; `config` has environment, user, entryPoint, command and labels,
    `history` the lines that made the image. Source: OCI image specification, "Image Configuration".
    """
    document = json.loads(text)
    if not isinstance(document, dict):
        raise ValueError("the image's configuration is no JSON object")  # noqa: TRY004 - of a value, as JSON's
    own: Mapping[str, Any] = document.get("config") or {}
    pairs = (str(pair).partition("=") for pair in own.get("Env") or ())
    system, machine = document.get("os") or "linux", document.get("architecture")
    lines = (each.get("created_by") for each in document.get("history") or () if isinstance(each, dict))
    return {
        "platform": f"{system}/{machine}" if machine else None,
        "history": [str(line) for line in lines if line] or None,
        "config": {
            "environment": {name: value for name, _, value in pairs},
            "user": str(own.get("User") or ""),
            "entryPoint": [str(word) for word in own.get("Entrypoint") or ()],
            "command": [str(word) for word in own.get("Cmd") or ()],
            "labels": dict(own.get("Labels") or {}),
        },
    }
