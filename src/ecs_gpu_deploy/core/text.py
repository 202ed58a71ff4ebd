"""Text that others wrote (logs, events, reasons, names) made safe to look at, and how we write numbers.

What is escaped, and why: terminal escapes and invisible or direction-changing characters (they hide or
forge what a person reads), GitHub's workflow commands (the runner reads `::name::` at the start of a line
and the older `##[name]` anywhere in it), Markdown and HTML. Every function bounds its result in length.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

MAX_LINES = 2000
MAX_LINE = 4000
MAX_TEXT = 200_000
_HEAD_LINES = 200
_HEAD_LINE = 3000

_ESCAPES = re.compile(
    r"\x1b\[[0-?]{0,40}[ -/]{0,10}[@-~]|\x1b\][^\x07\x1b\n]{0,2000}(?:\x07|\x1b\\)?|\x1b.?|\x9b"
)
_CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2064\u2066-\u2069\ufeff\ud800-\udfff]"
)
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#|~$@]|^[-+=]|(?<=^\d)\.(?=\s|$))")
_FOUND_LATE = re.compile(r"\b(?:https?|ftp|mailto|xmpp):|\bwww\.|@|#(?=\d)|\bGH-(?=\d)", re.IGNORECASE)
_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_ARN = re.compile(
    r"(?:\b(?:target-group|load-balancer|task|container-instance) )?"
    r"\b(arn:aws[a-z-]{0,12}:[a-z0-9-]{1,40}:[a-z0-9-]{0,20}:\d{0,12}:[\w+=,.@:/*-]{1,500})"
)


def unsendable(text: str) -> str:
    """Return why no request can hold *text* (NUL, half a surrogate pair): a sentence without its subject."""
    if "\0" in text:
        return "has a NUL character."
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        return "is not UTF-8 text."
    return ""


def plain(text: str, *, limit: int = 1000) -> str:
    """Return *text* on one line, without escape sequences and control characters, at most *limit* long."""
    return indented(text.strip(), limit=limit).strip()


def is_variable(text: str) -> bool:
    """Say whether *text* is the name of an environment variable as people write it; a token is none."""
    return re.fullmatch(r"[A-Z_][A-Z0-9_]*", text, re.ASCII) is not None


def indented(text: str, *, limit: int = 1000) -> str:
    """Return *text* as `plain` does, but with the blanks it begins with: a traceback reads by them."""
    cut = text[: 4 * limit]
    spaced = _ESCAPES.sub("", cut).replace("\t", " ").replace("\n", " ⏎ ")
    clean = _CONTROLS.sub("", spaced).rstrip()
    return clean if len(clean) <= limit and len(cut) == len(text) else clean[: limit - 1].rstrip() + "…"


def harmless(line: str) -> str:
    """Return *line* so that GitHub's runner takes no part of it for a workflow command.

    The runner trims a line before it looks for `::`, so blanks before it do not help.
    """
    line = line.replace("##[", "## [")
    bare = line.lstrip()
    return f"{line[: len(line) - len(bare)]}: {bare[1:]}" if bare.startswith("::") else line


def log_line(text: str, *, limit: int = 1000) -> str:
    """Return *text* as one line that a terminal and a GitHub log take as text and nothing else."""
    return harmless(plain(text, limit=limit))


def markdown(text: str, *, limit: int = 1000) -> str:
    """Return *text* so that Markdown and HTML show it as it is: no markup, link, mention or image.

    GitHub finds bare links, mentions and numbers of issues (which are told that they were mentioned) in the
    finished text, where a backslash is gone already; an empty comment inside them is still there and shows
    nothing.
    """
    shown = _MARKDOWN.sub(r"\\\1", plain(text, limit=limit).translate(_HTML))
    return _FOUND_LATE.sub(r"\g<0><!-- -->", shown)


def html_text(text: str, *, limit: int = 1000) -> str:
    """Return *text* as it stands inside an element of HTML, where Markdown has no escapes."""
    return _FOUND_LATE.sub(r"\g<0><!-- -->", plain(text, limit=limit).translate(_HTML))


def inline_code(text: str, *, limit: int = 300) -> str:
    """Return *text* as inline code that it cannot leave; of nothing nothing, for two ticks would be text."""
    shown = plain(text, limit=limit)
    if not shown:
        return ""
    ticks = "`" * (1 + max((len(run) for run in re.findall(r"`+", shown)), default=0))
    space = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{ticks}{space}{shown}{space}{ticks}"


def table_code(text: str, *, limit: int = 300) -> str:
    """Return *text* as inline code for a table cell, which it can leave neither as code nor as cell."""
    return inline_code(text, limit=limit).replace("|", "\\|")


def fenced(lines: Sequence[str], *, limit: int = 1000, language: str = "text") -> str:
    """Return *lines* as a fenced block whose fence is longer than any in it."""
    body = [indented(line, limit=limit) for line in lines]
    longest = max((len(run) for line in body for run in re.findall(r"`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}{language}", *body, fence])


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


def short_arns(text: str) -> str:
    """Return *text* with each ARN cut to what a person recognises: `service/ki/rag`, `target-group rag`.

    Target groups and load balancers carry their name before a random id (ELBv2 "Resource types"), ECS
    resources their cluster and id; of a task the first eight characters tell it apart.
    """
    return _ARN.sub(lambda found: _known_as(found[1]), text)


def _known_as(arn: str) -> str:
    bare = arn.rstrip(".,:")
    resource = bare.split(":", 5)[5]
    kind, colon, name = resource.partition(":")
    if colon and "/" not in kind:
        return name + arn[len(bare) :]
    match resource.split("/"):
        case ["targetgroup", name, _]:
            short = f"target-group {name}"
        case ["loadbalancer", _, name, _]:
            short = f"load-balancer {name}"
        case ["task", *_, identity]:
            short = f"task {identity[:8]}"
        case ["container-instance", *_, identity]:
            short = f"container-instance {identity[:8]}"
        case [_kind, *_, identity]:
            short = identity
        case _:
            short = resource
    return short + arn[len(bare) :]


def nearest(wrong: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """Return the one of the *known* names that somebody probably meant, "" where none is near.

    *cutoff* is how alike they have to be, from 0 to 1: less where there are few, or one has to be meant.
    """
    found = difflib.get_close_matches(wrong, sorted(known), n=1, cutoff=cutoff)
    return found[0] if found else ""


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
