"""The flags of all commands: drawn from the parser they are those of docs/inputs.md, of one meaning."""

import argparse
import re
from pathlib import Path

import pytest

from ecs_gpu_deploy.cli import ROLLOUT_COMMANDS, parser_of_commands
from ecs_gpu_deploy.inputs.options import FILE_OPTIONS, OPTIONS

PAGE = (Path(__file__).parents[2] / "docs" / "inputs.md").read_text("utf-8")
OWN_CHOICES = {
    ("run-task", "on-timeout"): "leave|stop",
    ("run-task", "on-cancel"): "leave|stop",
    ("run-task", "propagate-tags"): "TASK_DEFINITION|NONE",
}
"""What ends a task is stop, what ends a deployment is rollback: the same flag over different things."""


def _drawn() -> dict[str, dict[str, argparse.Action]]:
    """Return flag → action of each command, as argparse has them."""
    [commands] = [a for a in parser_of_commands()._actions if isinstance(a, argparse._SubParsersAction)]
    return {
        name: {flag: action for action in parser._actions for flag in action.option_strings}
        for name, parser in commands.choices.items()
    }


DRAWN = _drawn()


def _documented() -> dict[str, set[str]]:
    """Return the flags of each command as the page has them."""
    found: dict[str, set[str]] = {name: set() for name in ROLLOUT_COMMANDS}
    for name, of in re.findall(r"^\| `([a-z-]+)` \| [^|]* \| ([^|]+) \|", PAGE, re.MULTILINE):
        for command in ROLLOUT_COMMANDS if of == "all" else of.split(", "):
            found[command].add(f"--{name}")
    return found


@pytest.mark.parametrize("command", ROLLOUT_COMMANDS)
def test_the_page_has_the_flags_that_the_command_takes(command):
    assert _documented()[command] == set(DRAWN[command]) - {"-h", "--help"}


@pytest.mark.parametrize("command", [*ROLLOUT_COMMANDS, "explain"])
def test_every_command_writes_its_result_where_it_is_told(command):
    assert {"--result-file", "--output"} <= set(DRAWN[command])
    assert DRAWN[command]["--output"].metavar == "text|json"


@pytest.mark.parametrize("option", [*OPTIONS, *FILE_OPTIONS], ids=lambda option: option.name)
def test_a_flag_means_the_same_in_every_command(option):
    told = {
        (flags[f"--{option.name}"].help, flags[f"--{option.name}"].metavar, flags[f"--{option.name}"].nargs)
        for name, flags in DRAWN.items()
        if f"--{option.name}" in flags and (name, option.name) not in OWN_CHOICES
    }
    assert len(told) == 1


@pytest.mark.parametrize(("command", "option"), sorted(OWN_CHOICES))
def test_what_a_command_refuses_is_not_offered(command, option):
    assert DRAWN[command][f"--{option}"].metavar == OWN_CHOICES[command, option]
