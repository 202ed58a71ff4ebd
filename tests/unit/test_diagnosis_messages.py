"""The corpus of real messages: each must be named by the code it was collected for."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from ecs_gpu_deploy.core.diagnose.diagnosis import explanation_of
from ecs_gpu_deploy.core.diagnose.table import codes

CORPUS = Path(__file__).parents[1] / "data" / "messages.yml"
MESSAGES: list[dict[str, Any]] = yaml.safe_load(CORPUS.read_text(encoding="utf-8"))

KNOWN_MISSES: dict[str, str] = {}
"""Beginning of the text → why the table cannot name it."""


def known_miss(text: str) -> bool:
    return any(text.startswith(beginning) for beginning in KNOWN_MISSES)


@pytest.mark.parametrize(
    "message",
    [message for message in MESSAGES if not known_miss(message["text"])],
    ids=lambda message: f"{message['code']}: {message['text'][:60]!r}",
)
def test_a_real_message_is_named(message: dict[str, Any]) -> None:
    found = explanation_of(message["text"])
    assert found[0].code == message["code"], f"{message['source']}: {[d.code for d in found]}"
    assert found[0].hint


def test_the_corpus_is_large_and_sourced() -> None:
    assert len(MESSAGES) >= 900
    assert all(message["source"].startswith("https://") for message in MESSAGES)
    assert len({message["text"] for message in MESSAGES}) == len(MESSAGES)
    assert {message["code"] for message in MESSAGES} <= set(codes())


def test_at_least_95_percent_are_right() -> None:
    assert sum(known_miss(message["text"]) for message in MESSAGES) <= 0.05 * len(MESSAGES)


def test_the_corpus_carries_no_account_and_no_person() -> None:
    text = CORPUS.read_text(encoding="utf-8")
    accounts = {"111122223333", "444455556666"}
    arns = [part for part in text.replace(".dkr.", ":").split(":") if len(part) == 12 and part.isdigit()]
    assert set(arns) <= accounts
