"""`explain`: text or JSON on stdout, from an argument or standard input."""

import io
import json
from typing import Literal

import pytest

from ecs_gpu_deploy.commands.explain import run
from ecs_gpu_deploy.errors import InvalidInput


def explained(text: str | None, stdin: str = "", output: Literal["text", "json"] = "text") -> str:
    out = io.StringIO()
    assert run(text, io.StringIO(stdin), out, output=output) == 0
    return out.getvalue()


def test_the_first_line_starts_with_the_code() -> None:
    assert explained("RESOURCE:GPU").splitlines()[0].startswith("gpu-capacity: ")


def test_the_hint_and_the_proof_follow() -> None:
    _, turn, seen = explained("RuntimeError: CUDA error: out of memory").splitlines()
    assert turn.startswith("  turn: Take a GPU with more memory")
    assert seen == "  seen: RuntimeError: CUDA error: out of memory"


def test_standard_input_is_read_when_there_is_no_argument() -> None:
    assert explained(None, "INFO ok\nexec /run.sh: exec format error\n").startswith("architecture-mismatch: ")


def test_bytes_that_are_no_text_do_not_stop_it() -> None:
    raw = io.TextIOWrapper(io.BytesIO(b"\xff\xfe\x00 CUDA out of memory \x80\n"), encoding="utf-8")
    out = io.StringIO()
    assert run(None, raw, out, output="text") == 0
    assert out.getvalue().startswith("cuda-out-of-memory: ")


def test_of_a_very_long_input_the_end_counts() -> None:
    text = "INFO step\n" * 400_000 + "CUDA out of memory\n"
    assert explained(None, text).startswith("cuda-out-of-memory: ")


def test_json_has_a_schema_and_every_field() -> None:
    document = json.loads(explained("RESOURCE:GPU", output="json"))
    assert document["schema"] == 1
    (first,) = document["diagnoses"]
    assert first["code"] == "gpu-capacity"
    assert sorted(first) == ["code", "evidence", "hint", "message", "tasks"]


def test_what_is_not_known_is_said_and_is_no_failure() -> None:
    said = explained("colourless green ideas sleep furiously")
    assert said.startswith("unknown: Nothing in the table of causes matches this text.")
    assert "stoppedReason" in said


@pytest.mark.parametrize("text", ["", "  \n\t ", None], ids=["empty", "blank", "nothing on stdin"])
def test_no_text_is_invalid_input(text: str | None) -> None:
    with pytest.raises(InvalidInput, match="no text to explain"):
        explained(text)


@pytest.mark.parametrize("output", ["text", "json"])
def test_workflow_commands_in_the_text_stay_text(output: Literal["text", "json"]) -> None:
    hostile = (
        "::error::CUDA out of memory\n##[error]CUDA out of memory\n::set-output name=x::CUDA out of memory"
    )
    said = explained(hostile, output=output)
    assert not [line for line in said.splitlines() if line.lstrip().startswith("::") or "##[" in line]


def test_json_keeps_the_value_of_what_it_escapes() -> None:
    document = json.loads(explained("##[error]CUDA out of memory", output="json"))
    assert document["diagnoses"][0]["evidence"] == ["##[error]CUDA out of memory"]
