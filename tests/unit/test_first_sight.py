"""The figures of the draws: what was right at first sight, told apart from what is right today."""

from pathlib import Path

import pytest
from tools.first_sight import (
    DRAWS,
    Figure,
    at_first_sight,
    draws,
    first_sight_table,
    main,
    messages,
    today,
    total,
)

DRAWN = [
    {"code": "disk-full", "text": "write /x: no space left on device"},
    {"code": "disk-full", "text": "write /y: no space left on device", "answered": "unknown"},
    {
        "code": "unknown",
        "judged": "container-exit",
        "text": "Listening on 0.0.0.0:8000",
        "answered": "unknown",
    },
]


def test_a_message_that_was_missed_stays_missed_at_first_sight() -> None:
    assert at_first_sight(DRAWN) == {"disk-full": Figure(1, 2), "container-exit": Figure(0, 1)}
    assert total(at_first_sight(DRAWN)) == Figure(1, 3)


def test_today_is_asked_today() -> None:
    assert today(DRAWN) == {"disk-full": Figure(2, 2), "unknown": Figure(1, 1)}


@pytest.mark.parametrize("path", draws(), ids=lambda path: path.stem)
def test_a_draw_has_its_queries_and_enough_messages(path: Path) -> None:
    drawn = messages(path)
    assert len(drawn) >= 100
    assert len(path.with_suffix(".queries.txt").read_text(encoding="utf-8").splitlines()) >= 18
    assert all(
        message["source"].startswith(("https://", "http://")) and message["where"] for message in drawn
    )


def test_the_command_prints_each_draw_with_its_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(DRAWS / "1.yml")]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("1: 185 of 210 (88.1 %) at first sight, 210 of 210 (100.0 %) today\n")
    assert "\n  container-exit " in printed


def test_the_page_has_every_draw() -> None:
    table = first_sight_table()
    assert [f"[{path.stem}](../tests/data/draws/{path.name})" in table for path in draws()] == [True] * len(
        draws()
    )
