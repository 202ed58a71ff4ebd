"""Who may come in: the sandbox listens on loopback, and a web page in somebody's browser reaches that too."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Final

LONGEST_BODY: Final = 64 * 1024 * 1024
"""Bytes of a request's body that are read."""
_OWN: Final = ("/_sandbox/", "/moto-api")
_NAMES: Final = frozenset({"localhost", "host.docker.internal"})
_HOST: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::[0-9]*)?")
_AWS: Final = (".amazonaws.com", ".amazonaws.com.cn")


class BadRequest(Exception):
    """The request cannot be read."""


def refusal(path: str, environ: Mapping[str, str]) -> str:
    """Return why a request is not answered, as a sentence; "" for one that is.

    A foreign Host is a name that somebody pointed at this machine (DNS rebinding), a foreign Origin a page
    that the browser shows. The sandbox's own endpoints, which change what it says, take no other origin.
    """
    host = environ.get("HTTP_HOST", "")
    if not (_is_loopback(host) or _name(host).endswith(_AWS)):
        return f"The Host {host[:200]!r} is not this machine."
    origin = environ.get("HTTP_ORIGIN", "")
    is_own = path.startswith(_OWN)
    site = environ.get("HTTP_SEC_FETCH_SITE", "")
    if not origin:
        is_elsewhere = site == "cross-site" or (is_own and site == "same-site")
        return "Requests from another site are not answered." if is_elsewhere else ""
    from_here = origin.partition("://")[2] if origin.startswith(("http://", "https://")) else ""
    if not _is_loopback(from_here):
        return f"Requests from the origin {origin[:200]!r} are not answered."
    if is_own and from_here != host:
        return f"This endpoint does not answer requests from the origin {origin[:200]!r}."
    return ""


def _is_loopback(host: str) -> bool:
    """Say whether a Host, or what stands for it in an Origin, names this machine."""
    name = _name(host)
    if name in _NAMES or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _name(host: str) -> str:
    """Return the name or address before the port; "" for what is none (two names, a user before it)."""
    found = _HOST.fullmatch(host)
    return (found[1] or found[2]).lower() if found else ""


def body_length(environ: Mapping[str, str]) -> int:
    """Return the bytes of the body that a request announces; BadRequest where that is no sensible number."""
    text = environ.get("CONTENT_LENGTH") or "0"
    if not re.fullmatch(r"[0-9]{1,12}", text) or int(text) > LONGEST_BODY:
        raise BadRequest(f"The Content-Length {text[:40]!r} is not a number up to {LONGEST_BODY}.")
    return int(text)


def chunk_length(line: bytes, *, already: int) -> int:
    """Return the bytes of the chunk that a line announces; BadRequest where the body gets too long by it."""
    text = line.partition(b";")[0].strip()
    if not re.fullmatch(rb"[0-9A-Fa-f]{1,8}", text) or already + int(text, 16) > LONGEST_BODY:
        raise BadRequest(f"The chunk length {text[:40]!r} is not a number, or a body over {LONGEST_BODY}.")
    return int(text, 16)
