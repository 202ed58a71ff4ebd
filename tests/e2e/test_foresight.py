"""Rollouts of generated worlds end when `plan` said: within a tenth or 15 seconds (docs/plan.md)."""

from __future__ import annotations

from pathlib import Path

import pytest

from foresight_runs import WORLDS, looks, worlds


@pytest.mark.parametrize("world", [pytest.param(each, id=str(n)) for n, each in enumerate(worlds(WORLDS))])
def test_the_end_is_foreseen(world, tmp_path: Path) -> None:
    name, differences = world
    wrong = [each for each in looks(name, differences, tmp_path) if not each.guessed and not each.is_right]
    assert not wrong
