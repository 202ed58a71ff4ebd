"""Start sooner: what modules make as they load, patterns and data classes, is made when it is first used.

Half of the start went into them, and most of a run uses few. `loading` is put around the import of the
program: while it lasts `re.compile` and `dataclasses.dataclass` give stand-ins to the modules named below.
Outside of it nothing is changed, and tests that import a module by itself see the plain ones.
"""

from __future__ import annotations

import dataclasses
import gc
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

_PACKAGES: Final = frozenset(
    {"ecs_gpu_deploy", "boto3", "botocore", "dateutil", "jmespath", "tenacity", "urllib3", "yaml"}
)
_PLAIN: Final = {"frozen": True, "slots": True, "kw_only": True}
_compile, _dataclass = re.compile, dataclasses.dataclass


@contextmanager
def loading() -> Iterator[None]:
    """Let modules that are imported in the block make their patterns and data classes late."""
    collects = gc.isenabled()
    gc.disable()  # what modules make as they load is not garbage
    re.compile, dataclasses.dataclass = _late_pattern, _late_dataclass
    try:
        yield
    finally:
        if collects:
            gc.enable()
        re.compile, dataclasses.dataclass = _compile, _dataclass


class LatePattern:
    """A regular expression that is compiled when something of it is asked for."""

    def __init__(self, *given: Any) -> None:
        self._given = given

    def __getattr__(self, name: str) -> Any:
        pattern = _compile(*self._given)
        for method in ("search", "match", "fullmatch", "sub", "split", "findall", "finditer", "pattern"):
            self.__dict__[method] = getattr(pattern, method)
        return getattr(pattern, name)


def _late_pattern(pattern: Any, flags: Any = 0) -> Any:
    caller = str(sys._getframe(1).f_globals.get("__name__", "")).partition(".")[0]
    return LatePattern(pattern, flags) if caller in _PACKAGES else _compile(pattern, flags)


def _late_dataclass(cls: type | None = None, /, **options: Any) -> Any:
    if cls is None and options == _PLAIN:
        return _late_class
    return _dataclass(cls, **options)


def _late_class(cls: type) -> type:
    """Return *cls* with its slots; whatever dataclass would write for it is written at its first use."""
    told = inspect.get_annotations(cls)
    if "__init__" in cls.__dict__ or not all(isinstance(kind, str) for kind in told.values()):
        return _dataclass(frozen=True, slots=True, kw_only=True)(cls)
    names = [name for name, kind in told.items() if not kind.startswith("ClassVar")]
    body = {name: value for name, value in vars(cls).items() if name not in {"__dict__", "__weakref__"}}
    maker = _Maker({name: body.pop(name) for name in names if name in body})
    inherited = {name for base in cls.__mro__[1:] for name in getattr(base, "__slots__", ())}
    body["__doc__"] = cls.__doc__ or cls.__name__  # without one dataclass would work out a signature
    body["__slots__"] = tuple(name for name in names if name not in inherited)
    body["__init__"] = maker.init()
    body["__dataclass_fields__"] = maker
    body.setdefault("__getstate__", _getstate)
    body.setdefault("__setstate__", _setstate)
    made = type(cls)(cls.__name__, cls.__bases__, body)
    made.__qualname__ = cls.__qualname__
    maker.owner = made
    return made


class _Maker:
    """Makes a class whole once: with its first instance, or when somebody asks for its fields."""

    owner: Any

    def __init__(self, defaults: Mapping[str, Any]) -> None:
        self._defaults = defaults

    def __get__(self, _: object, cls: type) -> Any:
        """Return the fields; this stands where dataclass will put them."""
        self._make()
        return self.owner.__dataclass_fields__

    def init(self) -> Callable[..., None]:
        """Return what stands for __init__ until the class is whole."""

        def first(instance: Any, **values: Any) -> None:
            self._make()
            self.owner.__init__(instance, **values)

        return first

    def _make(self) -> None:
        """Have dataclass write the methods; its defaults go where the slots are, so those are put back."""
        cls = self.owner
        if vars(cls).get("__dataclass_fields__") is not self:
            return
        del cls.__init__, cls.__dataclass_fields__
        slots = {name: vars(cls)[name] for name in cls.__slots__}
        for name, value in self._defaults.items():
            setattr(cls, name, value)
        _dataclass(frozen=True, kw_only=True)(cls)
        for name in self._defaults:
            if name in slots:
                setattr(cls, name, slots[name])
            elif name in vars(cls):
                delattr(cls, name)


def _getstate(self: Any) -> list[Any]:
    return [getattr(self, field.name) for field in dataclasses.fields(self)]


def _setstate(self: Any, state: list[Any]) -> None:
    for field, value in zip(dataclasses.fields(self), state, strict=True):
        object.__setattr__(self, field.name, value)
