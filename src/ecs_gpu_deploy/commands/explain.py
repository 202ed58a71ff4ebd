"""`explain`: what an ECS event, a stopped reason or a container log means, and which knob to turn."""

from __future__ import annotations

from typing import Literal, TextIO


def run(text_argument: str | None, stdin: TextIO, stdout: TextIO, output: Literal["text", "json"]) -> int:
    """Explain *text_argument*, or what *stdin* holds; write text or JSON to *stdout*; return the exit code."""
    raise NotImplementedError
