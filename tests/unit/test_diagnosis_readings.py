"""A message keeps its code however it was copied: quoted, escaped, indented, coloured, wrapped."""

import json
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ecs_gpu_deploy.core.diagnose.diagnosis import explanation_of

DATA = Path(__file__).parents[1] / "data"
CORPUS = (DATA / "messages.yml", *sorted((DATA / "draws").glob("*.yml")))
HEALTHY = (DATA / "healthy.txt").read_text(encoding="utf-8").splitlines()
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MESSAGES: list[dict[str, Any]] = [
    message for path in CORPUS for message in yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER)
]
EVERY = 4
"""Each way of writing takes every fourth message, each another fourth, to keep the suite quick."""

WAYS: dict[str, Callable[[str], str]] = {
    "in capitals": str.upper,
    "with typographic quotes": lambda text: re.sub(r'"(.*?)"', "\u201c\\1\u201d", text).replace(
        "'", "\u2019"
    ),
    "with no-break blanks": lambda text: text.replace(" ", "\u00a0"),
    "with wide blanks": lambda text: text.replace(" ", "  "),
    "with Windows line ends": lambda text: text.replace("\n", "\r\n"),
    "in colour": lambda text: "\n".join(f"\x1b[31m{line}\x1b[0m" for line in text.split("\n")),
    "after STOPPED": lambda text: f"STOPPED ({text})",
    "after Error": lambda text: f"Error: {text}",
    "as a JSON string": lambda text: json.dumps({"stopCode": "TaskFailedToStart", "stoppedReason": text}),
    "as JSON inside JSON": lambda text: json.dumps({"Message": json.dumps({"stoppedReason": text})}),
    "as a Python literal": lambda text: repr([{"reason": text}]),
    "among healthy lines": lambda text: "\n".join([*HEALTHY[24:30], text, *HEALTHY[34:40]]),
}


@pytest.mark.parametrize(("way", "number"), [(way, n) for n, way in enumerate(WAYS)], ids=WAYS)
def test_a_message_keeps_its_code(way: str, number: int) -> None:
    """Hold that how a message was copied does not matter; the word Error before a harmless text does."""
    missed = [
        (message["code"], found[0].code, message["text"])
        for message in MESSAGES[number % EVERY :: EVERY]
        if (found := explanation_of(WAYS[way](message["text"])))[0].code != message["code"]
        and (way, message["code"], found[0].code) != ("after Error", "unknown", "container-exit")
    ]
    assert missed == []


WRAPPED = {
    "image-pull-network": (
        "CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to resolve ref "
        "docker.io/example/app:1: failed to do request: Head https://registry-1.docker.io/v2/: i/o timeout"
    ),
    "no-instances": (
        "service api was unable to place a task because no container instance met all of its requirements. "
        "Reason: No Container Instances were found in your capacity provider."
    ),
    "role-trust": (
        "ECS was unable to assume the role 'arn:aws:iam::111122223333:role/x' that was provided for this "
        "task. Please verify that the role being passed has the proper trust relationship and permissions."
    ),
}


@pytest.mark.parametrize("width", [40, 60, 80])
@pytest.mark.parametrize(("code", "text"), WRAPPED.items(), ids=WRAPPED.keys())
def test_a_wrapped_message_is_read_as_one(code: str, text: str, width: int) -> None:
    between_words = textwrap.fill(text, width, subsequent_indent="    ", break_on_hyphens=False)
    inside_words = "\n".join(f"    {text[at : at + width]}" for at in range(0, len(text), width))
    assert explanation_of(between_words)[0].code == code
    assert explanation_of(inside_words)[0].code == code


def test_log_lines_are_not_read_as_one() -> None:
    few = (HEALTHY[at : at + size] for size in (2, 3, 7, 20) for at in range(0, len(HEALTHY) - size, 3))
    assert {found.code for lines in few for found in explanation_of("\n".join(lines))} == {"unknown"}
