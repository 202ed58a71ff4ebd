"""The data classes and patterns of the bundle, made before, are as the standard library makes them."""

from __future__ import annotations

import json
import marshal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from action_tools import ROOT
from tools import bundle

ODD = '''
"""Kinds that our sources have seldom or never."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

LIMIT = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """Lines that go move no others."""

    WIDEST: ClassVar[int] = LIMIT
    name: str
    size: int = WIDEST + 1

    @property
    def double(self) -> int:
        return 2 * self.size

    def __lt__(self, other: Base) -> bool:
        return self.name < other.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    size: int = field(default=LIMIT, repr=False)
    tags: list[str] = field(default_factory=lambda: ["a"])
    bases: list[Base] = field(default_factory=list, repr=False)
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Empty:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class More(Base):
    size: int = 4
    more: int = 5


class Plain(Base):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    name: str

    def __repr__(self) -> str:
        return f"<{self.name}>"

    def __eq__(self, other: object) -> bool:
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    count: int = field(default=0, init=False)
    hidden: int = field(default=1, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    value: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", self.value + 1)


@dataclass(slots=True)
class Mutable:
    count: int = 0
'''


@pytest.mark.parametrize("python", bundle.interpreters(), ids=bundle.version_of)
def test_what_is_written_out_is_as_the_standard_library_makes_it(python: Path, tmp_path: Path) -> None:
    sources = {**bundle.modules(), "ecs_gpu_deploy.odd": (False, ODD)}
    plain = told(python, marshal.dumps({**sources, bundle.COMPILED: False}), tmp_path)
    compiled = told(python, bundle.compiled_by(python, sources), tmp_path)
    for name, about in plain["classes"].items():
        assert compiled["classes"][name] == about, name
    assert compiled["classes"].keys() == plain["classes"].keys()
    assert compiled["patterns"] == plain["patterns"]
    assert all(is_equal for *_, is_equal in compiled["patterns"].values())
    assert (plain["written"], compiled["written"] > 100) == (0, True)


def told(python: Path, pack: bytes, place: Path) -> Any:
    """Return what an interpreter sees of the data classes of a pack."""
    (place / "pack").write_bytes(pack)
    script = ROOT / "tests" / "contract" / "told_classes.py"
    command = [python, "-I", "-S", "-X", "utf8", script, ROOT / "bootstrap.py", place / "pack"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout)
