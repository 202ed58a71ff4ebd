"""Why a task runs another image than the one that was checked."""

from __future__ import annotations

import pytest

from ecs_gpu_deploy.core.image.moved_tag import moved_tag

A, B, C = (f"sha256:{letter * 64}" for letter in "abc")


@pytest.mark.parametrize(
    ("now", "told", "hint"),
    [
        pytest.param(B, "The tag of rag:live was moved during the rollout: ", "", id="to what runs"),
        pytest.param(C, "The tag of rag:live was moved during the rollout: ", "", id="and once more since"),
        pytest.param("", "The tag of rag:live was probably moved during ", "", id="ECR does not show it"),
        pytest.param(
            A, "The tag of rag:live was not moved, but ", "ECS_IMAGE_PULL_BEHAVIOR", id="an old one was kept"
        ),
    ],
)
def test_what_became_of_the_tag(now: str, told: str, hint: str) -> None:
    finding = moved_tag("rag:live", container="rag", wanted=A, runs=B, names_now=now)
    assert finding.message.startswith(told)
    assert f"rag runs {B[:19]}…, and {A[:19]}… was checked" in finding.message
    assert "pin: digest" in finding.hint
    assert hint in finding.hint
    assert ("ECS_IMAGE_PULL_BEHAVIOR" in finding.hint) is bool(hint)
