"""Kinds of messages that were missed once, each with a wording, and the hints that once pointed wrong."""

from pathlib import Path

import pytest
import yaml

from ecs_gpu_deploy.core.diagnose.diagnosis import explanation_of

KINDS: list[dict[str, str]] = yaml.safe_load(
    (Path(__file__).parents[1] / "data" / "named_kinds.yml").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("kind", KINDS, ids=[kind["kind"] for kind in KINDS])
def test_the_kind_has_its_code_and_a_hint_that_points_where_the_trouble_is(kind: dict[str, str]) -> None:
    found = explanation_of(kind["text"])[0]
    assert found.code == kind["code"]
    assert kind.get("hint", "") in found.hint
