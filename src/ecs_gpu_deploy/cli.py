"""The command line and the action: choose the command, wire the edges, write the result, exit.

Without arguments and with INPUTS in the environment the program is the action. What a command needs is
imported when it runs, so that `explain` and `--help` never wait for boto3.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from ecs_gpu_deploy import __version__
from ecs_gpu_deploy.core.text import plain
from ecs_gpu_deploy.edges.machine.files import read_text
from ecs_gpu_deploy.edges.machine.reporter import open_standard_streams
from ecs_gpu_deploy.errors import DeployError, InvalidInput, as_told
from ecs_gpu_deploy.inputs.config_file import DEFAULT_FILE, config_values, no_file_for
from ecs_gpu_deploy.inputs.options import BY_NAME, CONFIG, FILE_OPTIONS, OPTIONS, PROFILE, Option, options_of
from ecs_gpu_deploy.inputs.parser import Parser
from ecs_gpu_deploy.inputs.settings import Settings, not_taken, settings_from, stray, unknown_name
from ecs_gpu_deploy.result import Outcome, exit_codes_text

ROLLOUT_COMMANDS = {
    "deploy": "Deploy an image to a service, and wait for the true verdict.",
    "push": "Build an image and push it to ECR, unless it is there.",
    "render": "Write a task definition with its image and other changes into a file. Changes nothing in AWS.",
    "register": "Register a task definition with its image and other changes, unless it is there.",
    "rollback": "Roll back to the last good deployment, a revision, a commit or an image digest.",
    "run-task": "Run a task as a batch, show its log, and judge every container's exit code.",
    "watch": "Attach to a deployment or to batch tasks that are under way, and wait for the verdict.",
    "continue": "Let a deployment go on that waits at a pause hook, and wait for the verdict.",
    "reject": "Roll back a deployment that waits at a pause hook, and wait for its end.",
    "plan": "Foresee a deployment or rollback: does it fit, how long, what is wrong. Changes nothing.",
    "status": "Show what a service is and does now: revisions, tasks, images, deployment under way, events.",
    "login": "Log Docker in to registries of ECR for later steps.",
    "history": "Show what a service ran: commit, image, outcome, and whether it can run again.",
}
OTHER_COMMANDS = {
    "explain": "Say what an ECS event, stopped reason or log text means. Needs no AWS.",
    "sandbox": "Start the local AWS, or show the whole story on it (sandbox demo).",
}
_METAVARS = {
    "integer": "NUMBER",
    "positive_integer": "NUMBER",
    "gpu": "NUMBER",
    "mapping": "MAPPING",
    "words": "WORDS",
}
_EPILOG = f"exit codes: {exit_codes_text()}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code. No traceback reaches a user who did not ask for one."""
    open_standard_streams()
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments or os.environ.get("RUNNER_DEBUG") == "1"
    try:
        if not arguments and "INPUTS" in os.environ:
            return _action(os.environ["INPUTS"])
        return _command_line(arguments)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return Outcome.CANCELLED.exit_code
    except Exception as error:  # noqa: BLE001 - no traceback reaches a user who did not ask for one
        told = as_told(error, version=__version__, debug=debug)
        _complain(told)
        return told.exit_code


def _complain(error: DeployError) -> None:
    print(f"error: {plain(error.message, limit=2000)}", file=sys.stderr)
    if error.hint:
        print(
            "\n".join(f"  → {plain(line, limit=2000)}" for line in error.hint.splitlines()), file=sys.stderr
        )


def _action(text: str) -> int:
    """Run as the action: INPUTS is the JSON of all inputs, an unset one being ""."""
    try:
        inputs = json.loads(text)
    except ValueError as error:
        raise InvalidInput("INPUTS is not JSON.", hint="The action sets it: toJSON(inputs).") from error
    if not isinstance(inputs, dict) or not all(isinstance(value, str) for value in inputs.values()):
        raise InvalidInput(
            "INPUTS is not a JSON object of texts.", hint="The action sets it: toJSON(inputs)."
        )
    values = {name.lower(): value for name, value in inputs.items()}
    command = values.pop("command", "").strip() or "deploy"
    return _rollout_command(command, argv={}, inputs=values)


