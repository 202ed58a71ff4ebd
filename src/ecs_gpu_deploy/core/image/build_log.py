"""What a build printed, step by step: BuildKit's own events where it tells them, its text where not.

Source of the steps' names: github.com/moby/buildkit, frontend/dockerfile/dockerfile2llb and solver/llbsolver.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_STEP: Final = re.compile(r"\[(?:[^\]]*? )?\d+/\d+\] (?P<instruction>.*)", re.DOTALL)
_BASE: Final = re.compile(
    r"\[internal\] load metadata for (?P<metadata>\S+)"
    r"|resolve image config for (?:docker-image://)?(?P<frontend>\S+)"
    r"|(?:\[[^\]]*\] )?(?:FROM|docker-image://) ?(?:--platform=\S+ )?(?P<image>[^\s@]+)",
    re.IGNORECASE,
)
_PUSH: Final = re.compile(r"exporting to |pushing |exporting manifest|\[auth\] [^\n]*push", re.IGNORECASE)
_CACHE: Final = re.compile(r"exporting cache", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step of a build: its name as the builder says it, why it failed, the last lines it printed."""

    name: str
    error: str = ""
    output: tuple[str, ...] = ()

    @property
    def instruction(self) -> str:
        """The Dockerfile's instruction, on one line; "" for a step that is the builder's own."""
        found = _STEP.fullmatch(self.name)
        return " ".join(found["instruction"].split()) if found else ""

    @property
    def base(self) -> str:
        """The image that the step pulls; "" where it pulls none."""
        found = _BASE.match(self.name)
        return next((text for text in found.groups() if text), "") if found else ""

    @property
    def is_push(self) -> bool:
        """Does the step send the image away, or make it ready for that?"""
        return _PUSH.match(self.name) is not None

    @property
    def is_cache(self) -> bool:
        """Does the step send the build's cache away?"""
        return _CACHE.match(self.name) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildLog:
    """What a build told: the step that failed, and the last lines of what is no step's output.

    `line` is the Dockerfile's line where the builder names it, 0 where not.
    """

    failed: Step | None = None
    lines: tuple[str, ...] = ()
    line: int = 0


def line_of(dockerfile: str, instruction: str) -> int:
    """Return the number of the line of *dockerfile* on which *instruction* begins; 0 where that is not sure.

    Blanks do not count. The words may differ where the builder has put in a build argument: then the line is
    the only one that begins with the same few.
    """
    wanted = " ".join(instruction.split())
    found = _instructions(dockerfile)
    same = [number for number, text in found if text == wanted]
    if not same:
        head = wanted.split()[:2]
        same = [number for number, text in found if text.split()[:2] == head]
    return same[0] if len(same) == 1 else 0


def _instructions(dockerfile: str) -> Sequence[tuple[int, str]]:
    """Return (line, instruction on one line) of each; comments go, also those inside a continued one."""
    found: list[tuple[int, str]] = []
    began, parts = 0, list[str]()
    for number, raw in enumerate(dockerfile.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        began = began or number
        parts.append(line.removesuffix("\\"))
        if not line.endswith("\\"):
            found.append((began, " ".join(" ".join(parts).split())))
            began, parts = 0, []
    return found
