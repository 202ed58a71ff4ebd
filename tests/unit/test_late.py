"""Patterns and data classes that are made late are what the plain ones are."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import re
import subprocess
import sys
import types
from typing import Any

import pytest

from ecs_gpu_deploy.late import LatePattern, loading

SOURCE = """
from __future__ import annotations
import re
from dataclasses import dataclass, field
from typing import ClassVar

WORD = re.compile(r"[a-z]+")

@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    name: str
    size: int = 3
    LIMIT: ClassVar[int] = 7

    @property
    def double(self) -> int:
        return 2 * self.size

@dataclass(frozen=True, slots=True, kw_only=True)
class More(Base):
    size: int = 4
    tags: list[str] = field(default_factory=list)
    hidden: int = field(default=1, repr=False, compare=False)

@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    value: int

    def __post_init__(self) -> None:
        if self.value < 0:
            raise ValueError("negative")

class Plain(Base):
    pass

@dataclass(frozen=True, slots=True, kw_only=True)
class Empty:
    pass

@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    count: int = field(default=0, init=False)

@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    name: str

    def __repr__(self) -> str:
        return f"<{self.name}>"

@dataclass(slots=True)
class Mutable:
    count: int = 0
"""


def loaded(name: str, *, late: bool) -> types.ModuleType:
    module = types.ModuleType(name)
    sys.modules[name] = module
    if late:
        with loading():
            exec(SOURCE, vars(module))
    else:
        exec(SOURCE, vars(module))
    return module


@pytest.fixture(params=[True, False], ids=["late", "plain"])
def module(request: pytest.FixtureRequest) -> Any:
    name = f"ecs_gpu_deploy.of_the_test_{request.param}"
    yield loaded(name, late=request.param)
    del sys.modules[name]


def test_instances_compare_show_hash_and_refuse_changes(module: Any) -> None:
    base = module.Base(name="a")
    assert (base.size, base.double, module.Base.LIMIT) == (3, 6, 7)
    assert repr(base) == "Base(name='a', size=3)"
    assert base == module.Base(name="a", size=3)
    assert base != module.Base(name="b")
    assert len({base, module.Base(name="a")}) == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        base.name = "c"
    assert not hasattr(base, "__dict__")


def test_what_is_given_wrongly_is_refused(module: Any) -> None:
    with pytest.raises(TypeError):
        module.Base("a")
    with pytest.raises(TypeError):
        module.Base()
    with pytest.raises(TypeError):
        module.Base(name="a", colour="red")
    with pytest.raises(ValueError, match="negative"):
        module.Checked(value=-1)


def test_a_class_that_inherits_has_its_own_defaults(module: Any) -> None:
    more = module.More(name="a")
    assert (more.size, more.tags, more.hidden) == (4, [], 1)
    assert module.More(name="a").tags is not more.tags
    assert repr(more) == "More(name='a', size=4, tags=[])"
    assert module.Base(name="a").size == 3
    assert isinstance(module.Plain(name="x"), module.Base)


def test_fields_are_known_before_there_is_an_instance(module: Any) -> None:
    assert [field.name for field in dataclasses.fields(module.More)] == ["name", "size", "tags", "hidden"]
    assert dataclasses.is_dataclass(module.Base)


def test_instances_are_replaced_copied_and_told_as_a_dict(module: Any) -> None:
    more = module.More(name="a", tags=["x"])
    assert dataclasses.replace(more, size=9).size == 9
    assert dataclasses.asdict(more) == {"name": "a", "size": 4, "tags": ["x"], "hidden": 1}
    assert copy.copy(more) == copy.deepcopy(more) == pickle.loads(pickle.dumps(more)) == more


def test_first_uses_in_any_order_see_one_class(module: Any) -> None:
    assert module.Base(name="a") == module.Base(name="a")
    assert hash(module.More(name="a", tags=())) == hash(module.More(name="a", tags=()))
    assert [module.Base(name="a"), module.Base(name="b")].index(module.Base(name="b")) == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        del module.Checked(value=1).value
    assert module.Plain(name="p") == module.Plain(name="p")
    assert module.Base(name="p") != module.Plain(name="p")


def test_classes_that_are_not_plain_are_what_dataclass_makes_of_them(module: Any) -> None:
    assert repr(module.Told(name="a")) == "<a>"
    assert module.Counted().count == 0
    with pytest.raises(TypeError):
        module.Counted(count=1)
    assert module.Empty() == module.Empty()


def test_what_may_change_stays_as_it_is(module: Any) -> None:
    mutable = module.Mutable()
    mutable.count += 1
    assert mutable.count == 1


def test_a_pattern_is_compiled_when_it_is_asked(module: Any) -> None:
    assert module.WORD.findall("a bc 1") == ["a", "bc"]
    assert module.WORD.pattern == "[a-z]+"
    assert module.WORD.flags == re.compile("[a-z]+").flags


def test_a_pattern_that_is_wrong_says_so_at_its_first_use() -> None:
    with pytest.raises(re.error):
        LatePattern("(").search("")


def test_afterwards_all_is_as_it_was() -> None:
    plain = re.compile, dataclasses.dataclass
    with loading():
        assert re.compile is not plain[0]
    assert (re.compile, dataclasses.dataclass) == plain


def test_a_program_that_was_loaded_late_runs() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-m", "ecs_gpu_deploy", "explain", "exec format error"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "architecture-mismatch" in done.stdout
