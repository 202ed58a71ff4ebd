"""Pages of a list, as the List operations give them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from ecs_gpu_deploy.sandbox.protocol.api_errors import invalid_parameter

Item = TypeVar("Item")


def page_of(
    items: Sequence[Item], request: Mapping[str, Any], *, default: int = 100, limit: int = 100
) -> tuple[Sequence[Item], dict[str, str]]:
    """Return one page and the `nextToken` member, which is absent on the last page."""
    size = request.get("maxResults")
    size = default if size is None else size
    if not 1 <= size <= limit:
        raise invalid_parameter(f"maxResults must be between 1 and {limit}.")
    token = request.get("nextToken")
    start = _offset_of(token) if token else 0
    end = start + size
    return items[start:end], {"nextToken": _token_of(end)} if end < len(items) else {}


def _token_of(offset: int) -> str:
    return base64.b64encode(f"page:{offset}".encode()).decode()


def _offset_of(token: str) -> int:
    try:
        word, _, offset = base64.b64decode(token, validate=True).decode().partition(":")
        if word == "page":
            return int(offset)
    except (binascii.Error, UnicodeDecodeError, ValueError):
        pass
    raise invalid_parameter("Invalid token.")
