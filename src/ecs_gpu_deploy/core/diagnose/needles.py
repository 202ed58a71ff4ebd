"""Words that a text must have if a regular expression of the table is to match it.

Looking for a word is some fifty times cheaper than trying an expression, and most of the table's have nothing
to do with a given text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

_TOKEN = re.compile(
    r"(?P<any>\[\^?(?:\\.|[^\]\\])+\]|\\[wWdDsSbBnrt0-9]|[.^$])"
    r"|(?P<look>\(\?<?[=!])|(?P<open>\((?:\?:)?)|(?P<close>\))|(?P<or>\|)"
    r"|(?P<many>\{(?P<least>\d+)(?:,\d*)?\}\??|(?P<plus>\+\??)|[?*]\??)"
    r"|\\?(?P<letter>.)"
)
_SHORTEST = 2

Item = str | frozenset[str] | None
"""A letter, the words of a group, or something that may be anything."""


def needles(pattern: str) -> frozenset[str]:
    """Return words of which each text that matches *pattern* has at least one; empty where none is known.

    *pattern* is written as those of the table are: without flags, named groups and comments.
    """
    return _alternatives(_TOKEN.finditer(pattern))


def _alternatives(tokens: Iterator[re.Match[str]]) -> frozenset[str]:
    """Read to the end of a group (or of the pattern): a word of each of its branches, or nothing."""
    branches: list[list[Item]] = [[]]
    for token in tokens:
        items = branches[-1]
        match token.lastgroup:
            case "letter":
                items.append(token["letter"])
            case "any":
                items.append(None)
            case "open":
                items.append(_alternatives(tokens))
            case "look":
                _alternatives(tokens)
            case "or":
                branches.append([])
            case "close":
                break
            case _:
                if not (token["plus"] or int(token["least"] or 0)):
                    items.pop()
                items.append(None)
    words = [_best(items) for items in branches]
    return frozenset().union(*words) if all(words) else frozenset()


def _best(items: Sequence[Item]) -> frozenset[str]:
    """Return the rarest that stands in one branch: the words whose shortest is the longest."""
    found: list[frozenset[str]] = [frozenset()]
    for is_run, run in groupby(items, key=lambda item: isinstance(item, str)):
        if is_run:
            found.append(frozenset({"".join(map(str, run))}))
        else:
            found += [words for words in run if isinstance(words, frozenset)]
    best = max(found, key=lambda words: min(map(len, words), default=0))
    return best if min(map(len, best), default=0) >= _SHORTEST else frozenset()
