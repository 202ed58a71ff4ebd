"""GitHub Actions: annotations, groups, step outputs, masks and the job summary, with GitHub's limits.

Values go through the `actions` extra (actions-toolkit) where it is installed; what that gets wrong or
lacks (empty annotation properties, the summary) is written here. Outside Actions nothing is printed.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TextIO, cast

from ecs_gpu_deploy.core.text import plain
from ecs_gpu_deploy.edges.machine.reporter import emit

SUMMARY_LIMIT = 1024 * 1024
ANNOTATION_LIMIT = 4096
ANNOTATIONS_PER_LEVEL = 10


class GitHub:
    """The runner we are in, or none."""

    def __init__(self, environment: Mapping[str, str] = os.environ, stream: TextIO = sys.stdout) -> None:
        self._environment = environment
        self._stream = stream
        self._annotations: Counter[str] = Counter()
        self.is_here = environment.get("GITHUB_ACTIONS") == "true"
        self.is_debug = environment.get("RUNNER_DEBUG") == "1"

    def mask(self, secret: str) -> None:
        """Have the runner replace *secret* in every later line of the log."""
        if self.is_here and secret:
            for line in secret.splitlines():
                self._command("add-mask", line)

    def annotate(self, level: str, message: str, *, title: str = "") -> None:
        """Show one annotation (notice, warning or error) on the run; of a level, GitHub shows ten a step."""
        self._annotations[level] += 1
        if self.is_here and self._annotations[level] <= ANNOTATIONS_PER_LEVEL:
            text = _data(plain(message, limit=ANNOTATION_LIMIT))
            properties = f" title={_property(plain(title, limit=200))}" if title else ""
            emit(f"::{level}{properties}::{text}", self._stream)

    def group(self, title: str) -> None:
        """Begin a folded group of lines."""
        if self.is_here:
            self._command("group", plain(title, limit=200))

    def end_group(self) -> None:
        """End the group."""
        if self.is_here:
            self._command("endgroup", "")

    def set_outputs(self, outputs: Mapping[str, str]) -> None:
        """Set the step's outputs."""
        path = self._environment.get("GITHUB_OUTPUT", "")
        if not path:
            return
        Path(path).touch()  # the toolkit wants it to be there
        toolkit = _toolkit() if self._environment is os.environ else None
        for name, value in outputs.items():
            if toolkit is not None:
                toolkit.set_output(name, value)
                continue
            end = f"end-{secrets.token_hex(16)}"
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(f"{name}<<{end}\n{value}\n{end}\n")

    def summarize(self, markdown: str) -> None:
        """Append *markdown* to the job summary, cut at GitHub's 1 MiB."""
        path = self._environment.get("GITHUB_STEP_SUMMARY", "")
        if not path:
            return
        data = markdown.encode("utf-8", "replace")
        if len(data) > SUMMARY_LIMIT:
            note = "\n\n… cut at GitHub's limit of 1 MiB; the result file has everything.\n".encode()
            data = data[: SUMMARY_LIMIT - len(note)].decode("utf-8", "ignore").encode() + note
        with Path(path).open("ab") as file:
            file.write(data)

    def _command(self, name: str, text: str) -> None:
        emit(f"::{name}::{_data(text)}", self._stream)


def _toolkit() -> ModuleType | None:
    try:
        from actions_toolkit import core  # noqa: PLC0415  (drags in requests; only needed at the end)
    except ImportError:
        return None
    return cast("ModuleType", core)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
