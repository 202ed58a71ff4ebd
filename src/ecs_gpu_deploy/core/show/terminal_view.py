"""The end of a log as a terminal shows it: wrapped between words, so that no number is cut, in colour."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

_NARROWEST = 40
"""Columns below which wrapping would not help."""
_COMMANDS = re.compile(r"(?:^|[\s:])(?:ecs-gpu-deploy|aws|docker) [a-z]")
"""A line with a command stays as it is: it is to be copied."""
_GOOD, _BAD, _STRONG, _QUIET, _ASIDE = "1;32", "1;31", "1", "2", "36"
_HEADS = (
    (re.compile(r"cause: \S+"), _STRONG),
    (re.compile(r"  \| "), _QUIET),
    (re.compile(r"  → "), _ASIDE),
    (re.compile(r"(?:warning|error|next):"), _STRONG),
    (re.compile(r"(?:info|phases[^:]*|GPU time[^:]*|foreseen → seen):"), _QUIET),
)
"""What a line of the text view begins with, and how that is shown (ECMA-48, "Select Graphic Rendition")."""


def terminal_view(text: str, *, columns: int, is_good: bool, has_colour: bool) -> str:
    """Return the text view for a terminal of so many *columns*; its first line is the verdict."""
    verdict, *rest = text.rstrip("\n").split("\n")
    lines = [*_shown(verdict, re.compile(r"[a-z_]+(?= — )"), _GOOD if is_good else _BAD, columns, has_colour)]
    for line in rest:
        head, style = next(((head, style) for head, style in _HEADS if head.match(line)), (None, ""))
        lines += _shown(line, head, style, columns, has_colour)
    return "\n".join(lines) + "\n"


def _shown(
    line: str, head: re.Pattern[str] | None, style: str, columns: int, has_colour: bool
) -> Iterator[str]:
    """Yield a line in as many as it takes, what it begins with in colour, what follows below its text."""
    blanks = " " * 4 if line.startswith("  ") else "  "
    is_whole = columns < _NARROWEST or _COMMANDS.search(line)
    parts = (
        [line]
        if is_whole
        else textwrap.wrap(
            line, columns - 1, subsequent_indent=blanks, break_long_words=False, break_on_hyphens=False
        )
    )
    found = head.match(line) if head is not None and has_colour else None
    for number, part in enumerate(parts or [line]):
        if found is not None and number == 0 and part.startswith(found[0].rstrip()):
            end = len(found[0].rstrip())
            yield f"\x1b[{style}m{part[:end]}\x1b[0m{part[end:]}"
        else:
            yield part
