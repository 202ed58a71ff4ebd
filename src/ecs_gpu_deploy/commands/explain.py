"""`explain`: what an ECS event, a stopped reason or a container log means, and which knob to turn.

Needs no AWS, no credentials and no network.
"""

from __future__ import annotations

import io
from typing import TextIO

from ecs_gpu_deploy.core.diagnose.diagnosis import explanation_of
from ecs_gpu_deploy.core.text import harmless
from ecs_gpu_deploy.edges.machine.files import check_file_name, write_text
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.result import Diagnosis, Outcome, Result

_KEPT = 1 << 20
"""Characters kept of each end of a long standard input."""


def run(
    text_argument: str | None,
    stdin: TextIO,
    stdout: TextIO,
    *,
    output: str | None = None,
    result_file: str | None = None,
) -> int:
    """Explain *text_argument*, or else what *stdin* holds, on *stdout*; return the exit code.

    The first line of the text form starts with the diagnosis code; *output* `json`, and *result_file*, get
    the result as of every command. Exit code 0, also for `unknown`. Raises InvalidInput when there is no
    text, or another *output*.
    """
    if output not in {None, "text", "json"}:
        raise InvalidInput(
            f"output is {str(output)[:60]!r}, which is not one of text, json.", hint="Write text or json."
        )
    text = _read(stdin) if text_argument is None else text_argument
    if not text.strip():
        raise InvalidInput(
            "There is no text to explain.",
            hint='Give it as an argument, explain "RESOURCE:GPU", or on standard input, explain < task.log.',
        )
    diagnoses = explanation_of(text)
    if result_file or output == "json":
        from ecs_gpu_deploy.core.show.report import printed_json, result_json  # noqa: PLC0415  (start-up)

        result = Result(
            command="explain",
            outcome=Outcome.SUCCEEDED,
            exit_code=Outcome.SUCCEEDED.exit_code,
            reason=f"Explained as {', '.join(diagnosis.code for diagnosis in diagnoses)}.",
            diagnoses=tuple(diagnoses),
        )
        if result_file:
            _write(result_file, result_json(result))
    if output == "json":
        stdout.write(printed_json(result))
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


def _write(path: str, text: str) -> None:
    try:
        check_file_name(path, what="result file")
        write_text(path, text)
    except OSError as error:
        raise InvalidInput(
            f"The result file {path[:200]!r} cannot be written: {error.strerror}.", hint="Check result-file."
        ) from error


def _as_text(diagnosis: Diagnosis) -> str:
    lines = [f"{diagnosis.code}: {diagnosis.message}", f"  turn: {diagnosis.hint}"]
    lines += [f"  seen: {harmless(line)}" for line in diagnosis.evidence]
    return "\n".join(lines) + "\n"