def _command_line(arguments: Sequence[str]) -> int:
    parser = parser_of_commands()
    if not arguments:
        parser.print_help(sys.stderr)
        return 2
    if arguments[0] == "sandbox":
        from ecs_gpu_deploy.sandbox.cli import main as sandbox  # noqa: PLC0415

        return sandbox(arguments[1:])
    if arguments[0].startswith("-") and arguments[0] not in {"-h", "--help", "--version"}:
        raise InvalidInput(
            f"Unknown flag {arguments[0]!r}.", hint="The command comes first: deploy --cluster …"
        )
    if not arguments[0].startswith("-") and arguments[0] not in _commands():
        raise unknown_name("command", arguments[0], _commands())
    known, unknown = parser.parse_known_args(arguments)
    if known.command == "explain":
        if unknown:
            raise unknown_name("flag", unknown[0], ["output", "result-file"], command="explain")
        from ecs_gpu_deploy.commands.explain import run as explain  # noqa: PLC0415

        text = None if known.text in ([], ["-"]) else " ".join(known.text)
        return explain(
            text,
            sys.stdin,
            sys.stdout,
            output=known.output,
            result_file=known.result_file,
        )
    given = {
        name.replace("_", "-"): (value if isinstance(value, list) else [value])
        for name, value in vars(known).items()
        if name != "command" and value is not None
    }
    return _rollout_command(known.command, argv=given, inputs={}, unknown=unknown)


def _commands() -> list[str]:
    return [*ROLLOUT_COMMANDS, *OTHER_COMMANDS]


def parser_of_commands() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = Parser(
        prog="ecs-gpu-deploy",
        description="Deploy GPU and ML containers to Amazon ECS, and be told the truth about it.",
        epilog=_EPILOG,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"ecs-gpu-deploy {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    for name, text in ROLLOUT_COMMANDS.items():
        usage = f"ecs-gpu-deploy {name} [flags]"
        command = commands.add_parser(
            name, usage=usage, help=text, description=text, epilog=_EPILOG, allow_abbrev=False
        )
        for title, options in options_of(name).items():
            group = command.add_argument_group(title.lower())
            for option in options:
                _add(group, option)
    explain = commands.add_parser("explain", help=OTHER_COMMANDS["explain"], allow_abbrev=False)
    explain.add_argument("text", nargs="*", help="the text; without it, or as -, standard input is read")
    for name in ("output", "result-file"):
        _add(explain, BY_NAME[name])
    commands.add_parser("sandbox", help=OTHER_COMMANDS["sandbox"], add_help=False)
    return parser


def _add(parser: argparse._ActionsContainer, option: Option) -> None:
    default = f" (default: {option.default})" if option.default else ""
    text = (option.help + default).replace("%", "%%")
    flag = f"--{option.name}"
    if option.kind in {"boolean", "switch"}:
        parser.add_argument(flag, nargs="?", const="true", metavar="true|false", help=text)
    elif option.repeatable:
        parser.add_argument(flag, action="append", metavar=option.metavar, help=text)
    else:
        metavar = option.metavar or "|".join(option.choices) or _METAVARS.get(option.kind, "TEXT")
        parser.add_argument(flag, metavar=metavar, help=text)


def _config(path: str, profile: str) -> Mapping[str, Any]:
    """Return the options of the configuration file: of the one that is named, else of the usual one."""
    name = path or (DEFAULT_FILE if os.path.isfile(DEFAULT_FILE) else "")
    if name:
        text = read_text(name, what="configuration file")
        return config_values(text, name=name, profile=profile)
    if profile:
        raise no_file_for(profile)
    return {}


def _rollout_command(
    command: str,
    *,
    argv: Mapping[str, Sequence[str]],
    inputs: Mapping[str, str],
    unknown: Sequence[str] = (),
) -> int:
    gc.disable()  # what modules make as they load is no garbage to look through, then or later
    from ecs_gpu_deploy.run import run_command  # noqa: PLC0415  (boto3 starts here)

    gc.freeze()
    gc.enable()

    def settings() -> Settings:
        if command in OTHER_COMMANDS:
            raise InvalidInput(
                f"{command} is a command of the command line, and none of the action.",
                hint=f"Run it in a step: pip install ecs-gpu-deploy && ecs-gpu-deploy {command} …",
            )
        if command not in ROLLOUT_COMMANDS:
            raise unknown_name("command", command, ROLLOUT_COMMANDS)
        if unknown:
            names = [option.name for option in (*OPTIONS, *FILE_OPTIONS) if command in option.commands]
            if not unknown[0].startswith("-"):
                raise stray(unknown[0])
            raise not_taken(command, unknown[0]) or unknown_name("flag", unknown[0], names, command=command)
        flags = dict(argv)
        texts = dict(inputs)
        path, profile = (
            flags.pop(name, [texts.pop(name, "").strip()])[-1] for name in (CONFIG.name, PROFILE.name)
        )
        return settings_from(command, argv=flags, inputs=texts, config=_config(path, profile))

    def early(name: str) -> str:
        return [*argv.get(name, ()), inputs.get(name, "")][0].strip()

    return run_command(
        command, settings, result_file=early("result-file"), prints_json=early("output").lower() == "json"
    )
