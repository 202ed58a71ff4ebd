"""Decide who may ask: API keys that are known by their hashes only, and how often one client may ask."""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import re
import secrets
from collections import OrderedDict
from collections.abc import Mapping

MAX_KEYS = 1000
MAX_CLIENTS = 10_000
"""Clients whose pace is remembered; beyond them the one that asked longest ago is forgotten."""
MINUTE = 60.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_HASH = re.compile(r"[0-9a-f]{64}")


class AccessUnusable(Exception):
    """Say why nobody could be asked who they are; the message begins with the variable's name."""


def new_key() -> str:
    """Make a key of 256 random bits: too many to guess, so that one fast hash hides it."""
    return f"rag_{secrets.token_urlsafe(32)}"


def hash_of(key: str) -> str:
    """Hash a key as API_KEY_HASHES holds it."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def checked_name(name: str) -> str:
    """Give the client's name back, or raise AccessUnusable."""
    if not _NAME.fullmatch(name):
        raise AccessUnusable("API_KEY_HASHES: a client's name has 1 to 64 letters, digits or ._@- in it.")
    return name


def read_hashes(text: str) -> dict[str, str]:
    """Read `{"client": "SHA-256 of its key in hex"}`, or raise AccessUnusable. Never quotes a value."""
    try:
        pairs = json.loads(text, object_pairs_hook=list)
    except (ValueError, RecursionError):
        raise AccessUnusable(f"API_KEY_HASHES: is not JSON; {_WANTED}") from None
    if not text.lstrip().startswith("{") or not pairs:
        raise AccessUnusable(f"API_KEY_HASHES: holds no key; {_WANTED}")
    if len(pairs) > MAX_KEYS:
        raise AccessUnusable(f"API_KEY_HASHES: holds more than {MAX_KEYS} keys; use AUTH=oidc for so many.")
    known: dict[str, str] = {}
    for name, value in pairs:
        checked_name(name)
        if not isinstance(value, str) or not _HASH.fullmatch(value):
            raise AccessUnusable(f"API_KEY_HASHES: {name} has no SHA-256 in 64 small hex digits; {_WANTED}")
        if name in known:
            raise AccessUnusable(f"API_KEY_HASHES: {name} is there twice; each client needs its own name.")
        known[name] = value
    return known


_WANTED = 'it takes {"client": "hash"} as python -m rag_service.keys prints it.'


class ApiKeys:
    """Know clients by the hashes of their keys."""

    def __init__(self, hashes: Mapping[str, str]) -> None:
        self._known = [(name, value.encode()) for name, value in hashes.items()]

    def client_of(self, key: str) -> str | None:
        """Name the client whose key this is. Takes the same time for every key, right or wrong."""
        presented, found = hash_of(key).encode(), None
        for name, known in self._known:
            if hmac.compare_digest(presented, known):
                found = name
        return found


class RateLimit:
    """Let each client ask so often a minute. One number is kept per client."""

    def __init__(self, per_minute: int) -> None:
        self._between = MINUTE / per_minute if per_minute else 0.0
        # When the client's last requests would all have been due, had they come evenly.
        self._due: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        """Count the clients that are remembered."""
        return len(self._due)

    def seconds_to_wait(self, client: str, now: float) -> int:
        """Count a request and give 0, or count nothing and give the whole seconds until it may come."""
        if not self._between:
            return 0
        due = max(self._due.get(client, now), now)
        over = due + self._between - now - MINUTE
        if over > 1e-6:
            return math.ceil(over)
        self._due[client] = due + self._between
        self._due.move_to_end(client)
        if len(self._due) > MAX_CLIENTS:
            self._due.popitem(last=False)
        return 0
