"""The inputs and outputs of action.yml, written from the table of options and the result's members.

Only `command` has a default in action.yml. GitHub hands over a default as if the user had written it, and
it would then win over the configuration file; so the program fills in the others, and the text names them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Final

from ecs_gpu_deploy.errors import InternalError
from ecs_gpu_deploy.inputs.options import COMMAND, FILE_OPTIONS, OPTIONS, Option
from ecs_gpu_deploy.result import Outcome, exit_codes_text

OUTPUTS: Final[Mapping[str, str]] = {
    "outcome": f"How it ended: {', '.join(list(Outcome)[:-1])} or {list(Outcome)[-1]}.",
    "exit-code": f"{exit_codes_text()}.",
    "reason": "Why, in one sentence.",
    "cluster": "The cluster.",
    "service": "The service.",
    "image": "Image that was deployed, as it was named.",
    "image-digest": "Digest of that image, sha256:….",
    "task-definition-arn": "Revision that was deployed.",
    "previous-task-definition-arn": "Revision that the service ran before.",
    "service-deployment-arn": "Service deployment that ECS made of it.",
    "codedeploy-deployment-id": "Deployment that CodeDeploy made of it, where it deploys the service.",
    "diagnoses": "Causes, as a JSON list of {code, message, hint, evidence, tasks}.",
    "findings": "What else was seen, as a JSON list of {code, severity, message, hint}.",
    "phases": "Seconds and deadline of each phase, as a JSON list of {name, seconds, deadline}.",
    "services": "How it ended for each of several services, with phases and GPU-minutes, as a JSON list.",
    "tasks": "How each task and container of run-task ended, as a JSON list with exit codes.",
    "history": "The deployments that history found, as a JSON list.",
    "task-definition": "The file with the task definition that render wrote.",
    "status": "What the service is and does now, as a JSON object; empty for other commands than status.",
    "plan": "What plan or a preflight foresees, as JSON {steps, changes, capacity, predicted, checks}; empty "
    "otherwise.",
    "predicted": "What was foreseen of the rollout beside what came, as JSON {ends, ended, as_foreseen, "
    "within_interval, values}; empty where nothing was foreseen.",
    "track-record": "How good predictions were, as JSON {rollouts, as_foreseen, error, within, told}; of "
    "history with predicted.",
    "registry": "The registry that login logged in to; several, one a line.",
    "console-url": "Page of the AWS console: the service's deployments, the task, or the cluster's tasks.",
    "service-url": "Address under which the service answers, as its load balancer says: protocol, host of "
    "the rule or DNS name, port and path. Empty where none was seen, and after anything but a success.",
    "duration-seconds": "How long it took.",
    "api-calls": "How often each operation of AWS was called, as a JSON object.",
    "result-file": "Where the result lies as JSON; empty where result-file was not set.",
    "command": "The command that ran.",
    "schema": "Version of the result's schema.",
}
"""Output of the action → what it says; the names are the result's members in kebab-case."""

_STEP: Final = "run"


def action_options() -> tuple[Option, ...]:
    """Give the options that are inputs of the action, the command first."""
    return (COMMAND, *(option for option in OPTIONS if option.action), *FILE_OPTIONS)


def input_description(option: Option) -> str:
    """Say what an input is for, what it may be and what it is when it is not set."""
    choices = f" One of: {', '.join(option.choices)}." if option.choices else ""
    default = f" Default: {option.default}." if option.default else ""
    return f"{option.help}{choices}{default}"


def with_generated_sections(action_yml: str) -> str:
    """Give action.yml's text with its inputs and outputs written anew; all else stays.

    Raise `InternalError` where the text has no `inputs:` before a `runs:`.
    """
    head, begin, rest = action_yml.partition("\ninputs:\n")
    _, end, tail = rest.partition("\nruns:\n")
    if not begin or not end:
        raise InternalError("action.yml has no inputs section before its runs section.")
    return f"{head}{begin}{_sections(action_options())}{end}{tail}"


def _sections(options: Iterable[Option]) -> str:
    lines: list[str] = []
    for option in options:
        lines += [f"  {option.name}:", f"    description: {_text(input_description(option))}"]
        if option is COMMAND:
            lines.append(f"    default: {_text(option.default)}")
        else:
            lines.append("    required: false")
    lines += ["", "outputs:"]
    for name, description in OUTPUTS.items():
        lines += [
            f"  {name}:",
            f"    description: {_text(description)}",
            f"    value: ${{{{ steps.{_STEP}.outputs.{name} }}}}",
        ]
    return "\n".join(lines) + "\n"


def _text(text: str) -> str:
    """Write a YAML scalar in double quotes, whose escapes are JSON's."""
    return json.dumps(text, ensure_ascii=False)
