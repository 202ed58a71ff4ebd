"""docs/scenarios.md, made from the tests that run them: what AWS does, and what the program says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from ecs_gpu_deploy.result import Outcome
from tools.scripted_table import cell, scripted_tables

Scenario = Mapping[str, Any]
_HEAD = """\
# Scenarios

What the program says when AWS does what it does, in two sets of tests. In both it runs as a process over
HTTP. [The first](#our-model-of-aws) runs on our own model of ECS, [the second](#the-scripted-aws) on answers
that were written by hand from AWS's pages and from reports. This page is made from the tests by `make docs`.

## Our model of AWS

Each row is a test against the [sandbox](sandbox.md), on a clock that is stepped. `deploy` must end as the row
says: outcome, exit code, causes in their order, and the latest second of AWS's time at which the verdict may
come. The rows are the files of [`tests/scenarios`](../tests/scenarios), which also say how each world differs
from the sandbox's default one.

A row with "peers:" is a situation in which other tools were measured, and what became of it there.
"""


def scenarios_page(folder: Path, scripted: Path) -> str:
    """Return the page of the scenario files in *folder* and of the worlds in *scripted*."""
    files = sorted(folder.glob("*.yml"))
    if not files:
        raise SystemExit(f"no scenario file in {folder}: run this in a checkout of the repository")
    parts = [_HEAD]
    total = 0
    for path in files:
        text = path.read_text(encoding="utf-8")
        scenarios = yaml.safe_load(text)
        total += len(scenarios)
        parts.append("\n".join([f"### {path.stem.capitalize()}", "", _lead(text), "", *_table(scenarios)]))
    parts += [f"{total} scenarios.", scripted_tables(scripted)]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _lead(text: str) -> str:
    """Return the comment at the top of a file."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# "))
    return " ".join(lines)


def _table(scenarios: list[Scenario]) -> Iterator[str]:
    yield "| When | deploy says | exit | cause | at most |"
    yield "|---|---|---|---|---|"
    for scenario in scenarios:
        wanted = scenario["expect"]
        outcome = Outcome(wanted["outcome"])
        when = scenario["scenario"] + (f" (peers: {scenario['row']})" if "row" in scenario else "")
        causes = ", ".join(f"`{code}`" for code in wanted.get("diagnoses", ()))
        cells = [cell(when), f"`{outcome}`", str(outcome.exit_code), causes, _span(wanted.get("latest"))]
        yield "| " + " | ".join(cells) + " |"


def _span(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds:g} s" if seconds < 600 else f"{seconds / 60:.0f} min"
