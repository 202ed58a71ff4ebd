"""What of build secrets a Dockerfile might print: their lines, and the values in them."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

SHORTEST: Final = 4
SHORTEST_IN_FILE: Final = 8
_MOST_BYTES: Final = 1_000_000
_BEFORE_VALUE: Final = re.compile(r"[=:]|\bpassword\b", re.IGNORECASE)
_IN_ADDRESS: Final = re.compile(r"://[^\s:/@]*:(?P<password>[^\s/@]+)@")


def secret_texts(secrets: Mapping[str, str], files: Mapping[str, str]) -> Iterator[str]:
    """Yield the texts to hide: of *secrets* (id → value) and *files* (id → path).

    Each line, and of pip.conf, .npmrc, .netrc, JSON and their like also the values alone, which a step may
    take out. A file's short lines are words, and stay.
    """
    for value in secrets.values():
        yield from (line.strip() for line in value.splitlines() if len(line.strip()) >= SHORTEST)
        yield from _values(value)
    for path in files.values():
        with contextlib.suppress(OSError), Path(path).open("rb") as file:
            yield from _values(file.read(_MOST_BYTES).decode("utf-8", "replace"))


def passwords_in(addresses: Iterable[str]) -> Iterator[str]:
    """Yield the passwords that stand in *addresses*, such as a context's: https://user:password@host/…."""
    for address in addresses:
        yield from (found["password"] for found in _IN_ADDRESS.finditer(address))


def _values(text: str) -> Iterator[str]:
    for raw in text.splitlines():
        line = raw.strip()
        if re.fullmatch(r"\[[\w .:-]*\]|[#;].*", line):  # a section, a comment
            continue
        found = [line]
        found += [line[one.end() :].strip("\"' ,;:=") for one in _BEFORE_VALUE.finditer(line)]
        found += [one["password"] for one in _IN_ADDRESS.finditer(line)]
        yield from (one for one in dict.fromkeys(found) if len(one) >= SHORTEST_IN_FILE)
    with contextlib.suppress(ValueError, RecursionError):
        yield from (one for one in _strings(json.loads(text)) if len(one) >= SHORTEST_IN_FILE)


def _strings(document: object) -> Iterator[str]:
    match document:
        case str():
            yield from (line.strip() for line in document.splitlines())
        case dict():
            for one in document.values():
                yield from _strings(one)
        case list():
            for one in document:
                yield from _strings(one)
