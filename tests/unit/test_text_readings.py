"""The ways in which a text is read: as it stands, with its escaped line ends, and as one wrapped sentence."""

from __future__ import annotations

import pytest

from ecs_gpu_deploy.core.diagnose.diagnosis import explanation_of, readings

FULL = "x" * 30


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param(["one", r"two\nthree"], ["one\ntwo\\nthree", "one\ntwo\nthree"], id="in a JSON string"),
        pytest.param([r"one\\ntwo\r"], [r"one\\ntwo\r", "one\ntwo\n"], id="in a string of a string, and CR"),
        pytest.param(["one", "two"], ["one\ntwo"], id="none"),
    ],
)
def test_escaped_line_ends_are_read_as_such(lines: list[str], expected: list[str]) -> None:
    assert list(readings(lines)) == expected


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([FULL, "next"], id="two lines"),
        pytest.param([FULL, "N" + FULL[1:], "more"], id="three lines, whatever the second one begins with"),
        pytest.param([FULL, "x" * 25, "12345 and so on"], id="the next word did not fit by one"),
        pytest.param([FULL] * 30, id="30 lines"),
        pytest.param([f"    {FULL}", f"    {FULL}"], id="indented"),
    ],
)
def test_lines_that_were_cut_at_a_width_are_joined(lines: list[str]) -> None:
    bare = [line.strip() for line in lines]
    assert list(readings(lines)) == ["\n".join(lines), " ".join(bare), "".join(bare)]


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([FULL], id="one line"),
        pytest.param(["x" * 29, "next"], id="too narrow for a console or a table"),
        pytest.param([FULL, "Next"], id="two lines, the second begins like an own entry"),
        pytest.param([FULL, "x" * 25, "1234 and so on"], id="the next word did fit"),
        pytest.param([FULL] * 31, id="31 lines"),
        pytest.param([FULL, " ", FULL], id="a blank line between"),
        pytest.param(["short", f"{FULL[:20]} {FULL[:9]}"], id="the first line had room"),
    ],
)
def test_lines_that_stand_for_themselves_are_not_joined(lines: list[str]) -> None:
    assert list(readings(lines)) == ["\n".join(lines)]


def test_only_the_part_of_the_table_that_is_asked_about_answers() -> None:
    assert [found.code for found in explanation_of("CUDA out of memory", [])] == ["unknown"]
