"""Untrusted text made safe to print: log lines, events, names. Also how we write times and durations."""

from __future__ import annotations

import re

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]{0,2048}(?:\x07|\x1b\\)?|[@-Z\\-_])")
_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]"
)
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#|~$@]|^[-+=]|^\d+(?=[.)]))")
_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def plain(text: str, *, limit: int = 1000) -> str:
    """Return *text* on one line, without escape sequences and control characters, at most *limit* long."""
    cut = text[: 4 * limit]
    clean = _CONTROL.sub("", _ANSI.sub("", cut).replace("\t", " ").replace("\n", " ⏎ ")).strip()
    return clean if len(clean) <= limit and len(cut) == len(text) else clean[: limit - 1].rstrip() + "…"


def log_line(text: str, *, limit: int = 1000) -> str:
    """Return *text* so that a GitHub log takes it as text and not as a workflow command.

    The runner reads `::name::` at the start of a line, and the older `##[name]` anywhere in it.
    """
    line = plain(text, limit=limit).replace("##[", "##\u200b[")
    return f":\u200b{line[1:]}" if line.startswith("::") else line


def markdown(text: str, *, limit: int = 1000) -> str:
    """Return *text* so that Markdown and HTML show it as it is."""
    return _MARKDOWN.sub(r"\\\1", plain(text, limit=limit).translate(_HTML))


def markdown_code(text: str, *, limit: int = 300) -> str:
    """Return *text* as inline code that it cannot leave, also inside a table."""
    shown = plain(text, limit=limit).translate(_HTML).replace("|", "&#124;").replace("`", "&#96;")
    return f"<code>{shown}</code>"


def fenced(lines: list[str] | tuple[str, ...], *, limit: int = 1000) -> str:
    """Return *lines* as a fenced block whose fence is longer than any in it."""
    body = [plain(line, limit=limit) for line in lines]
    longest = max((len(run) for line in body for run in re.findall(r"`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}text", *body, fence])


def span(seconds: float) -> str:
    """Return a duration as people write it: 45s, 6m12s, 1h05m."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, secs = divmod(rest, 60)
    if hours:
        return f"{hours}h{minutes:02d}m"
    if minutes:
        return f"{minutes}m{secs:02d}s" if secs else f"{minutes}m"
    return f"{secs}s"


def count(number: int, noun: str) -> str:
    """Return "1 task", "2 tasks"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
