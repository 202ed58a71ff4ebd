"""The tables of the scripted worlds, for docs/scenarios.md: what AWS shows, and where that is from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

_HEAD = """\
## The scripted AWS

The other AWS is none of ours. It decides nothing, and answers with what was written down for each second,
over HTTP, on a clock that is stepped. What is true of a world was written without a look at the judge. Each
row is a test again: exit code, and between which seconds after UpdateService (or RunTask, or the start of a
watch) the verdict must come. The files of [`tests/scripted/worlds`](../tests/scripted/worlds) also say which
causes must be named and which must not. "From" is where it is known that AWS shows this; what no page and no
report says is "unproven". A row that is not right yet stands in `tests/scripted/known.yml`; once it is right,
the tests fail until it is taken out there.
"""


def scripted_tables(folder: Path) -> str:
    """Return the tables of the worlds under *folder*, a section for each file, and how many are right."""
    known = frozenset(yaml.safe_load((folder / "known.yml").read_text(encoding="utf-8")) or ())
    parts, total = [_HEAD], 0
    for path in sorted((folder / "worlds").glob("*.yml")):
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
        total += len(document["worlds"])
        title = document["kind"][:1].upper() + document["kind"][1:]
        parts.append("\n".join([f"### {title}", "", *_table(document["worlds"], known)]))
    parts.append(f"{total} worlds, {total - len(known)} of them told right.")
    return "\n\n".join(part.strip("\n") for part in parts)


def _table(worlds: list[Mapping[str, Any]], known: frozenset[str]) -> Iterator[str]:
    yield "| When | exit | verdict at | right | from |"
    yield "|---|---|---|---|---|"
    for world in worlds:
        ends = world["expect"].get("either", [world["expect"]])
        cells = [
            cell(world["world"]),
            " or ".join(_codes(end["exit"]) for end in ends),
            " or ".join(filter(None, (_seconds(end.get("at")) for end in ends))),
            "not yet" if world["world"] in known else "yes",
            _linked(cell(world["source"], capital=False)),
        ]
        yield "| " + " | ".join(cells) + " |"


def cell(text: str, *, capital: bool = True) -> str:
    """Return a text as the cell of a table, in Markdown."""
    if capital:
        text = text[:1].upper() + text[1:]
    return text.replace("|", "&#124;").replace("<", "&lt;").replace("*", "\\*")


def _codes(written: int | list[int]) -> str:
    return " or ".join(map(str, written if isinstance(written, list) else [written]))


def _seconds(written: list[float] | None) -> str:
    """Return between which seconds a verdict must come, as read; nothing where that is free."""
    if written is None:
        return ""
    earliest, latest = written
    return f"{max(earliest, 0):,g} to {latest:,g} s"


def _linked(text: str) -> str:
    """Return a source with links to the pages that stand beside the tables."""
    text = re.sub(r"docs/aws-facts\.md#([a-z0-9-]+)", _fact, text)
    return re.sub(r"docs/(rollback|batch)\.md", r"[\1.md](\1.md)", text)


def _fact(found: re.Match[str]) -> str:
    return f"[{found[1].replace('-', ' ')}](aws-facts.md#{found[1]})"
