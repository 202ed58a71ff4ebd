"""The sandbox's two clocks over HTTP."""

from __future__ import annotations

import time

import pytest

from sandbox_process import START, sandbox_thread


def test_a_stepped_clock_moves_only_when_told() -> None:
    with sandbox_thread("clusters: [c]") as sandbox:
        assert sandbox.ask("GET", "clock") == (200, {"now": START, "mode": "stepped", "speed": 0.0})
        assert sandbox.ask("POST", "clock", {"advance": 90.5}) == (
            200,
            {"now": START + 90.5, "mode": "stepped", "speed": 0.0},
        )
        assert sandbox.now() == START + 90.5


@pytest.mark.parametrize(
    "document",
    [
        pytest.param({}, id="nothing said"),
        pytest.param({"advance": "5"}, id="text"),
        pytest.param({"advance": -1}, id="backwards"),
        pytest.param({"advance": True}, id="a truth value"),
        pytest.param([5], id="a list"),
    ],
)
def test_a_wrong_step_is_refused_in_one_sentence(document: object) -> None:
    with sandbox_thread("clusters: [c]") as sandbox:
        status, answer = sandbox.ask("POST", "clock", document)
        assert status == 400
        assert answer["error"].count("\n") == 0
        assert sandbox.now() == START


def test_a_scaled_clock_runs_by_itself() -> None:
    with sandbox_thread("clusters: [c]", speed=1000.0) as sandbox:
        began = time.monotonic()
        first = sandbox.now()
        while sandbox.now() < first + 100:  # a tenth of a second of wall time
            assert time.monotonic() - began < 5
        assert sandbox.ask("GET", "clock")[1]["mode"] == "scaled"
        status, answer = sandbox.ask("POST", "clock", {"advance": 10})
        assert status == 400
        assert answer["error"].startswith("The clock is scaled")


def test_an_unknown_endpoint_names_the_known_ones() -> None:
    with sandbox_thread("clusters: [c]") as sandbox:
        status, answer = sandbox.ask("GET", "clocks")
        assert status == 404
        assert "clock, world, faults, calls, state" in answer["error"]
