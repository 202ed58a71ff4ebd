"""The generated parts of the reusable workflows: inputs, secrets, outputs, and what their step is given.

Inputs are texts, as the action's own: an empty one is an input that is not set, where a boolean that nobody
gave would be `false`, as if somebody had.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

from ecs_gpu_deploy.inputs.options import COMMAND, Option
from tools.action_metadata import OUTPUTS, action_options, input_description


def reusable(command: str, *, job: str) -> dict[str, Callable[[], str]]:
    """Return the parts of a command's workflow by name; *job* is the id of its one job."""
    parts: dict[str, Callable[[], str]] = {
        "inputs": partial(_inputs, command),
        "outputs": partial(_outputs, job),
        "job outputs": _job_outputs,
        "with": partial(_with, command),
    }
    return {**parts, "secrets": partial(_secrets, command)} if _options(command, secret=True) else parts


def _options(command: str, *, secret: bool) -> tuple[Option, ...]:
    own = (option for option in action_options() if command in option.commands and option is not COMMAND)
    return tuple(option for option in own if option.secret == secret)


def _inputs(command: str) -> str:
    """Return the inputs that a caller may give, below `workflow_call.inputs`."""
    lines: list[str] = []
    for option in _options(command, secret=False):
        lines += [f"      {option.name}:", f"        description: {_text(input_description(option))}"]
        lines += ["        type: string", "        required: false"]
    return "\n".join(lines)


def _secrets(command: str) -> str:
    """Return the secrets that a caller may give, below `workflow_call.secrets`."""
    lines: list[str] = []
    for option in _options(command, secret=True):
        lines += [f"      {option.name}:", f"        description: {_text(input_description(option))}"]
        lines += ["        required: false"]
    return "\n".join(lines)


def _outputs(job: str) -> str:
    """Return the outputs of the workflow, below `workflow_call.outputs`: those of its job."""
    lines: list[str] = []
    for name, text in OUTPUTS.items():
        lines += [f"      {name}:", f"        description: {_text(text)}"]
        lines += [f"        value: ${{{{ jobs.{job}.outputs.{name} }}}}"]
    return "\n".join(lines)


def _job_outputs() -> str:
    """Return the outputs of the job, below its `outputs`: those of its step."""
    return "\n".join(f"      {name}: ${{{{ steps.run.outputs.{name} }}}}" for name in OUTPUTS)


def _with(command: str) -> str:
    """Return what the step is given, below its `with`."""
    lines = [f"          command: {command}"]
    lines += [
        f"          {option.name}: ${{{{ inputs.{option.name} }}}}"
        for option in _options(command, secret=False)
    ]
    lines += [
        f"          {option.name}: ${{{{ secrets.{option.name} }}}}"
        for option in _options(command, secret=True)
    ]
    return "\n".join(lines)


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
