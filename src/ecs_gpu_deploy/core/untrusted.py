"""Text that others wrote (logs, events, reasons), made safe to look at and bounded in size."""

from __future__ import annotations

import re

MAX_LINES = 2000
MAX_LINE = 4000
MAX_TEXT = 200_000
_HEAD_LINES = 200
_HEAD_LINE = 3000

_ESCAPES = re.compile(
    r"\x1b\[[0-?]{0,40}[ -/]{0,10}[@-~]|\x1b\][^\x07\x1b\n]{0,2000}(?:\x07|\x1b\\)?|\x1b.?|\x9b"
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def lines_of(text: str) -> tuple[str, ...]:
    """Split *text* into lines without terminal escapes and control characters, bounded in number and length.

    Of too many lines the first 200 and the last 1800 stay, of a too long line its two ends. A carriage
    return (a progress bar redrawing itself) ends a line too.
    """
    if len(text) > 4 * MAX_TEXT:
        text = text[: MAX_TEXT // 4] + "\n" + text[-2 * MAX_TEXT :]
    raw = re.split(r"\r\n|\n|\r", text)
    if len(raw) > MAX_LINES:
        raw = raw[:_HEAD_LINES] + raw[_HEAD_LINES - MAX_LINES :]
    kept: list[str] = []
    size = 0
    for line in reversed([_bounded(line) for line in raw]):
        size += len(line) + 1
        if size > MAX_TEXT:
            break
        kept.append(line)
    return tuple(reversed(kept))


def _bounded(line: str) -> str:
    if len(line) > MAX_LINE:
        line = f"{line[:_HEAD_LINE]} … {line[_HEAD_LINE - MAX_LINE :]}"
    return _CONTROLS.sub(" ", _ESCAPES.sub("", line)).rstrip()


def excerpt(line: str, width: int = 400) -> str:
    """Return *line* as evidence: verbatim but for outer blanks, cut in its middle beyond *width*."""
    line = _bounded(line).strip()
    if len(line) <= width:
        return line
    tail = width // 3
    return f"{line[: width - tail - 3]} … {line[-tail:]}"


def harmless(line: str) -> str:
    """Return *line* so that GitHub's runner takes no part of it for a workflow command.

    The runner reads `::command::` at the start of a line and `##[command]` anywhere in it.
    """
    return re.sub(r"^(\s{0,40}):(?=:)", r"\1: ", line.replace("##[", "## ["))
