"""Who may come in: the sandbox listens on loopback, and a web page in somebody's browser reaches that too."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

LONGEST_BODY: Final = 64 * 1024 * 1024
"""Bytes of a request's body that are read."""
_OWN: Final = ("/_sandbox/", "/moto-api")
_NAMES: Final = frozenset({"localhost", "host.docker.internal"})
_AWS: Final = (".amazonaws.com", ".amazonaws.com.cn")


class BadRequest(Exception):
    """The request cannot be read."""


def refusal(path: str, environ: Mapping[str, str]) -> str:
    """Return why a request is not answered, as a sentence; "" for one that is.

    A foreign Host is a name that somebody pointed at this machine (DNS rebinding), a foreign Origin a page
    that the browser shows. The sandbox's own endpoints, which change what it says, take no other origin.
    """
    host = environ.get("HTTP_HOST", "")
    if not _is_here(host):
        return f"The Host {host[:200]!r} is not this machine."
    origin = environ.get("HTTP_ORIGIN", "")
    if environ.get("HTTP_SEC_FETCH_SITE", "") == "cross-site" and not origin:
        return "Requests from another site are not answered."
    if not origin:
        return ""
    from_here = urlsplit(origin).netloc if origin.startswith("http") else ""
    if not from_here or not _is_here(from_here):
        return f"Requests from the origin {origin[:200]!r} are not answered."
    if path.startswith(_OWN) and from_here != host:
        return f"This endpoint does not answer requests from the origin {origin[:200]!r}."
    return ""


def _is_here(host: str) -> bool:
    """Say whether a Host header names this machine, or AWS (by a hosts file or a proxy)."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name in _NAMES or name.endswith((".localhost", *_AWS)):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def body_length(environ: Mapping[str, str]) -> int:
    """Return the bytes of the body that a request announces; BadRequest where that is no sensible number."""
    text = environ.get("CONTENT_LENGTH") or "0"
    if not text.isdecimal() or len(text) > 12 or int(text) > LONGEST_BODY:
        raise BadRequest(f"The Content-Length {text[:40]!r} is not a number up to {LONGEST_BODY}.")
    return int(text)
