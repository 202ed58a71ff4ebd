"""An entry of the table of causes, as it is written and as it is read."""

from __future__ import annotations

from ecs_gpu_deploy.core.diagnose.table import SYMPTOM_RANK, Cause

ENTRY = {
    "rank": 400,
    "meaning": "It broke.",
    "hint": "Turn the knob.",
    "source": "a page of AWS",
    "match": {"any": ["it broke", "broken"], "log": ["crack"]},
}


def test_an_entry_is_read_as_it_is_written() -> None:
    assert Cause.from_entry("broken", {**ENTRY, "in_logs": True}) == Cause(
        code="broken",
        rank=400,
        meaning="It broke.",
        hint="Turn the knob.",
        source="a page of AWS",
        in_logs=True,
        patterns={"any": ("it broke", "broken"), "log": ("crack",)},
    )


def test_a_message_of_aws_is_not_looked_for_in_logs_unless_the_entry_says_so() -> None:
    assert Cause.from_entry("broken", ENTRY).in_logs is False


def test_what_is_a_symptom_is_said_by_the_rank() -> None:
    ranks = {rank: Cause.from_entry("x", {**ENTRY, "rank": rank}).is_symptom for rank in (799, 800, 801)}
    assert SYMPTOM_RANK == 800
    assert ranks == {799: False, 800: True, 801: True}
