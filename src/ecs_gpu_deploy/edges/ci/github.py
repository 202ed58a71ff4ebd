"""GitHub Actions: annotations, groups, step outputs, masks and the job summary, with GitHub's limits.

Outputs are worded by the `actions` extra (actions-toolkit) where it is installed; what it lacks (outputs that
are written whole, the summary) is written here. Outside Actions nothing is printed.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

from ecs_gpu_deploy.core.text import harmless, indented, plain
from ecs_gpu_deploy.edges.machine.files import append_whole
from ecs_gpu_deploy.edges.machine.reporter import emit

SUMMARY_LIMIT = 1024 * 1024
_CUT = "\n\n… cut at GitHub's limit of 1 MiB; the result file has everything.\n".encode()
ANNOTATION_LIMIT = 4096
ANNOTATIONS_PER_LEVEL = 10
SHORTEST_MASK = 8
_LARGEST_WORKFLOW = 128 * 1024
_WORKFLOW = re.compile(r"\.github/workflows/[^/\x00]+\.ya?ml")


class GitHub:
    """The runner we are in, or none."""

    def __init__(
        self,
        environment: Mapping[str, str] = os.environ,
        stream: TextIO = sys.stdout,
        masks: TextIO = sys.stderr,
    ) -> None:
        self._environment = environment
        self._stream = stream
        self._masks = masks
        self._annotations: Counter[str] = Counter()
        self.is_here = environment.get("GITHUB_ACTIONS") == "true"
        self.is_debug = environment.get("RUNNER_DEBUG") == "1"

    def mask(self, secret: str) -> None:
        """Have the runner replace *secret* in every later line of the log, but not its short lines: words.

        Such a line holds the secret. The runner reads both streams, and standard error is not what somebody
        pipes into another program or a file (`history --output json > runs.json`).
        """
        if self.is_here and not _is_file(self._masks):
            for line in secret.splitlines():
                if len(line.strip()) >= SHORTEST_MASK:
                    emit(f"::add-mask::{_data(line)}", self._masks)

    def annotate(self, level: str, message: str, *, title: str = "", proof: Sequence[str] = ()) -> None:
        """Show one annotation (notice, warning or error) on the run; of a level, GitHub shows ten a step.

        The lines of *proof* stand below the message, indented. An error stands at the line of the workflow
        that asked for it, where that can be known.
        """
        self._annotations[level] += 1
        if self.is_here and self._annotations[level] <= ANNOTATIONS_PER_LEVEL:
            lines = [
                plain(message, limit=ANNOTATION_LIMIT),
                *(f"    {harmless(indented(line))}" for line in proof),
            ]
            text = _data("\n".join(lines)[:ANNOTATION_LIMIT])
            place = self._asking_place() if level == "error" else {}
            told = {**place, **({"title": title} if title else {})}
            properties = ",".join(
                f"{key}={_property(plain(value, limit=200))}" for key, value in told.items()
            )
            emit(f"::{level}{' ' if properties else ''}{properties}::{text}", self._stream)

    def _asking_place(self) -> dict[str, str]:
        """Return file and line of the step that asked for this run; empty where the checkout does not tell.

        GITHUB_WORKFLOW_REF is `owner/repository/.github/workflows/file.yml@ref` (GitHub "Variables
        reference").
        """
        from ecs_gpu_deploy.core.show.asking_line import asking_line  # noqa: PLC0415  (it loads YAML)

        known = self._environment.get
        reference = known("GITHUB_WORKFLOW_REF", "").partition("@")[0]
        path = reference.removeprefix(f"{known('GITHUB_REPOSITORY', '')}/")
        if not _WORKFLOW.fullmatch(path):
            return {}
        text = _workflow_text(Path(known("GITHUB_WORKSPACE", "") or ".", path))
        line = asking_line(
            text,
            job=known("GITHUB_JOB", ""),
            step=known("GITHUB_ACTION", ""),
            repository=known("GITHUB_ACTION_REPOSITORY", ""),
        )
        return {} if line is None else {"file": path, "line": str(line)}

    def group(self, title: str) -> None:
        """Begin a folded group of lines."""
        if self.is_here:
            self._command("group", plain(title, limit=200))

    def end_group(self) -> None:
        """End the group."""
        if self.is_here:
            self._command("endgroup", "")

    def set_outputs(self, outputs: Mapping[str, str]) -> None:
        """Set the step's outputs, all or none; raises OSError."""
        path = self._environment.get("GITHUB_OUTPUT", "")
        if not path:
            return
        text = "".join(f"{_output(name, value)}\n" for name, value in outputs.items())
        append_whole(path, text.encode("utf-8", "replace"))

    def summarize(self, markdown: str) -> None:
        """Append *markdown* to the job summary, cut at GitHub's 1 MiB for a step; raises OSError.

        A step that writes more has no summary at all (GitHub "Workflow commands", Adding a job summary).
        """
        path = self._environment.get("GITHUB_STEP_SUMMARY", "")
        if not path:
            return
        data = markdown.encode("utf-8", "replace")
        room = SUMMARY_LIMIT - (Path(path).stat().st_size if Path(path).is_file() else 0)
        append_whole(path, data if len(data) <= room else _cut(data, room))

    def _command(self, name: str, text: str) -> None:
        emit(f"::{name}::{_data(text)}", self._stream)


def _cut(summary: bytes, room: int) -> bytes:
    """Return of *summary* the whole lines that *room* has place for, no folded part half, and a note."""
    kept = summary[: max(0, room - len(_CUT))].rpartition(b"\n")[0]
    folded = kept.rfind(b"\n<details>")
    if folded > kept.rfind(b"\n</details>"):
        kept = kept[:folded]
    return kept + _CUT if room >= len(_CUT) else b""


def _workflow_text(path: Path) -> str:
    """Return the text of a workflow, "" for what is none: no file, too large, no text."""
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST_WORKFLOW:
            return ""
        return path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError):
        return ""


def _is_file(stream: TextIO) -> bool:
    """Say whether what is written goes into a file, where no runner reads it."""
    try:
        return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):
        return False


def _output(name: str, value: str) -> str:
    """Return one output as the runner reads it: `name<<END`, the value, `END`, where END is in no value."""
    try:
        from actions_toolkit.file_command import prepare_key_value_message  # noqa: PLC0415  (an extra)
    except ImportError:
        end = f"end-{secrets.token_hex(16)}"
        return f"{name}<<{end}\n{value}\n{end}"
    return str(prepare_key_value_message(name, value))


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
