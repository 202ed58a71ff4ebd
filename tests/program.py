"""The program as a process with its own environment, and the result that it writes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forked_program import run_forked
from sandbox_process import RunningSandbox, clean_environment

REGISTRY = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/ki-rag-api"
CHANGING = (
    *("Update", "Register", "Create", "Delete", "Deregister", "Stop", "Run", "Start", "Tag", "Put"),
    "Continue",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How a run ended: exit code, everything it printed, the result, the operations it called."""

    exit_code: int
    shown: str
    result: Mapping[str, Any]
    operations: tuple[str, ...]

    @property
    def changes(self) -> list[str]:
        """Return the operations that change something in AWS."""
        return [name for name in self.operations if name.startswith(CHANGING)]


def image(tag: str) -> str:
    """Return the URI of an image of the sandbox's default world."""
    return f"{REGISTRY}:{tag}"


def deploy(
    sandbox: RunningSandbox,
    folder: Path,
    *flags: str | Path,
    cluster: str | None = "ki-cluster",
    service: str | None = "ki-rag-api",
    without: Sequence[str] = (),
    result_file: str = "result.json",
    **environment: str,
) -> Run:
    """Run `deploy` against the sandbox in *folder*; *without* names environment variables to leave out."""
    named = [f"--cluster={cluster}"] * (cluster is not None) + [f"--service={service}"] * (
        service is not None
    )
    arguments = ["deploy", *named, *flags, "--result-file", result_file]
    variables = clean_environment(sandbox, **environment)
    return _run(sandbox, folder, arguments, {k: v for k, v in variables.items() if k not in without})


def act(sandbox: RunningSandbox, folder: Path, inputs: Mapping[str, str], **environment: str) -> Run:
    """Run the program as the action does: no argument, all inputs as one JSON variable."""
    variables = clean_environment(sandbox, INPUTS=json.dumps(inputs), **environment)
    return _run(sandbox, folder, [], variables)


def run(
    sandbox: RunningSandbox,
    folder: Path,
    command: str,
    *flags: str | Path,
    without: Sequence[str] = (),
    **environment: str,
) -> Run:
    """Run any command in *folder*; *without* names environment variables to leave out."""
    variables = clean_environment(sandbox, **environment)
    arguments = [command, *flags, "--result-file", "result.json"]
    return _run(sandbox, folder, arguments, {k: v for k, v in variables.items() if k not in without})


def run_program(
    sandbox: RunningSandbox, folder: Path, arguments: Sequence[str | Path], **environment: str
) -> Run:
    """Run any command of the program in *folder*, with its result in result.json."""
    variables = clean_environment(sandbox, **environment)
    return _run(sandbox, folder, [*arguments, "--result-file", "result.json"], variables)


def _run(
    sandbox: RunningSandbox, folder: Path, arguments: Sequence[str | Path], environment: Mapping[str, str]
) -> Run:
    result_file = folder / "result.json"
    result_file.unlink(missing_ok=True)
    before = len(sandbox.calls())
    ended = run_forked([str(argument) for argument in arguments], folder, environment)
    result = json.loads(result_file.read_text(encoding="utf-8")) if result_file.exists() else {}
    return Run(
        exit_code=ended.code,
        shown=ended.shown,
        result=result,
        operations=tuple(call["operation"] for call in sandbox.calls()[before:]),
    )
