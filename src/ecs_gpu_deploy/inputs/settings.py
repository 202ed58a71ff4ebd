"""The frozen Settings: every option with the value that somebody gave, or its default.

An option is a flag of the command line (`--name`), an input of the action (`name`) and a key of the
configuration file (`name`). Where several give it, argv wins over the action's INPUTS, INPUTS over the
file, the file over the default. Nothing here talks to AWS: a wrong value ends in InvalidInput (exit 2)
before the first call.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ecs_gpu_deploy.core.text import is_variable, nearest, unsendable
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.inputs.options import BY_NAME, OPTIONS, Option, option_of
from ecs_gpu_deploy.inputs.readers import ABSENT, READERS
from ecs_gpu_deploy.inputs.values import Values

MOST_TEXT = 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every option with its checked value.

    `given` names the options whose value somebody chose, other than the default.
    """

    command: str
    values: Values
    given: frozenset[str] = frozenset()


def settings_from(
    command: str,
    *,
    argv: Mapping[str, Iterable[str]] = {},
    inputs: Mapping[str, str] = {},
    config: Mapping[str, Any] = {},
) -> Settings:
    """Return Settings of *command* from the three sources; raise InvalidInput for the first wrong value.

    *argv* maps option names to the values given (several where repeated), *inputs* to the action's texts
    (an empty text is an input that was not set), *config* to YAML values of the file.
    """
    known = {option.name for option in OPTIONS if command in option.commands}
    given = [name for name, text in inputs.items() if text.strip()]
    for name in given:
        if name not in known and name not in {"command", "config", "profile"}:
            raise not_taken(command, name) or unknown_name("input", name, known)
    for name in config:
        if name not in BY_NAME:
            raise unknown_name("key of the configuration file", name, known)
    # One file serves several commands: what is another's is none of ours.
    config = {name: value for name, value in config.items() if name in known}
    values: dict[str, Any] = {}
    chosen: set[str] = set()
    for option in (option_of(command, each) for each in OPTIONS):
        texts = _texts_of(option, argv, inputs, config)
        _check_text(option, texts)
        values[option.field] = READERS[option.kind](option, texts) if texts else ABSENT.get(option.kind)
        # The action hands over the defaults of its inputs as if somebody had written them.
        if texts and (option.name in argv or texts != (option.default,)):
            chosen.add(option.name)
    values["services"] = values["service"]
    values["service"] = next(iter(values["services"]), "")
    return Settings(command=command, values=Values(**values), given=frozenset(chosen))


def _check_text(option: Option, texts: tuple[str, ...]) -> None:
    """Raise InvalidInput for what no text of AWS or of a file can hold, or nobody means."""
    for text in texts:
        if wrong := unsendable(text):
            way = "as text" if "\0" in text else "in UTF-8"
            raise InvalidInput(f"{option.name} {wrong}", hint=f"Write {option.name} {way}.")
        if len(text) > MOST_TEXT:
            raise InvalidInput(
                f"{option.name} has {len(text)} characters, more than {MOST_TEXT}.",
                hint="Is it the right text?",
            )


def not_taken(command: str, name: str) -> InvalidInput | None:
    """Return the error for an option of other commands than *command*; None for one that nobody knows."""
    bare = name.lstrip("-").partition("=")[0]
    option = BY_NAME.get(bare)
    if option is None or command in option.commands:
        return None
    *first, last = option.commands
    others = " and ".join(filter(None, (", ".join(first), last))) if len(first) < 3 else "other commands"
    instead = _INSTEAD.get((command, bare), "")
    return InvalidInput(f"{command} takes no {bare}: it is for {others}.", hint=instead or "Leave it out.")


_INSTEAD: Mapping[tuple[str, str], str] = {
    ("run-task", "on-failure"): "on-timeout and on-cancel say what becomes of the tasks.",
    ("run-task", "secrets"): "Register a revision with them (register), and run that.",
    ("push", "image"): "push builds the image: give repository, and image-tag for its tag.",
}
"""What is meant where a command is given an option of others."""


def unknown_name(what: str, name: str, known: Iterable[str], *, command: str = "") -> InvalidInput:
    """Return the error for an option of *command* nobody knows, naming the nearest known one."""
    bare = name.lstrip("-").partition("=")[0]
    if meant := nearest(bare, known):
        dashes = "--" if name.startswith("-") else ""
        hint = f"Did you mean {dashes}{meant}?"
    else:
        hint = f"`ecs-gpu-deploy {command + ' ' if command else ''}--help` lists all of them."
    return InvalidInput(f"Unknown {what} {name!r}.", hint=hint)


def stray(text: str) -> InvalidInput:
    """Return the error for a word on the command line that belongs to no flag."""
    return InvalidInput(
        f"{text!r} belongs to no flag.",
        hint="Write --FLAG VALUE for each, with quotes around a value that has spaces.",
    )


def required(value: str, name: str, *, otherwise: str = "") -> str:
    """Return the *value* of the option *name*; InvalidInput where nobody gave it, *otherwise* in its hint."""
    if not value:
        raise InvalidInput(
            f"The {name} is missing.",
            hint=f"Set the input {name} (flag --{name}); an input from an empty variable or secret "
            f"counts as not set.{otherwise}",
        )
    return value


def _texts_of(
    option: Option,
    argv: Mapping[str, Iterable[str]],
    inputs: Mapping[str, str],
    config: Mapping[str, Any],
) -> tuple[str, ...]:
    if option.name in argv:
        texts = tuple(argv[option.name])
        if any(not text.strip() for text in texts):
            raise InvalidInput(f"--{option.name} is empty.", hint="Give it a value, or leave the flag out.")
        if option.secret and any(_is_secret(option, text) for text in texts):
            raise InvalidInput(
                f"--{option.name} has a value, and every process can read a command line.",
                hint=f"Write --{option.name} NAME and set the environment variable NAME, or use the "
                "action's input.",
            )
        return texts
    if inputs.get(option.name, "").strip():
        return (inputs[option.name],)
    if config.get(option.name) is not None:
        text = _text_of_yaml(option, config[option.name])
        if not text.strip():
            raise InvalidInput(f"{option.name} is empty in the configuration file.", hint="Give it a value.")
        return (text,)
    return (option.default,) if option.default else ()


def _is_secret(option: Option, text: str) -> bool:
    """Say whether *text* is more than the name of the environment variable that holds the secret."""
    if option.kind == "token":
        return not is_variable(text.strip())
    return "=" in text or text.lstrip().startswith(("{", "["))


_LINED = frozenset({"images", "deadlines", "lines", "names", "accounts", "strategy"})


def _text_of_yaml(option: Option, value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str() | int() | float():
            return str(value)
        case list() if option.kind in _LINED and not any(isinstance(item, list | dict) for item in value):
            return "\n".join(str(item) for item in value)
        case _:
            return json.dumps(value)
