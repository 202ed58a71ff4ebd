"""The corpus of real messages: each is named by the code it was collected for, and each pattern by one."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from ecs_gpu_deploy.core.diagnose.diagnosis import explanation_of, readings
from ecs_gpu_deploy.core.diagnose.table import as_matched, codes, matches, patterns
from ecs_gpu_deploy.core.text import lines_of

DATA = Path(__file__).parents[1] / "data"
CORPUS = (DATA / "messages.yml", *sorted((DATA / "draws").glob("*.yml")))
"""The messages that were gathered, and those that were drawn to be read at first sight (docs/messages.md)."""
UNNAMED = "a file of a public repository"
"""The source of a message that an index of public repositories showed without the repository's name."""
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MESSAGES: list[dict[str, Any]] = [
    message for path in CORPUS for message in yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER)
]


@pytest.mark.parametrize(
    "message", MESSAGES, ids=lambda message: f"{message['code']}: {message['text'][:60]!r}"
)
def test_a_real_message_is_named(message: dict[str, Any]) -> None:
    found = explanation_of(message["text"])
    assert found[0].code == message["code"], f"{message['source']}: {[d.code for d in found]}"
    assert found[0].hint


def test_every_pattern_decides_a_real_message() -> None:
    """Name each pattern that could be deleted and no message of the corpus would be answered differently."""
    deciding: set[int] = set()
    for message in MESSAGES:
        deciding |= _deciding(message["text"], deciding)
    dead = [(p.cause.code, p.cause.rank, p.regex.pattern) for p in patterns() if id(p) not in deciding]
    assert dead == []


def _deciding(text: str, known: set[int]) -> set[int]:
    """Return the ids of the patterns that decide *text* and are not *known* to decide another one."""
    ways = [as_matched(reading) for reading in readings(lines_of(text))]
    found = {id(pattern) for way in ways for pattern, _ in matches(way, patterns())}
    matching = [pattern for pattern in patterns() if id(pattern) in found]
    asked = [pattern for pattern in matching if id(pattern) not in known]
    answer = explanation_of(text, matching) if asked else ()
    return {id(p) for p in asked if explanation_of(text, [q for q in matching if q is not p]) != answer}


def test_the_corpus_is_large_and_sourced() -> None:
    assert len(MESSAGES) >= 1400
    assert all(message["source"].startswith(("https://", "http://", UNNAMED)) for message in MESSAGES)
    assert sum(message["source"] == UNNAMED for message in MESSAGES) < 50
    assert len({message["text"] for message in MESSAGES}) == len(MESSAGES)
    assert {message["code"] for message in MESSAGES} <= set(codes())


def test_the_corpus_carries_no_account_and_no_person() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in CORPUS)
    accounts = {"111122223333", "444455556666"}
    arns = [part for part in text.replace(".dkr.", ":").split(":") if len(part) == 12 and part.isdigit()]
    assert set(arns) <= accounts
