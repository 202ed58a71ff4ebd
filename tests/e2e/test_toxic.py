"""The wait through a network that resets, delays and cuts: a proxy between the program and the sandbox."""

import pytest

import program
from sandbox_process import RunningSandbox, sandbox_thread
from toxic_proxy import Toxic, toxic_proxy

CLEAN = Toxic()
RESET, CUT, EMPTY = Toxic(reset=True), Toxic(cut_after=150), Toxic(cut_after=0)


def _deploy(sandbox, folder, script, tag="good"):
    with toxic_proxy(sandbox.endpoint, script) as (address, toxics):
        through = RunningSandbox(
            endpoint=sandbox.endpoint,
            environment={**sandbox.environment, "AWS_ENDPOINT_URL": address},
            announcement=sandbox.announcement,
        )
        return program.deploy(through, folder, f"--image={program.image(tag)}"), toxics


@pytest.mark.parametrize(
    ("script", "tag", "outcome"),
    [
        pytest.param([RESET] * 3, "good", "succeeded", id="the first three exchanges are reset"),
        pytest.param(
            [CLEAN] * 14 + [RESET, CLEAN, CUT, CLEAN, EMPTY] * 8,
            "good",
            "succeeded",
            id="during the wait exchanges are reset, cut in half or closed without an answer",
        ),
        pytest.param(
            [CLEAN] * 14 + [Toxic(delay=0.4), CUT] * 4,
            "bad",
            "rolled_back",
            id="answers are late and cut while a rollback runs",
        ),
    ],
)
def test_the_verdict_survives(script, tag, outcome, tmp_path):
    with sandbox_thread() as sandbox:
        ran, toxics = _deploy(sandbox, tmp_path, script, tag)
        updates = [call for call in ran.operations if call == "UpdateService"]
    assert ran.result["outcome"] == outcome, ran.shown
    assert toxics.used > len(script)
    assert len(updates) == 1


def test_an_update_that_was_carried_out_but_never_answered_is_not_sent_twice(tmp_path):
    with sandbox_thread() as sandbox:
        probe, toxics = _deploy(sandbox, tmp_path, [])
        before = probe.operations.index("UpdateService")
        assert toxics.used >= len(probe.operations)
    with sandbox_thread() as sandbox:
        ran, _ = _deploy(sandbox, tmp_path, [CLEAN] * before + [EMPTY])
    assert ran.result["outcome"] == "succeeded", ran.shown
    assert ran.operations.count("UpdateService") == 1
