"""`explain`: what an ECS event, a stopped reason or a container log means, and which knob to turn.

Needs no AWS, no credentials and no network.
"""

from __future__ import annotations

import io
import json
from typing import Literal, TextIO

from ecs_gpu_deploy.core.diagnose.diagnosis import explanation_of
from ecs_gpu_deploy.core.text import harmless
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.result import Diagnosis

_KEPT = 1 << 20
"""Characters kept of each end of a long standard input."""


def run(text_argument: str | None, stdin: TextIO, stdout: TextIO, output: Literal["text", "json"]) -> int:
    """Explain *text_argument*, or else what *stdin* holds, on *stdout*; return the exit code.

    The first line of the text form starts with the diagnosis code. Exit code 0, also for `unknown`.
    Raises InvalidInput when there is no text.
    """
    text = _read(stdin) if text_argument is None else text_argument
    if not text.strip():
        raise InvalidInput(
            "There is no text to explain.",
            hint='Give it as an argument, explain "RESOURCE:GPU", or on standard input, explain < task.log.',
        )
    diagnoses = explanation_of(text)
    if output == "json":
        document = {"schema": 1, "diagnoses": [_as_json(diagnosis) for diagnosis in diagnoses]}
        # ##[ inside a JSON string keeps its value and is no workflow command any more.
        stdout.write(json.dumps(document, indent=2).replace("##[", "##\\u005b") + "\n")
    else:
        stdout.write("\n".join(_as_text(diagnosis) for diagnosis in diagnoses))
    return 0


def _read(stdin: TextIO) -> str:
    """Return standard input; of a very long one its first and its last mebibyte. A terminal gives ""."""
    if stdin.isatty():
        return ""
    if isinstance(stdin, io.TextIOWrapper):
        stdin.reconfigure(errors="replace")
    head = stdin.read(_KEPT)
    tail = ""
    while chunk := stdin.read(_KEPT):
        tail = (tail + chunk)[-_KEPT:]
    return head + tail


def _as_json(diagnosis: Diagnosis) -> dict[str, object]:
    return {
        "code": diagnosis.code,
        "message": diagnosis.message,
        "hint": diagnosis.hint,
        "evidence": list(diagnosis.evidence),
        "tasks": list(diagnosis.tasks),
    }


def _as_text(diagnosis: Diagnosis) -> str:
    lines = [f"{diagnosis.code}: {diagnosis.message}", f"  turn: {diagnosis.hint}"]
    lines += [f"  seen: {harmless(line)}" for line in diagnosis.evidence]
    return "\n".join(lines) + "\n"
